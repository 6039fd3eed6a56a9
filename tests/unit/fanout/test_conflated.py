"""tickfan.fanout.conflated: what is due at a tick, and how much of it goes at once."""

from __future__ import annotations

import random

import pytest

from tests.support.fanout import WIRES, Fanout, skips_time
from tickfan.fanout.audience import FLUSH_BYTES


@skips_time
async def test_a_large_tick_is_bounded_and_complete() -> None:
    """At most FLUSH_BYTES go to everybody at once; the rest follows, nothing is stale."""
    fanout = Fanout()
    clients = [fanout.client("sse", "fast", "quotes.#") for _ in range(12)]
    for client in clients[:6]:
        client.pipe.become("lazy")
    for index in range(300):
        fanout.publish(f"quotes.{index}", "x" * 1_000)
    await fanout.settle()
    for client in clients:
        assert {one["channel"] for one in client.named("update")} == {
            f"quotes.{index}" for index in range(300)
        }
        assert client.pipe.peak <= FLUSH_BYTES * 1.1


@pytest.mark.parametrize("seed", range(20))
@skips_time
async def test_a_tick_brings_what_has_changed_and_nothing_else(seed: int) -> None:
    """However much has changed and however much one subscribes: each newest value, once."""
    dice = random.Random(seed)
    fanout = Fanout()
    names = [f"quotes.{index}" for index in range(40)]
    for name in names:
        fanout.publish(name, 0)
    clients = {
        fanout.client("json", "fast", *chosen, snapshot=False): set(chosen)
        for chosen in (dice.sample(names, size) for size in (1, 3, 10, 10, 25, 40))
    }
    clients[fanout.client("json", "fast", "quotes.#", snapshot=False)] = set(names)
    await fanout.settle()
    for _ in range(30):
        since = {client: len(client.events) for client in clients}
        values = {}
        changed = dice.sample(names, dice.choice([0, 1, 2, 5, 15, 30, 38, 40]))
        for value in range(dice.choice([1, 3])):
            for name in changed:
                values[name] = (value, fanout.publish(name, value))
        await fanout.settle(0.021)
        for client, subscribed in clients.items():
            came = [
                (one["channel"], (one["data"], one["seq"]))
                for one in client.events[since[client] :]
                if one["event"] == "update"
            ]
            due = {name: value for name, value in values.items() if name in subscribed}
            assert len(came) == len(due)
            assert dict(came) == due


@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("is_flushing", [False, True])
@skips_time
async def test_a_leaver_takes_along_what_its_tick_has_not_brought(
    *, is_flushing: bool, count: int
) -> None:
    """Whatever a subscription changes to, before a tick or just after: each newest value comes."""
    fanout = Fanout()
    names = [f"quotes.{index}" for index in range(5)]
    for name in names:
        fanout.publish(name, "old")
    client = fanout.client("json", "fast", *names, snapshot=False)
    stays = fanout.client("json", "fast", *names, snapshot=False)
    await fanout.settle()
    for name in names[:count]:
        fanout.publish(name, "new")
    if is_flushing:
        for group in fanout.directory.groups_of(20):
            group.tick()
    client.subscribe("quotes.more")
    await fanout.settle()
    for one in (client, stays):
        newest = {event["channel"]: event["data"] for event in one.named("update")}
        assert newest == dict.fromkeys(names[:count], "new")


@skips_time
async def test_a_large_tick_is_shared_to_its_end() -> None:
    """Its parts are the same bytes for all; nobody is served alone, and nothing starves."""
    fanout = Fanout()
    names = [f"quotes.{index}" for index in range(500)]
    for name in names:
        fanout.publish(name, 0)
    clients = [fanout.client("json", "fast", "quotes.#", snapshot=False) for _ in range(5)]
    await fanout.settle()
    wrote = [client.pipe.writes for client in clients]
    begins = [len(client.pipe.received) for client in clients]  # each greeting has its time
    for value in range(1, 10):  # faster than its parts can go
        for name in names:
            fanout.publish(name, [value, "x" * 1_000])
        await fanout.settle(0.02)
    # A part in each REMAINDER_MS, whatever ticks meanwhile: sockets take time.
    assert all(
        client.pipe.writes - before <= 20 for client, before in zip(clients, wrote, strict=True)
    )
    assert all({one["channel"] for one in client.named("update")} == set(names)
               for client in clients)  # fmt: skip
    await fanout.settle()
    assert fanout.tally.parked == 0
    for client in clients:
        newest = {one["channel"]: one["data"][0] for one in client.named("update")}
        assert newest == dict.fromkeys(names, 9)
        values = [one["data"][0] for one in client.named("update") if one["channel"] == names[0]]
        assert values == sorted(values)
    shared = [client.pipe.received[at:] for client, at in zip(clients, begins, strict=True)]
    assert all(came == shared[0] for came in shared)


