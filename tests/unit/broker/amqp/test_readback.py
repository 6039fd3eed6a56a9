"""tickfan.broker.amqp.readback"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.broker import CONFLATED, source
from tests.unit.broker.amqp.fakes import link_to, message
from tickfan.broker.amqp import readback, tail
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


async def test_nothing_as_young(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty stream, or one whose first message there is after the tail: nothing."""
    monkeypatch.setattr(tail, "EMPTY_AFTER_S", 0.01)
    taken: list[Received] = []
    assert not await read_back(link_to(), source(CONFLATED), "1h", taken.append)

    async def old_tail(*_: object) -> Seen:
        return Seen(3, "")

    monkeypatch.setattr(readback, "find_tail", old_tail)
    assert not await read_back(link_to(message(5)), source(CONFLATED), "1h", taken.append)
    assert taken == []


async def test_a_stream_that_falls_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not reaching the tail is an error, never a hang."""

    async def far_tail(*_: object) -> Seen:
        return Seen(99, "")

    monkeypatch.setattr(readback, "find_tail", far_tail)
    monkeypatch.setattr(readback, "SILENT_AFTER_S", 0.01)
    with pytest.raises(ConsumerLost, match="silent before its tail, 99"):
        await read_back(link_to(message(5)), source(CONFLATED), "1h", lambda _: None)
