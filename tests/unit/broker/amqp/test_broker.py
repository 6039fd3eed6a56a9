"""tickfan.broker.amqp.broker, without a broker; with one: tests/integration."""

from __future__ import annotations

import pytest

from tests.support import amqp
from tests.support.broker import LOSSLESS, source
from tickfan.broker.amqp import AmqpBroker
from tickfan.core.errors import TickfanError


async def test_a_publisher_alone_does_not_consume() -> None:
    """It has no sink to hand anything to."""
    broker = AmqpBroker([source(LOSSLESS)], None, amqp.options("amqp://h/"))
    with pytest.raises(TickfanError, match="can only publish"):
        await broker.run()
    await broker.close()
