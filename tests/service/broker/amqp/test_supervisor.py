"""tickfan.broker.amqp.supervisor, where nobody listens; with a broker: tests/integration."""

from __future__ import annotations

import asyncio

from loadtest.rig.rabbitmq import free_port
from loadtest.rig.waiting import until
from tests.support import amqp
from tests.support.broker import LOSSLESS, Recorder, source
from tickfan.broker.amqp.stream import LosslessFeed
from tickfan.broker.amqp.supervisor import Supervisor


async def test_it_tries_again_and_ends_when_it_is_told_to() -> None:
    """The feed says why; a stop leaves no task."""
    before = asyncio.all_tasks()
    sink = Recorder()
    port = free_port()
    options = amqp.options(f"amqp://127.0.0.1:{port}/", backoff_first_s=0.01)
    feed = LosslessFeed(source(LOSSLESS, "f"), sink, options)
    task = asyncio.create_task(Supervisor(feed, options, 0.005).run())
    await until(lambda: sink.states)
    assert f"127.0.0.1:{port}" in sink.why("f")
    task.cancel()
    await until(lambda: asyncio.all_tasks() <= before)
