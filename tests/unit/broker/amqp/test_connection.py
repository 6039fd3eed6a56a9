"""Waits, answers and reasons of a connection, without a broker."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from tests.support import amqp
from tickfan.broker.amqp.connection import (
    Backoff,
    LinkLost,
    answer,
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


def test_the_longest_wait_is_short() -> None:
    """A broker that is back is found within 5 s."""
    assert BrokerSettings().backoff_max_s <= 3
