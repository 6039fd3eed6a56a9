"""tickfan.fanout.directory: which audiences exist, and which a channel concerns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.fanout import Fanout, skips_time, timers
from tests.support.memory import held
from tests.support.updates import LAW
from tickfan.core.index import PatternIndex
from tickfan.core.pattern import Pattern
from tickfan.fanout.audience import MEMBERS_MAX, Key, Part
from tickfan.fanout.conflated import ConflatedAudience
from tickfan.fanout.finding import LOOKS_AT_ONCE
from tickfan.fanout.lossless import LosslessAudience
from tickfan.fanout.timers import TickGroup

if TYPE_CHECKING:
    from tests.support.fanout import Client

words = st.sampled_from(["a", "b", "c"])
names = st.tuples(st.sampled_from(["trades", "quotes"]), words, words).map(".".join)
patterns = st.lists(st.sampled_from(["trades", "quotes", "a", "b", "*", "#"]), min_size=1,
                    max_size=3).map(".".join)  # fmt: skip


INDEXED = (str, Key, Part, Pattern, ConflatedAudience, LosslessAudience)
"""What an index is made of: audiences, and what they are found by."""


def has_feed(pattern: str) -> bool:
    return any(Pattern(pattern).overlaps(Pattern(bound)) for bound in ("trades.#", "quotes.#"))


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.lists(patterns.filter(has_feed), min_size=1, max_size=3), min_size=1, max_size=5),
    st.lists(names, max_size=6),
    st.lists(names, max_size=6),
)
@skips_time
async def test_a_channel_reaches_exactly_those_who_match(
    wishes: list[list[str]], before: list[str], after: list[str]
) -> None:
    """Known before or new, by name or by wildcard; each update once."""
    fanout = Fanout()
    for name in before:
        fanout.publish(name)
    clients = [
        fanout.client("json", "fast", *wish, snapshot=False, interval_ms=(20, 40)[index % 2])
        for index, wish in enumerate(wishes)
    ]
    for name in after:
        fanout.publish(name)
        await fanout.settle(0.1)
    for wish, client in zip(wishes, clients, strict=True):
        due = [name for name in after if any(Pattern(text).matches(name) for text in wish)]
        assert [one["channel"] for one in client.named("update")] == due
    await all_leave(fanout, clients)


overlapping = ("#", "quotes.#", "*.a.#", "#.b", "quotes.*.b", "quotes.a.b", "trades.a.*")
orders = st.tuples(
    st.integers(0, 1), st.sampled_from(overlapping), st.sampled_from([None, 20, 40, 80])
)  # which client, what, at which interval; None: not any more


@settings(LAW, max_examples=200)
@given(st.lists(st.sampled_from(("quotes.a.b", "quotes.b.b", "trades.a.b")) | orders, max_size=20))
@example([(0, "quotes.a.b", 20), (0, "quotes.#", 40), "quotes.a.b"])
@skips_time
async def test_whatever_clients_hold_a_channel_comes_once(steps: list[Any]) -> None:
    """At several intervals, by patterns that overlap, through changes: once, or not at all."""
    fanout = Fanout()
    clients = [fanout.client("json") for _ in range(2)]
    wishes: list[set[str]] = [set() for _ in clients]
    for step in steps:
        if not isinstance(step, str):
            which, pattern, interval_ms = step
            if interval_ms is None:
                clients[which].unsubscribe(pattern)
                wishes[which].discard(pattern)
            else:
                clients[which].subscribe(pattern, interval_ms=interval_ms, snapshot=False)
                wishes[which].add(pattern)
            continue
        seen = [len(client.named("update")) for client in clients]
        fanout.publish(step)
        await fanout.settle(0.1)
        for client, wish, since in zip(clients, wishes, seen, strict=True):
            is_due = any(Pattern(text).matches(step) for text in wish)
            came = [one["channel"] for one in client.named("update")[since:]]
            assert came == [step] * is_due, (step, wish)
    await all_leave(fanout, clients)


@skips_time
async def test_audiences_that_share_a_key_are_due_the_same() -> None:
    """More members than one audience has: channels of before and new ones reach all."""
    fanout = Fanout()
    fanout.publish("quotes.old")
    fanout.publish("trades.old")
    clients = [
        fanout.client("json", "fast", "quotes.#", "trades.*", snapshot=False)
        for _ in range(MEMBERS_MAX + 1)
    ]
    assert len(fanout.directory) == 4
    for name in ("quotes.old", "trades.old", "quotes.new", "trades.new", "quotes.new"):
        fanout.publish(name)
        await fanout.settle(0.1)
    for client in clients:
        came = [one["channel"] for one in client.named("update")]
        assert came == ["quotes.old", "trades.old", "quotes.new", "trades.new", "quotes.new"]
    await all_leave(fanout, clients)


@skips_time
async def test_a_large_audience_that_ends_is_let_go() -> None:
    """Its channels go on meanwhile, for others; then nothing is left of it."""
    fanout = Fanout()
    names = [f"trades.{number}" for number in range(LOOKS_AT_ONCE + 500)]
    for name in names:
        fanout.publish(name)
    first = fanout.client("json", "fast", "trades.#")
    first.leave()
    assert len(fanout.background) > 0
    second = fanout.client("json", "fast", "trades.#")
    due = [(name, fanout.publish(name)) for name in (names[0], names[-1], names[0])]
    await fanout.turns()
    due.append((names[-1], fanout.publish(names[-1])))
    await fanout.settle()
    assert [(one["channel"], one["seq"]) for one in second.named("update")] == due
    assert first.named("update") == []
    await all_leave(fanout, [second])


async def all_leave(fanout: Fanout, clients: list[Client]) -> None:
    """Everybody leaves, and nothing is left in any index."""
    for client in clients:
        client.leave()
    await fanout.settle()
    directory = fanout.directory
    assert len(directory) == 0
    assert not list(directory)
    left = held(directory, TickGroup, PatternIndex)
    assert not [each for each in left if isinstance(each, INDEXED)]
    for feed in fanout.feeds.values():
        assert not any(channel.audiences for channel in feed.channels.values())
    assert timers(fanout.loop) == 0


@skips_time
async def test_changing_subscriptions_leaves_nothing_behind() -> None:
    """Nor do siblings, slow members and those that change their minds."""
    fanout = Fanout()
    clients = [fanout.client("json", "fast", "trades.#", "quotes.#") for _ in range(20)]
    for turn in range(6):
        for index, client in enumerate(clients):
            if index % 4 == turn % 4:
                client.clog()
            client.subscribe(f"trades.{index}", f"quotes.{turn}", interval_ms=(20, 40)[turn % 2])
            client.unsubscribe("trades.#" if turn % 2 else "quotes.#", f"quotes.{turn - 1}")
        for index in range(20):
            fanout.publish(f"trades.{index}")
            fanout.publish(f"quotes.{index}")
        await fanout.settle(0.013)
    await all_leave(fanout, clients)


@skips_time
async def test_audiences_of_an_interval_are_spread_over_its_slots() -> None:
    """Not all of them tick in the same moment."""
    fanout = Fanout()
    clients = [fanout.client("json", "fast", f"quotes.{n}", interval_ms=80) for n in range(16)]
    ticks: dict[float, int] = {}
    for index in range(16):
        fanout.publish(f"quotes.{index}")
    seen = 0
    for _ in range(100):
        await fanout.settle(0.001)
        now = sum(len(client.named("update")) for client in clients)
        if now > seen:
            ticks[fanout.loop.time()] = now - seen
        seen = now
    assert sorted(ticks.values()) == [2] * 8, ticks


@skips_time
async def test_lossless_audiences_of_a_feed() -> None:
    """Those that read it, by whatever pattern, and no others."""
    fanout = Fanout()
    for channels in (["trades.a"], ["trades.#", "book.x"], ["book.x"], ["quotes.a"], ["#"]):
        fanout.client("json", "fast", *channels)
    directory, feeds = fanout.directory, fanout.feeds
    assert len(directory.lossless_of(feeds["trades"])) == 3
    assert len(directory.lossless_of(feeds["book"])) == 3
    assert directory.lossless_of(feeds["quotes"]) == []


@skips_time
async def test_a_name_is_waited_for_until_its_channel_is_there() -> None:
    """After that it is in no index, however many audiences have it."""
    fanout = Fanout()
    fanout.publish("quotes.a")
    clients = [
        fanout.client("json", "fast", "quotes.a", f"quotes.{n % 2}", interval_ms=20 + 20 * (n // 2))
        for n in range(4)
    ]

    def awaited() -> set[str]:
        indexes = [each for each in held(fanout.directory) if isinstance(each, dict)]
        return {name for index in indexes for name in index if type(name) is str}

    assert awaited() == {"quotes.0", "quotes.1"}
    fanout.publish("quotes.0")
    assert awaited() == {"quotes.1"}
    await fanout.settle()
    for number, client in enumerate(clients):
        assert len(client.seqs("quotes.0")) == (number % 2 == 0)
    await all_leave(fanout, clients)


@skips_time
async def test_names_at_two_intervals_share_their_audience_with_those_at_one() -> None:
    """A name excludes no other name: who has more elsewhere is due the same bytes here."""
    fanout = Fanout()
    plain = fanout.client("json", "fast", "quotes.a", interval_ms=40)
    both = fanout.client("json", "fast", "quotes.b", interval_ms=20)
    both.subscribe("quotes.a", interval_ms=40)
    assert plain.connection.conflated[40] is both.connection.conflated[40]
    both.subscribe("quotes.*", interval_ms=20)
    assert plain.connection.conflated[40] is not both.connection.conflated[40]


@skips_time
async def test_a_new_channel_goes_only_to_audiences_of_its_feed() -> None:
    """One pattern is asked of every feed, and waits once: each feed's audience gets its own."""
    fanout = Fanout()
    client = fanout.client("json", "fast", "#")
    fanout.publish("quotes.a")
    fanout.publish("trades.a")
    (conflated,), lossless = client.connection.conflated.values(), client.connection.lossless
    assert lossless is not None
    assert {channel.name for channel in conflated.channels} == {"quotes.a"}
    assert {channel.name for channel in lossless.channels} == {"trades.a"}
