"""tickfan.broker.amqp.broker, where nobody listens; with a broker: tests/integration."""

from __future__ import annotations

import asyncio

from loadtest.rig.rabbitmq import free_port
from loadtest.rig.waiting import until
from tests.support import amqp
from tests.support.broker import CONFLATED, LOSSLESS, Recorder, running, source
from tickfan.broker.amqp import AmqpBroker
from tickfan.core.feed import Upstream


async def test_a_broker_that_is_away() -> None:
    """Every feed says so, and a stop leaves nothing behind."""
    before = asyncio.all_tasks()
    sink, feeds = Recorder(), [source(LOSSLESS, "l"), source(CONFLATED, "c")]
    port = free_port()
    options = amqp.options(f"amqp://guest:secret@127.0.0.1:{port}/", backoff_first_s=0.01)
    async with running(AmqpBroker(feeds, sink, options)):
        await until(lambda: len(sink.states) == 2)
    for name in ("l", "c"):
        assert sink.state(name) is Upstream.STARTING
        assert f"127.0.0.1:{port}" in sink.why(name)
        assert "secret" not in sink.why(name)
    await until(lambda: asyncio.all_tasks() <= before)
