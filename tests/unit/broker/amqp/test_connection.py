"""Waits, answers and reasons of a connection, without a broker."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from aiormq.exceptions import AMQPError, ChannelClosed, ConnectionClosed

from tests.support import amqp
from tickfan.broker.amqp.connection import (
    Backoff,
    LinkLost,
    answer,
    reason,
)
from tickfan.config import BrokerSettings

OPTIONS = amqp.options("amqp://localhost/", backoff_first_s=1, backoff_max_s=8)


def test_backoff_doubles_with_jitter() -> None:
    """Each wait lies between half and all of a ceiling that doubles up to its limit."""
    backoff = Backoff(OPTIONS)
    for ceiling in (1, 2, 4, 8, 8, 8):
        assert ceiling / 2 <= backoff.next() <= ceiling


def test_backoff_starts_over() -> None:
    """What lived longer than the longest wait starts over, what died young does not."""
    backoff = Backoff(OPTIONS)
    for _ in range(4):
        backoff.next()
    assert backoff.after(lived_s=1) >= 4
    assert backoff.after(lived_s=9) <= 1


async def test_answer_in_time() -> None:
    """An answer is handed on."""
    assert await answer(asyncio.sleep(0, "yes"), 1, lambda: 0) == "yes"


async def test_no_answer() -> None:
    """Silence is a lost link, and the call is not left behind."""
    with pytest.raises(LinkLost, match="no answer within"):
        await answer(asyncio.sleep(60), 0.05, lambda: 0)
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == 1


async def test_a_busy_link_is_alive() -> None:
    """As long as something else is received, the answer may take longer."""
    count = itertools.count()
    assert await answer(asyncio.sleep(0.2, "late"), 0.05, lambda: next(count)) == "late"


def test_reasons_are_never_empty() -> None:
    """An error without a text is named by its type."""
    assert reason(ValueError()) == "ValueError"
    assert reason(TimeoutError()) == "timed out"
    assert reason(None) == "the connection was closed"
    assert reason(OSError("no route")) == "no route"
    assert reason(OSError(111, "refused")) == "[Errno 111] refused"


@pytest.mark.parametrize("kind", [ConnectionClosed, ChannelClosed])
def test_a_reply_code_is_no_errno(kind: type[AMQPError]) -> None:
    """What RabbitMQ says comes first, and its code is called by its name."""
    said = "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'"
    assert reason(kind(320, said)) == f"{said} (AMQP reply code 320)"
    assert reason(kind("only words")) == "only words"


def test_the_longest_wait_is_short() -> None:
    """A broker that is back is found within 5 s."""
    assert BrokerSettings().backoff_max_s <= 3
