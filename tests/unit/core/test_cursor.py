"""Cursors there and back, hostile ones, and the laws of a trail."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.updates import FEED_NAMES, LAW, lossless_feed, lossless_updates, update
from tickfan.core.cursor import (
    CURSOR_BYTES_MAX,
    FEED_NAME,
    LOSSLESS_FEEDS_MAX,
    START,
    Place,
    Trail,
    fingerprint,
    parse,
    place,
)
from tickfan.core.errors import Refusal

SEQ_MAX = 2**53 - 1
SEQS = st.integers(0, SEQ_MAX) | st.sampled_from([0, 35, 36, SEQ_MAX])
MARKS = st.binary(min_size=8, max_size=8).map(
    lambda raw: base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
)
PLACES = st.dictionaries(
    FEED_NAMES, st.builds(Place, SEQS, MARKS | st.just(START)), max_size=LOSSLESS_FEEDS_MAX
)


@LAW
@given(places=PLACES)
def test_there_and_back(places: dict[str, Place]) -> None:
    """What a trail writes is read as it was meant, for every feed name that is allowed."""
    text = Trail({feed: place(feed, *at) for feed, at in places.items()}).text()
    assert parse(text) == places
    assert len(text.encode()) <= CURSOR_BYTES_MAX
    # RFC 3986, 2.3: nothing in it needs escaping in a URL, a header or an id.
    assert re.fullmatch(r"[A-Za-z0-9._~-]+", text)


def test_the_bound_is_reached() -> None:
    """CURSOR_BYTES_MAX is the length of the longest cursor, not a guess."""
    longest = {
        f"{letter}{'x' * 31}": place(f"{letter}{'x' * 31}", SEQ_MAX, "A" * 11)
        for letter in "abcdefghijklmnop"
    }
    assert len(longest) == LOSSLESS_FEEDS_MAX
    text = Trail(longest).text()
    assert len(text) == CURSOR_BYTES_MAX
    assert len(parse(text)) == LOSSLESS_FEEDS_MAX


GOOD = f"1~trades.9qi.{'A' * 11}"


@pytest.mark.parametrize(
    "text",
    [
        "", "1~", "~", "2", "2~trades.9qi.AAAAAAAAAAA", " " + GOOD, GOOD + "\n", GOOD + "~",
        GOOD + "~" + GOOD[2:], GOOD + "A", GOOD[:-1], GOOD.replace("9qi", "9QI"),
        GOOD.replace("9qi", ""), GOOD.replace("9qi", "-1"), GOOD.replace("9qi", "2gosa7pa2gw"),
        GOOD.replace("9qi", "z" * 11), GOOD.replace("9qi", "1" * 12), GOOD.replace("9qi", "\u0661"),
        GOOD.replace("trades", "Trades"), GOOD.replace("trades", "a" * 33),
        GOOD.replace("trades", ""), GOOD.replace("trades", "1a"), GOOD.replace("A", "="),
        "1" + f"~{'a' * 32}.1.{'A' * 11}" * 17, "1~" * 100_000, "\0", "\ud800", "1~\ud800",
        "9" * 10_000, "null", "1~trades.9qi", "0", "1~~",
    ],
)  # fmt: skip
def test_hostile_cursors(text: str) -> None:
    """Each is refused by name, and quoted in short."""
    with pytest.raises(Refusal) as refusal:
        parse(text)
    assert refusal.value.code == "bad_cursor"
    assert refusal.value.item == "cursor"
    assert len(refusal.value.message) < 700
    refusal.value.message.encode()


def test_the_greatest_seq() -> None:
    """2^53 - 1 is a seq, 2^53 is none."""
    assert parse(GOOD.replace("9qi", "2gosa7pa2gv"))["trades"].seq == SEQ_MAX


@settings(LAW, max_examples=300)
@given(
    text=st.text(max_size=60)
    | st.lists(st.sampled_from(["1", "~", ".", "a", "A" * 11, START, "0", "\n", "é", "-"])).map(
        "".join
    ),
)
def test_any_text_is_a_cursor_or_refused(text: str) -> None:
    """No other exception comes out."""
    try:
        places = parse(text)
    except Refusal:
        return
    assert all(FEED_NAME.fullmatch(feed) and 0 <= at.seq <= SEQ_MAX for feed, at in places.items())


def test_an_empty_cursor_names_no_feed() -> None:
    """A reader of conflated feeds alone has nothing to resume."""
    assert parse(Trail().text()) == {}


def test_before_the_start_everything_is_missed() -> None:
    """The place before the first message replays from there; others after theirs."""
    assert Place(0, START).replay_from == -1
    assert Place(0, "A" * 11).replay_from == 0
    assert Place(7, "A" * 11).replay_from == 7


@LAW
@given(body=st.binary(max_size=30), key=st.text(max_size=10), ts=st.none() | st.integers(0, 2**53))
def test_a_fingerprint_fits_a_place(body: bytes, key: str, ts: int | None) -> None:
    """64 bits in 11 characters, the same on every replica, never that of the start."""
    mark = fingerprint(key, body, None, ts)
    assert mark == fingerprint(key, body, None, ts)
    assert mark != START
    assert parse(f"1~{place('a', 1, mark)}") == {"a": Place(1, mark)}


def test_a_fingerprint_tells_messages_apart() -> None:
    """The key, the body, the id and the time count, each by itself."""
    marks = {
        fingerprint("a", b"1", "id", 5),
        fingerprint("b", b"1", "id", 5),
        fingerprint("a", b"2", "id", 5),
        fingerprint("a", b"1", "other", 5),
        fingerprint("a", b"1", None, 5),
        fingerprint("a", b"1", "id", 6),
        fingerprint("a", b"1", "id"),
    }
    assert len(marks) == 7


@LAW
@given(updates=lossless_updates(), quiet=FEED_NAMES)
def test_a_trail_steps_over_updates(updates: list, quiet: str) -> None:  # type: ignore[type-arg]
    """After each step the cursor names the newest place of each feed; one leap says the same."""
    start = {quiet: place(quiet, 0, START)}
    trail, leap = Trail(start), Trail(start)
    expected = dict(start)
    for one in updates:
        expected[one.channel.feed.name] = one.place
        cursor = trail.follow(one.channel.feed.name, one.place or "")
        assert cursor == trail.text() == "~".join(["1", *(expected[f] for f in sorted(expected))])
    leap.jump(expected)
    assert leap.text() == trail.text()


def test_jumping_nowhere() -> None:
    """The cursor is where it was."""
    trail = Trail({"a": place("a", 5, "A" * 11)})
    trail.jump({})
    assert trail.text() == "1~a.5.AAAAAAAAAAA"


def test_copies_go_their_own_ways() -> None:
    """A copy does not move with its original, nor with the places it was made of."""
    feed = lossless_feed()
    places = {"trades": feed.place}
    trail = Trail(places)
    copy = trail.copy()
    trail.follow("trades", update(feed).place or "")
    places.clear()
    assert copy.text() == f"1~trades.0.{START}"
    assert trail.text() == f"1~{feed.place}"


def test_jump_fill_set_and_keep() -> None:
    """jump overwrites, fill does not, set takes a client's place, keep forgets the others."""
    trail = Trail({"a": "a.1.AAAAAAAAAAA"})
    trail.jump({"b": "b.2.BBBBBBBBBBB"})
    trail.fill({"a": "a.9.ZZZZZZZZZZZ", "c": "c.3.CCCCCCCCCCC"})
    assert trail.text() == "1~a.1.AAAAAAAAAAA~b.2.BBBBBBBBBBB~c.3.CCCCCCCCCCC"
    trail.jump({"a": "a.4.DDDDDDDDDDD"})
    trail.set("b", Place(36, "EEEEEEEEEEE"))
    assert trail.text() == "1~a.4.DDDDDDDDDDD~b.10.EEEEEEEEEEE~c.3.CCCCCCCCCCC"
    trail.keep({"b", "z"})
    assert trail.text() == "1~b.10.EEEEEEEEEEE"


def test_the_protocol_names_the_greatest_length() -> None:
    """What is promised to proxies and stores is what the code bounds."""
    protocol = (Path(__file__).parents[3] / "docs" / "protocol.md").read_text()
    assert f"at most {CURSOR_BYTES_MAX} bytes" in protocol
