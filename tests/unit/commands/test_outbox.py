"""The outbox: order, bound, and an account of everything."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.rig.waiting import DEADLINE_S
from tests.support.fanout import skips_time
from tests.support.updates import LAW
from tickfan.broker.base import (
    BrokerDown,
    Message,
    PublishError,
    Unanswered,
    Unconfirmed,
    Unroutable,
)
from tickfan.commands.outbox import IN_FLIGHT_MAX, WAIT_MAX_S, Outbox, Outcome, Patience

if TYPE_CHECKING:
    from collections.abc import Sequence


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


class MortalBroker:
    """A broker that dies and comes back; whoever publishes meanwhile waits for a connection.

    ``lives`` says after how many messages it dies, time after time; ``away_s`` how long it is
    away then. Of those under way at its death it has stored some, and confirmed none.
    """

    CONFIRM_S, DIAL_S = 0.01, 0.1

    def __init__(self, lives: Sequence[int], away_s: float = 5.0) -> None:
        self.stored: list[str] = []
        self.deaths = 0
        self._lives = list(lives)
        self._away_s = away_s
        self._clock = asyncio.get_running_loop().time
        self._back_at = 0.0
        self._left = self._lives.pop(0) if self._lives else -1

    async def publish(self, feed: str, message: Message) -> None:
        if self._clock() < self._back_at:
            await asyncio.sleep(self.DIAL_S)
            if self._clock() < self._back_at:
                raise BrokerDown("nobody there")
        deaths = self.deaths
        self.stored.append(message.routing_key)
        self._left -= 1
        if self._left == 0:
            self.deaths += 1
            self._back_at = self._clock() + self._away_s
            self._left = self._lives.pop(0) if self._lives else -1
        else:
            await asyncio.sleep(self.CONFIRM_S)
        if self.deaths != deaths:
            raise Unanswered("lost before its confirm")


async def send(outbox: Outbox, names: Sequence[str]) -> None:
    for row, name in enumerate(names, 1):
        await outbox.publish("trades", Message(name, b"1"), row=row)
        if row % 7 == 0:
            await asyncio.sleep(0.02)
    await outbox.settled()


def once(names: Sequence[str]) -> list[str]:
    """Each name at its first place."""
    return list(dict.fromkeys(names))


async def test_many_in_flight_in_order_and_bounded() -> None:
    """Up to the bound wait for confirms; the next waits; the order is the calls'."""
    broker = SlowBroker()
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        outbox = Outbox(broker, tasks, Outcome(), print)
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
        outbox = Outbox(broker, tasks, Outcome(), print)
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
        outbox = Outbox(broker, tasks, Outcome(), print)
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


@skips_time
async def test_a_broker_that_comes_back_gets_all_in_order() -> None:
    """What was not confirmed is sent again, before all that is new; a line for each turn."""
    news: list[str] = []
    broker = MortalBroker([100])
    names = [f"k{number}" for number in range(300)]
    async with asyncio.TaskGroup() as tasks:
        outbox = Outbox(broker, tasks, Outcome(), news.append)
        await send(outbox, names)
    outbox.close()
    outcome = outbox.outcome
    assert once(broker.stored) == names
    assert outcome.confirmed == outcome.published == 300
    assert 0 < outcome.again < 300
    assert len(broker.stored) <= 300 + outcome.again
    assert outcome.again_feeds == {"trades"}
    gone, back = news
    assert gone == "lost before its confirm; waiting for the broker"
    assert back.startswith("the broker is back after ")
    assert f"sending the {outcome.again} updates again" in back


@LAW
@given(
    lives=st.lists(st.integers(1, 60), min_size=1, max_size=6),
    away_s=st.floats(0.01, 20),
    count=st.integers(1, 120),
)
def test_whenever_it_dies_each_message_comes_in_order(
    lives: list[int], away_s: float, count: int
) -> None:
    """None is lost, and a first copy of none comes before those that were sent before it."""

    @skips_time
    async def law() -> None:
        broker = MortalBroker([100, *lives], away_s)
        names = [f"k{number}" for number in range(100 + count)]
        async with asyncio.TaskGroup() as tasks:
            outbox = Outbox(broker, tasks, Outcome(), lambda _: None)
            await send(outbox, names)
        assert once(broker.stored) == names
        assert (outbox.outcome.confirmed, outbox.outcome.failed) == (len(names), 0)

    law()


@pytest.mark.parametrize("patience", [Patience(outage_s=10), Patience(whole_s=10)])
@skips_time
async def test_it_waits_as_long_as_it_may(patience: Patience) -> None:
    """Then it says so, and from which row on nobody has confirmed."""
    broker = MortalBroker([100], away_s=1e6)
    began = asyncio.get_running_loop().time()
    async with asyncio.TaskGroup() as tasks:
        outbox = Outbox(broker, tasks, Outcome(), print, patience)
        with pytest.raises(BrokerDown, match="away for too long: nobody there"):
            await send(outbox, [f"k{number}" for number in range(2000)])
    outbox.close()
    outcome = outbox.outcome
    waited = asyncio.get_running_loop().time() - began
    assert 10 <= waited <= 10 + WAIT_MAX_S
    assert outcome.unconfirmed_row == outcome.confirmed + 1
    assert outcome.published == outcome.confirmed + outcome.failed


@skips_time
async def test_who_gives_up_waits_no_longer() -> None:
    """Ctrl-C in an outage: it ends at once, and counts what nobody has confirmed."""
    news: list[str] = []
    async with asyncio.TaskGroup() as tasks:
        outbox = Outbox(MortalBroker([100], away_s=1e6), tasks, Outcome(), news.append)
        sending = tasks.create_task(send(outbox, [f"k{number}" for number in range(2000)]))
        await asyncio.sleep(60)  # of a clock that jumps
        assert news, "it waits"
        sending.cancel()
        outbox.give_up()
    outbox.close()
    assert outbox.outcome.published == outbox.outcome.confirmed + outbox.outcome.failed
    assert outbox.outcome.unconfirmed_row == outbox.outcome.confirmed + 1


@skips_time
async def test_what_the_broker_refuses_is_not_sent_again() -> None:
    """It has answered: another try would be refused as well."""
    broker = SlowBroker()
    broker.answer.set()
    broker.errors = {"b": Unconfirmed("refused")}
    async with asyncio.TaskGroup() as tasks:
        outbox = Outbox(broker, tasks, Outcome(), print)
        await send(outbox, "abc")
    assert broker.keys == ["a", "b", "c"]
    assert (outbox.outcome.failed, outbox.outcome.why) == (1, "refused")
