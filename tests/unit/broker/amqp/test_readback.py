"""tickfan.broker.amqp.readback"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.broker import CONFLATED, source
from tests.unit.broker.amqp.fakes import link_to, message
from tickfan.broker.amqp.consumer import ConsumerLost
from tickfan.broker.amqp.readback import read_back
from tickfan.broker.amqp.tail import Seen

if TYPE_CHECKING:
    from tickfan.broker.base import Received


async def test_it_ends_at_the_tail() -> None:
    """In order; the fingerprints are returned."""
    messages = [message(offset, str(offset).encode()) for offset in range(5)]
    taken: list[Received] = []
    marks = await read_back(link_to(*messages), source(CONFLATED), "1h", taken.append)
    assert [delivery.body for delivery in taken] == [b"0", b"1", b"2", b"3", b"4"]
    assert [delivery.offset for delivery in taken] == [0, 1, 2, 3, 4]
    assert marks == {each.fingerprint(): 1 for each in messages}


async def test_nothing_as_young() -> None:
    """An empty stream, or one whose first message there is after the tail: nothing."""
    taken: list[Received] = []
    feed = source(CONFLATED)

    async def no_tail(*_: object) -> None:
        return None

    async def old_tail(*_: object) -> Seen:
        return Seen(3, "")

    assert not await read_back(link_to(), feed, "1h", taken.append, find=no_tail)
    assert not await read_back(link_to(message(5)), feed, "1h", taken.append, find=old_tail)
    assert taken == []


async def test_a_stream_that_falls_silent() -> None:
    """Not reaching the tail is an error, never a hang."""

    async def far_tail(*_: object) -> Seen:
        return Seen(99, "")

    with pytest.raises(ConsumerLost, match="silent before its tail, 99"):
        await read_back(
            link_to(message(5)), source(CONFLATED), "1h", lambda _: None,
            find=far_tail, silent_after_s=0.01,
        )  # fmt: skip
