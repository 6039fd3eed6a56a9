"""Feeds: what they cover, what they can give back, and where one is full."""

from __future__ import annotations

from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.updates import CHANNEL_NAMES, LAW, conflated_feed, lossless_feed, update
from tickfan.core.cursor import START, Place, parse, place
from tickfan.core.errors import Poison
from tickfan.core.feed import Channel, Feed, Upstream
from tickfan.core.history import OVERHEAD_BYTES
from tickfan.core.pattern import Pattern
from tickfan.core.spec import Delivery, FeedSpec


def spec(name: str, *bind: str) -> FeedSpec:
    """A lossless feed's settings."""
    return FeedSpec(name, bind, Delivery.LOSSLESS)


def place_of(feed: Feed) -> Place:
    """The place that the feed has reached."""
    return parse(f"1~{feed.place}")[feed.name]


def publish(feed: Feed, seq: int) -> Place:
    """One update into the history; returns the place after it."""
    feed.history.append(update(feed, seq=seq))
    if feed.first_seq is None:
        feed.first_seq = seq
    return place_of(feed)


def test_a_feed_covers_what_any_of_its_patterns_matches() -> None:
    """Several bindings are one feed."""
    feed = lossless_feed(bind=("trades.#", "fills.*"))
    names = ["trades", "trades.a.b", "fills.a", "fills.a.b", "quotes.a"]
    assert [feed.covers(name) for name in names] == [True, True, True, False, False]
    assert feed.overlaps(Pattern("*.a"))
    assert not feed.overlaps(Pattern("quotes.#"))


patterns = st.lists(st.sampled_from(["a", "b", "*", "#"]), min_size=1, max_size=4).map(".".join)


@LAW
@given(bind=st.lists(st.one_of(st.sampled_from(["a.#", "b.#"]), patterns), min_size=1, max_size=3),
       asked=patterns)  # fmt: skip
def test_a_feed_overlaps_with_what_one_of_its_patterns_does(bind: list[str], asked: str) -> None:
    """The look at first words, which is for what feeds mostly bind, says the same."""
    feed = lossless_feed(bind=tuple(bind))
    pattern = Pattern(asked)
    assert feed.overlaps(pattern) is any(pattern.overlaps(own) for own in feed.patterns)


@LAW
@given(
    before=st.lists(CHANNEL_NAMES, unique=True, max_size=8),
    after=st.lists(CHANNEL_NAMES, unique=True, max_size=8),
    data=st.data(),
)
def test_a_feed_finds_its_channels(
    before: list[str], after: list[str], data: st.DataObject
) -> None:
    """By name or by pattern, in the order in which they came; by pattern since some moment, too."""
    feed = lossless_feed()
    for name in before:
        feed.add_channel(name)
    for name in after:
        if name not in feed.channels:
            feed.add_channel(name)
    some = [*feed.channels]
    words = st.sampled_from(["*", "#", *(word for name in some for word in name.split("."))])
    text = data.draw(st.lists(words, min_size=1, max_size=4).map(".".join))
    pattern = Pattern(text)
    found = [channel.name for channel in chain.from_iterable(feed.find(pattern))]
    assert found == [name for name in some if pattern.matches(name)]
    late = [channel.name for channel in chain.from_iterable(feed.find(pattern, len(before)))]
    since = len(before) if pattern.is_wild else 0
    assert late == [name for name in some[since:] if pattern.matches(name)]


def test_a_new_feed_is_before_the_start() -> None:
    """Its place is one that a cursor can hold."""
    feed = lossless_feed()
    assert place_of(feed) == Place(0, START)
    assert feed.upstream is Upstream.STARTING
    assert feed.recovers(place_of(feed))


def test_a_conflated_feed_keeps_no_history() -> None:
    """There is nothing to resume."""
    assert conflated_feed().history.size_max == 0
    assert not conflated_feed().is_lossless
    assert lossless_feed(history_bytes_max=77).history.size_max == 77


def test_it_recovers_what_its_history_holds() -> None:
    """The seq with the fingerprint, or nothing."""
    feed = lossless_feed(history_bytes_max=3 * OVERHEAD_BYTES)
    places = [publish(feed, seq) for seq in range(5)]
    assert [feed.recovers(at) for at in places] == [False, False, True, True, True]
    newest = places[-1]
    assert not feed.recovers(Place(newest.seq, "A" * 11))
    assert not feed.recovers(Place(newest.seq + 1, newest.fingerprint))


@pytest.mark.parametrize(
    ("first_seq", "held", "expected"),
    [(0, 9, True), (1023, 9, True), (1024, 9, False), (0, 2, False)],
)
def test_from_the_start_it_recovers_a_whole_stream(
    first_seq: int, held: int, *, expected: bool
) -> None:
    """Only if it has read the first message and forgotten nothing since."""
    feed = lossless_feed(history_bytes_max=held * OVERHEAD_BYTES)
    for seq in range(first_seq, first_seq + 4):
        publish(feed, seq)
    assert feed.recovers(Place(0, START)) is expected


def test_a_place_is_ahead_only_of_a_feed_that_has_not_read_it() -> None:
    """The tail itself has been read: who resumes there waits for nothing."""
    feed = lossless_feed()
    other = lossless_feed()
    assert not feed.is_behind(Place(0, START))
    places = [publish(feed, seq) for seq in range(3)]
    assert [feed.is_behind(at) for at in places] == [False, False, False]
    assert other.is_behind(places[0]), "nothing has been read"
    publish(other, 0)
    publish(other, 1)
    assert [other.is_behind(at) for at in places] == [False, False, True]


def test_restart_forgets_the_stream() -> None:
    """The old places recover no more, and chains begin anew; the channels stay."""
    feed = lossless_feed(history_bytes_max=2 * OVERHEAD_BYTES)
    old = [publish(feed, seq) for seq in range(3)][-1]
    feed.restart()
    assert (feed.place, feed.first_seq) == (place(feed.name, 0, START), None)
    assert not feed.recovers(old)
    assert feed.recovers(Place(0, START))
    assert update(feed, seq=0).prev is None
    assert list(feed.channels) == ["a"]


def test_channels_have_a_limit() -> None:
    """One more is poison that says what to raise, and is not added."""
    feed = conflated_feed(channels_max=2)
    feed.add_channel("a")
    feed.add_channel("b")
    with pytest.raises(Poison, match="raise channels_max") as poison:
        feed.add_channel("c")
    assert (poison.value.reason, poison.value.channel) == ("channels_max", "c")
    assert list(feed.channels) == ["a", "b"]


def test_a_new_channel_knows_nothing() -> None:
    """No value, no chain, no readers."""
    channel = Channel("a", conflated_feed())
    assert (channel.latest, channel.seq, channel.version) == (None, None, 0)
    assert channel.audiences == []
