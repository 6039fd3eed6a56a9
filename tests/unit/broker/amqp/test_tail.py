"""tickfan.broker.amqp.tail"""

from __future__ import annotations

import pytest

from tests.support.broker import LOSSLESS, source
from tests.unit.broker.amqp.fakes import link_to, message
from tickfan.broker.amqp.tail import Seen, find_tail
from tickfan.broker.base import TopologyError


async def test_the_newest_message_is_the_tail() -> None:
    """The last of what ``last`` gives, with its fingerprint."""
    messages = [message(offset, str(offset).encode()) for offset in (3, 4, 6)]
    assert await find_tail(link_to(*messages), source(LOSSLESS)) == Seen(
        6, messages[-1].fingerprint()
    )


async def test_silence_is_an_empty_stream() -> None:
    """After a while of it."""
    assert await find_tail(link_to(), source(LOSSLESS), patience=0.01) is None


async def test_a_message_without_an_offset_is_of_no_stream() -> None:
    """The queue's type is named."""
    with pytest.raises(TopologyError, match="is not a stream"):
        await find_tail(link_to(message()), source(LOSSLESS))
