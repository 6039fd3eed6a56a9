"""tickfan.fanout.subscriber: the table of phases. Each step in it has an example here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.fanout import Client, Fanout, skips_time
from tickfan.core import closing
from tickfan.fanout.subscriber import FOLLOWS, Phase, Subscriber

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

SHARED, OPENING, REPLAYING, BACKLOG, AWAITING_FLUSH, ENDED = Phase
START = "1~trades.0.-----------"

FIELD: Any = vars(Subscriber)["phase"]

steps: list[tuple[Phase, Phase]] = []
"""The steps of the client under test."""


class Watched(Subscriber):
    """Notes each change of its phase."""

    __slots__ = ()

    @property
    def phase(self) -> Phase:
        phase: Phase = FIELD.__get__(self)
        return phase

    @phase.setter
    def phase(self, phase: Phase) -> None:
        steps.append((self.phase, phase))
        FIELD.__set__(self, phase)


def connect(fanout: Fanout) -> Client:
    client = fanout.client("json")
    client.subscriber.__class__ = Watched
    steps.clear()
    return client


def end(client: Client) -> None:
    client.subscriber.end(closing.DRAIN)


async def pending(fanout: Fanout) -> None:
    """An audience whose next flush is due in some milliseconds."""
    fanout.client("json", "fast", "trades.a")
    fanout.publish("trades.a")
    await fanout.turns()
    fanout.publish("trades.a")


async def shared(fanout: Fanout) -> Client:
    client = connect(fanout)
    client.subscribe("trades.a")
    return client


async def behind(fanout: Fanout) -> Client:
    """Its socket is full, and an update waits for it."""
    client = await shared(fanout)
    client.clog()
    fanout.publish("trades.a")
    await fanout.settle()
    return client


async def opening(fanout: Fanout) -> Client:
    """Its socket is full, and the answer to a subscription waits for it."""
    client = await shared(fanout)
    client.clog()
    client.subscribe("quotes.a")
    return client


async def replaying(fanout: Fanout) -> Client:
    """It waits for its turn to read what it missed."""
    places = [fanout.pace.admit() for _ in range(100)]
    assert all(places)
    client = connect(fanout)
    fanout.publish("trades.a")
    client.subscribe("trades.a", cursor=START)
    return client


async def awaiting(fanout: Fanout) -> Client:
    """It has joined behind what is pending."""
    await pending(fanout)
    return await shared(fanout)


async def caught_up(fanout: Fanout) -> Client:
    """It has read of the history what is pending, too."""
    await pending(fanout)
    client = connect(fanout)
    client.subscribe("trades.a", cursor=START)
    await fanout.turns()
    return client


async def replayed(fanout: Fanout) -> Client:
    client = await replaying(fanout)
    fanout.pace.leave()
    await fanout.settle()
    return client


async def flushed(fanout: Fanout) -> Client:
    client = await awaiting(fanout)
    await fanout.settle()
    return client


async def opened(fanout: Fanout) -> Client:
    """Its socket drains, while an update waits behind the answer."""
    client = await opening(fanout)
    fanout.publish("trades.a")
    await fanout.settle()
    client.pipe.read()
    await fanout.settle()
    return client


def subscribe(client: Client) -> None:
    client.subscribe("quotes.#")


def unsubscribe(client: Client) -> None:
    client.unsubscribe("trades.a")


def nothing(client: Client) -> None:
    """That was all."""


EXAMPLES: dict[
    tuple[Phase, Phase], tuple[Callable[[Fanout], Awaitable[Client]], Callable[[Client], None]]
] = {
    (SHARED, BACKLOG): (behind, nothing),
    (SHARED, ENDED): (shared, end),
    (OPENING, REPLAYING): (replaying, nothing),
    (OPENING, BACKLOG): (opened, nothing),
    (OPENING, AWAITING_FLUSH): (awaiting, nothing),
    (OPENING, SHARED): (shared, nothing),
    (OPENING, ENDED): (opening, end),
    (REPLAYING, OPENING): (replaying, subscribe),
    (REPLAYING, BACKLOG): (replaying, unsubscribe),
    (REPLAYING, AWAITING_FLUSH): (caught_up, nothing),
    (REPLAYING, SHARED): (replayed, nothing),
    (REPLAYING, ENDED): (replaying, end),
    (BACKLOG, OPENING): (behind, subscribe),
    (BACKLOG, AWAITING_FLUSH): (awaiting, nothing),
    (BACKLOG, SHARED): (flushed, nothing),
    (BACKLOG, ENDED): (behind, end),
    (AWAITING_FLUSH, OPENING): (awaiting, subscribe),
    (AWAITING_FLUSH, BACKLOG): (flushed, nothing),
    (AWAITING_FLUSH, ENDED): (awaiting, end),
}  # fmt: skip


@pytest.mark.parametrize(
    "step",
    [(before, after) for before in Phase for after in Phase if after in FOLLOWS[before]],
    ids=lambda step: f"{step[0].value}-{step[1].value}",
)
@skips_time
async def test_each_step_of_the_table_happens(step: tuple[Phase, Phase]) -> None:
    """None of them is dead."""
    arrange, act = EXAMPLES[step]
    client = await arrange(Fanout())
    act(client)
    assert step in steps
