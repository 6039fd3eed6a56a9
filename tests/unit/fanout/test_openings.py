"""tickfan.fanout.openings: what waits of several snapshots, one mark a channel."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from tests.support.fanout import Fanout, skips_time
from tests.support.updates import LAW, conflated_feed, lossless_feed, update
from tickfan.fanout.openings import OPENINGS_MAX, Opening, Openings

if TYPE_CHECKING:
    from tickfan.core.update import Update


def opened(
    values: list[Update], states: list[Update] | None = None, *, to: Openings | None = None
) -> Openings:
    """Openings with one more, that is due these values and states."""
    openings = Openings() if to is None else to
    openings.add(Opening([], {}, states or ()), dict.fromkeys([one.channel for one in values]))
    return openings


@LAW
@given(st.lists(st.integers(1, 300), max_size=30), st.integers(1, 1000))
def test_slices_give_everything_once_in_order(sizes: list[int], size_most: int) -> None:
    """Whatever the slice: each value and each state's update comes once, in its order."""
    quotes, books = conflated_feed("quotes"), lossless_feed("book")
    values = [update(quotes, f"quotes.{n}", n, size=size) for n, size in enumerate(sizes)]
    states = [update(books, "book.X", n, seq=n, size=size) for n, size in enumerate(sizes)]
    openings = opened(values, states)

    taken = []
    while some := openings.next(size_most):
        # One update may pass the bound, so that a large one cannot block.
        assert sum(entry.size for entry in some[:-1]) < size_most
        taken += some

    assert taken == [*values, *states]


def test_what_is_not_wanted_any_more_is_left_out() -> None:
    """Of a state that is half sent, too."""
    books = lossless_feed("book")
    states = [update(books, f"book.{n % 2}", n, seq=n, size=10) for n in range(6)]
    openings = opened([], states)
    assert openings.next(15) == states[:2]
    wanted = states[0].channel
    openings.retain(lambda channel: channel is wanted)
    assert openings.next(100) == [states[2], states[4]]


# What a client does: it asks for some of eight channels, reads so many slices of so many
# values, or wants no more than some. The last says that it asks that often.
steps = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.frozensets(st.integers(0, 7)), st.integers(1, 3)),
        st.tuples(st.just("read"), st.integers(1, 5), st.integers(1, 70)),
        st.tuples(st.just("keep"), st.frozensets(st.integers(0, 7)), st.just(1)),
    ),
    max_size=60,
)


@LAW
@given(steps)
def test_each_opening_has_what_it_would_have_alone(
    script: list[tuple[str, frozenset[int] | int, int]],
) -> None:
    """Whatever is asked how often: the same channels in each, once, but one mark a channel."""
    feed = conflated_feed()
    channels = [update(feed, f"quotes.{n}", n, size=1).channel for n in range(8)]
    openings, alone = Openings(), list[set[int]]()
    for kind, of, count in script:
        for _ in range(count):
            if kind == "ask" and isinstance(of, frozenset) and len(openings) < OPENINGS_MAX:
                openings.add(Opening([], {}), {channels[n]: None for n in sorted(of)})
                alone.append(set(of))
            elif kind == "keep" and isinstance(of, frozenset):
                openings.retain(lambda channel, of=of: int(channel.name[-1]) in of)  # type: ignore[misc]
                alone = [due & of for due in alone]
            elif kind == "read" and isinstance(of, int) and openings:
                taken = openings.next(of)
                got = {one.data for one in taken}
                assert len(got) == len(taken) == min(of, len(alone[0]))
                assert got <= alone[0]
                alone[0] -= got
                if not got:
                    del openings[0], alone[0]
            assert openings.marks == len(set[int]().union(*alone))
            assert sum(len(one.channels) for one in openings) == openings.marks
    for due in alone:
        assert {one.data for one in openings.next(100)} == due
        assert openings.next(100) == []
        del openings[0]
    assert openings.marks == 0


def test_the_places_go_round() -> None:
    """A reader that is always some openings behind marks in the same few bits for ever."""
    feed = conflated_feed()
    value = update(feed, "quotes.a", 1, size=1)
    openings = opened([value])
    for _ in range(3 * OPENINGS_MAX):
        for _ in range(OPENINGS_MAX // 2):
            opened([value], to=openings)
        for _ in range(OPENINGS_MAX // 2):
            assert (openings.next(10), openings.next(10)) == ([value], [])
            del openings[0]
    assert [opening.place < OPENINGS_MAX for opening in openings] == [True]


def held_by(subscriptions: int) -> int:
    """Bytes that a client holds which has subscribed so often, and reads nothing."""
    held = 0

    @skips_time
    async def run() -> None:
        nonlocal held
        fanout = Fanout()
        for n in range(5_000):
            fanout.publish(f"quotes.{n}")
        client = fanout.client("json", "stalled")
        client.clog()
        client.subscribe("quotes.1")  # what is made at the first of all
        tracemalloc.start()
        try:
            for _ in range(subscriptions):
                client.subscribe("quotes.#")
            held = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        assert len(client.backlog.openings) == subscriptions + 1

    run()
    return held


def test_an_unread_snapshot_is_one_mark_a_channel_however_often_it_is_asked_for() -> None:
    """Sixty subscriptions cost what one does, and a few KB each."""
    once = held_by(1)
    assert once > 5_000 * 50, "or nothing is measured"
    assert held_by(60) < 1.5 * once + 59 * 4_000


@skips_time
async def test_to_subscribe_and_unsubscribe_unread_piles_up_nothing() -> None:
    """What was unsubscribed is let go of, values and full states alike."""
    fanout = Fanout()
    for n in range(50):
        fanout.publish(f"quotes.{n}")
        fanout.publish(f"book.{n}", type="snapshot")
        fanout.publish(f"book.{n}")
    client = fanout.client("json", "stalled", "#")
    client.clog()
    for _ in range(10):
        client.unsubscribe("#")
        client.subscribe("#")
    openings = client.backlog.openings
    assert openings.marks == 50
    assert sum(len(opening.channels) for opening in openings) == 50
    assert sum(len(opening.states) for opening in openings) == 100
    client.pipe.become("fast")
    await fanout.settle()
    # Each answer in its place, and nothing but the last has anything behind it.
    names = [one["event"] for one in client.events if one["event"] != "filler"]
    begin = len(names) - 1 - names[::-1].index("subscribed")
    assert names[begin:] == ["subscribed", *["update"] * 150, "snapshot_end"]
    assert names.count("update") == 150 + 150, "those of before it stopped to read"


@skips_time
async def test_each_subscription_has_its_snapshot_in_its_place() -> None:
    """All its channels behind its own answer, each with the newest value of when it is sent."""
    fanout = Fanout()
    for name in "abc":
        fanout.publish(f"quotes.{name}", "old")
    client = fanout.client("json", "stalled")
    client.clog()
    for wish in ("quotes.b", "quotes.#", "quotes.a", "quotes.#"):
        client.subscribe(wish)
    fanout.publish("quotes.a", "new")
    client.pipe.become("fast")
    await fanout.settle()
    parts: list[list[tuple[Any, Any]]] = []
    for one in [(one["event"], one.get("channel"), one.get("data")) for one in client.events]:
        if one[0] == "subscribed":
            parts.append([])
        elif parts and one[0] == "update":
            parts[-1].append(one[1:])
    parts[-1] = parts[-1][:3]  # without the live one
    a, b, c = ("quotes.a", "new"), ("quotes.b", "old"), ("quotes.c", "old")
    assert [sorted(part) for part in parts] == [[b], [a, b, c], [a], [a, b, c]]
