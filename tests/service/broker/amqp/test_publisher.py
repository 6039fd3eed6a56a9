"""tickfan.broker.amqp.publisher, without a broker; with one: tests/integration."""

from __future__ import annotations

import asyncio

import pytest

from loadtest.rig.rabbitmq import free_port
from loadtest.rig.waiting import DEADLINE_S
from tests.support import amqp
from tests.support.broker import LOSSLESS, source
from tickfan.broker.amqp.publisher import Publisher
from tickfan.broker.base import BrokerDown, Message, PublishError, Unroutable


@pytest.fixture
def publisher() -> Publisher:
    feed = source(LOSSLESS, "f")
    options = amqp.options(f"amqp://guest:secret@127.0.0.1:{free_port()}/")
    return Publisher({"f": feed}, options, is_alone=True)


async def test_no_broker(publisher: Publisher) -> None:
    """Everyone who waits is told, at once and without a password; nobody waits any more."""
    message = Message("f.a", b"1")
    calls = [publisher.publish("f", message) for _ in range(5)]
    async with asyncio.timeout(DEADLINE_S):
        results = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(result, BrokerDown) for result in results)
    assert "no connection to the broker" in str(results[0])
    assert "secret" not in str(results)
    assert publisher.waiting == 0
    await publisher.close()


async def test_what_cannot_be_published_needs_no_connection(publisher: Publisher) -> None:
    """A feed that there is not, a key that is too long."""
    with pytest.raises(PublishError, match="no feed 'g'"):
        await publisher.publish("g", Message("g.a", b"1"))
    with pytest.raises(Unroutable, match="255 bytes"):
        await publisher.publish("f", Message("f" * 256, b"1"))
    await publisher.close()
