"""Feeds, channels and updates as the hub makes them, and strategies for their parts.

Must not know what is tested.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from tickfan.core.cursor import fingerprint
from tickfan.core.feed import Feed
from tickfan.core.spec import Delivery, FeedSpec
from tickfan.core.update import GAP, SNAPSHOT, UPDATE, Update

if TYPE_CHECKING:
    from collections.abc import Sequence


LAW = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""For every property test: on a busy machine time says nothing about a law."""


def conflated_feed(name: str = "quotes", bind: Sequence[str] = ("#",), **spec: Any) -> Feed:
    """A feed of which only the newest values count."""
    return Feed(FeedSpec(name, tuple(bind), Delivery.CONFLATED, **spec))


def lossless_feed(name: str = "trades", bind: Sequence[str] = ("#",), **spec: Any) -> Feed:
    """A feed of which every update counts."""
    return Feed(FeedSpec(name, tuple(bind), Delivery.LOSSLESS, **spec))


def update(
    feed: Feed,
    name: str = "a",
    data: Any = 0,
    *,
    type_: str = UPDATE,
    ts: int = 0,
    seq: int | None = None,
    size: int = 0,
) -> Update:
    """The next update of a channel; it becomes the newest of its channel and feed.

    ``seq`` is the stream's, for a lossless feed; without it the next one.
    """
    channel = feed.channels.get(name) or feed.add_channel(name)
    if feed.is_lossless:
        if seq is None:
            held = [other.seq for other in feed.channels.values() if other.seq is not None]
            seq = max(held, default=-1) + 1
        mark = fingerprint(name, repr(data).encode(), None, seq)
        made = Update(channel, seq, ts, data, type_, channel.seq, mark, size, size)
        feed.newest = made
    else:
        made = Update(channel, (channel.seq or 0) + 1, ts, data, type_, None, None, size)
    channel.seq = made.seq
    if type_ != GAP:
        channel.latest = made
    return made


INTEGER_MAX = 2**53

NASTY = (
    "", "\r", "\n", "\r\n\r\n", "\0", "\u2028\u2029\x85", '"', "\\", '"}\n\ndata: x', "data: {}",
    "event: gap\nid: 0\n\n", "\ufeff", "\U0001f4b9", "0\r\n\r\n", "12345678901234567890", "NaN",
    '\\"', "[" * 70, "\x7f", "\ud7ff\ue000\uffff",
)  # fmt: skip
"""Texts that end a line, an event, a string or a chunk where somebody forgot to escape."""

TEXTS = st.sampled_from(NASTY) | st.text(max_size=12)
KEYS = TEXTS.filter(lambda text: text != "__proto__")
"""Hypothesis also tries what it finds in our code, and this key is refused."""

NUMBERS = (
    st.integers(-INTEGER_MAX, INTEGER_MAX)
    | st.sampled_from([INTEGER_MAX, -INTEGER_MAX, 0, 2**31, -(2**31), 2**32, 127, 128, -32, -33])
    | st.floats(allow_nan=False, allow_infinity=False)
)

VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=10,
)
"""What JSON and MessagePack both can say: the data of an update."""

WORDS = st.text("abcXYZ019_:/@=+^-", min_size=1, max_size=5)
CHANNEL_NAMES = st.lists(WORDS, min_size=1, max_size=4).map(".".join)
FEED_NAMES = st.from_regex(r"[a-z][a-z0-9_-]{0,31}", fullmatch=True)
TYPES = st.sampled_from([UPDATE, UPDATE, SNAPSHOT, "done", "error_2", "x" * 32])


@st.composite
def conflated_updates(draw: st.DrawFn, max_size: int = 20) -> list[Update]:
    """At least one update of a conflated feed."""
    feed = conflated_feed()
    rows = st.tuples(CHANNEL_NAMES, VALUES, TYPES, st.integers(0, INTEGER_MAX))
    return [
        update(feed, name, data, type_=type_, ts=ts)
        for name, data, type_, ts in draw(st.lists(rows, min_size=1, max_size=max_size))
    ]


@st.composite
def lossless_updates(draw: st.DrawFn, max_size: int = 20) -> list[Update]:
    """At least one update, some of them gaps, of up to three lossless feeds."""
    names = draw(st.lists(FEED_NAMES, min_size=1, max_size=3, unique=True))
    feeds = [lossless_feed(name) for name in names]
    rows = st.tuples(
        st.sampled_from(feeds),
        CHANNEL_NAMES,
        VALUES,
        TYPES | st.just(GAP),
        st.integers(0, INTEGER_MAX),
    )
    return [
        update(feed, name, "bad_json" if type_ == GAP else data, type_=type_, ts=ts)
        for feed, name, data, type_, ts in draw(st.lists(rows, min_size=1, max_size=max_size))
    ]