@pytest.mark.parametrize("wire", WIRES)
@skips_time
async def test_who_has_fallen_behind_shares_what_is_new(wire: str) -> None:
    """As soon as its socket has drained: its own backlog only shrinks from then on."""
    fanout = Fanout()
    names = [f"quotes.{index}" for index in range(40)]
    for name in names:
        fanout.publish(name, 0)
    fast = fanout.client(wire, "fast", "quotes.#", snapshot=False)
    slow = fanout.client(wire, "fast", "quotes.#", snapshot=False)
    await fanout.settle()
    slow.clog()
    for name in names:
        fanout.publish(name, 1)
    await fanout.settle()
    assert len(slow.backlog.marks) == 40
    slow.pipe.become("fast")
    since = {client: len(client.events) for client in (fast, slow)}
    for name in names[:10]:
        fanout.publish(name, 2)
    for group in fanout.directory.groups_of(20):
        group.tick()
    await fanout.turns()  # no time passes: nobody has looked at the slow one
    shared = [client.events[since[client] :] for client in (fast, slow)]
    assert shared[0] == shared[1]
    assert len(shared[0]) == 10
    assert len(slow.backlog.marks) == 30
    await fanout.settle()
    assert not slow.is_parked
    values = [(one["channel"], one["data"]) for one in slow.events[since[slow] :]]
    assert sorted(values) == sorted(
        [(name, 2) for name in names[:10]] + [(name, 1) for name in names[10:]]
    )


@skips_time
async def test_nothing_new_comes_before_a_snapshot() -> None:
    """Who waits for its snapshot is not drawn onto the shared path by a drained socket."""
    fanout = Fanout()
    names = [f"quotes.{index}" for index in range(10)]
    for name in names:
        fanout.publish(name, 0)
    client = fanout.client("json", "fast", names[0])
    await fanout.settle()
    client.clog()
    client.subscribe(*names)
    client.pipe.become("fast")
    fanout.publish(names[5], 1)
    for group in fanout.directory.groups_of(20):
        group.tick()
    await fanout.settle()
    told = [index for index, one in enumerate(client.events) if one["event"] == "subscribed"]
    came = [index for index, one in enumerate(client.events) if one.get("channel") == names[5]]
    assert came[0] > told[1]
    assert client.events[came[0]]["snapshot"] is True
    assert client.seqs(names[5])[-1] == 2


@skips_time
async def test_who_leaves_between_the_parts_of_a_large_tick_gets_the_rest() -> None:
    """Its backlog: the parts that its old audience still has for the others."""
    fanout = Fanout()
    names = [f"quotes.{index}" for index in range(300)]
    for name in names:
        fanout.publish(name, "old")
    client = fanout.client("json", "fast", "quotes.#", snapshot=False)
    stays = fanout.client("json", "fast", "quotes.#", snapshot=False)
    await fanout.settle()
    for name in names:
        fanout.publish(name, "x" * 1_000)
    for group in fanout.directory.groups_of(20):
        group.tick()
    await fanout.turns()  # the first part
    assert 0 < len(client.named("update")) < 300
    client.subscribe("trades.A")
    client.subscribe("quotes.#", interval_ms=80, snapshot=False)
    await fanout.settle()
    for one in (client, stays):
        assert sorted(event["channel"] for event in one.named("update")) == sorted(names)


@skips_time
async def test_ticks_add_up_until_one_can_be_written() -> None:
    """The loop was held for two intervals: what changed in the first is not forgotten."""
    fanout = Fanout()
    names = [f"quotes.{index}" for index in range(9)]
    for name in names:
        fanout.publish(name, "old")
    client = fanout.client("json", "fast", *names, snapshot=False)
    await fanout.settle()
    since = len(client.events)
    for changed in (names[:2], names[2:4], names[1:3]):
        for name in changed:
            fanout.publish(name, "new")
        for group in fanout.directory.groups_of(20):
            group.tick()
    await fanout.settle()
    came = [event["channel"] for event in client.events[since:] if event["event"] == "update"]
    assert sorted(came) == names[:4]


@skips_time
async def test_a_channel_that_appears_after_a_tick_comes_with_the_others() -> None:
    """Whatever was there when the audience first looked over its channels."""
    fanout = Fanout()
    client = fanout.client("json", "fast", "quotes.#")
    fanout.publish("quotes.a")
    await fanout.settle()
    fanout.publish("quotes.a")
    fanout.publish("quotes.b")
    await fanout.settle()
    assert client.seqs("quotes.a") == [1, 2]
    assert client.seqs("quotes.b") == [1]


@skips_time
async def test_who_gives_up_one_channel_before_a_tick_gets_the_value_of_the_other() -> None:
    """Nothing else is written to it that would bring the value along."""
    fanout = Fanout()
    client = fanout.client("json", "fast", "quotes.a", "quotes.b")
    for name in ("quotes.a", "quotes.b"):
        fanout.publish(name)
    client.unsubscribe("quotes.b")
    await fanout.settle()
    assert [one["channel"] for one in client.named("update")] == ["quotes.a"]
