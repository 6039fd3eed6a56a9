"""The outbox: order, bound, and an account of everything."""

from __future__ import annotations

import asyncio

import pytest

from loadtest.rig.waiting import DEADLINE_S
from tickfan.broker.base import BrokerDown, Message, PublishError, Unconfirmed, Unroutable
from tickfan.commands.outbox import IN_FLIGHT_MAX, Outbox, Outcome


class SlowBroker:
    """A broker whose confirms come when the test says so."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.most = self.open = 0
        self.answer = asyncio.Event()
        self.full = asyncio.Event()
        self.errors: dict[str, PublishError] = {}

    async def publish(self, feed: str, message: Message) -> None:
        self.keys.append(message.routing_key)
        self.open += 1
        self.most = max(self.most, self.open)
        if self.open == IN_FLIGHT_MAX:
            self.full.set()
        await self.answer.wait()
        self.open -= 1
        if error := self.errors.get(message.routing_key):
            raise error


async def test_many_in_flight_in_order_and_bounded() -> None:
    """Up to the bound wait for confirms; the next waits; the order is the calls'."""
    broker = SlowBroker()
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        outbox = Outbox(broker, tasks)
        names = [f"k{number}" for number in range(IN_FLIGHT_MAX + 10)]

        async def send() -> None:
            for name in names:
                await outbox.publish("trades", Message(name, b"1"))

        sender = tasks.create_task(send())
        await broker.full.wait()
        assert not sender.done()
        broker.answer.set()
    assert broker.most == IN_FLIGHT_MAX
    assert broker.keys == names
    assert outbox.outcome.confirmed == outbox.outcome.published == len(names)


async def test_everything_is_accounted_for() -> None:
    """Confirmed, unroutable and failed sum up to published, in updates."""
    broker = SlowBroker()
    broker.answer.set()
    broker.errors = {"a": Unroutable("nobody"), "b": Unconfirmed("late")}
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        outbox = Outbox(broker, tasks)
        for name in "abc":
            await outbox.publish("quotes", Message(name, b"[1,2,3]", batch=True))
    outcome = outbox.outcome
    assert (outcome.published, outcome.messages) == (9, 3)
    assert (outcome.confirmed, outcome.unroutable, outcome.failed) == (3, 3, 3)
    assert outcome.unroutable_feeds == {"quotes"}
    assert outcome.why == "late"


async def test_a_broker_that_is_down_ends_it() -> None:
    """After one message met no broker, the next call says so instead of trying all."""
    broker = SlowBroker()
    broker.answer.set()
    broker.errors = {"a": BrokerDown("no connection")}
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        outbox = Outbox(broker, tasks)
        await outbox.publish("trades", Message("a", b"1"))
        while not outbox.outcome.failed:  # noqa: ASYNC110 - the outcome tells nobody
            await asyncio.sleep(0)
        with pytest.raises(BrokerDown):
            await outbox.publish("trades", Message("a", b"1"))
    assert outbox.outcome.failed == outbox.outcome.published == len(broker.keys) == 1


def test_the_first_row_that_was_not_confirmed() -> None:
    """Whatever order failures come in; what is of no file has no row."""
    outcome, of_no_file = Outcome(), Outcome()
    for row in (501, 1, 1001):
        outcome.fail(500, row)
    of_no_file.fail(2, None)
    assert (outcome.unconfirmed_row, outcome.failed) == (1, 1500)
    assert (of_no_file.unconfirmed_row, of_no_file.failed) == (None, 2)
