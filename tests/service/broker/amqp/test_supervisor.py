"""tickfan.broker.amqp.supervisor, where nobody listens; with a broker: tests/integration."""

from __future__ import annotations

import asyncio

import pytest

from loadtest.rig.rabbitmq import free_port
from loadtest.rig.waiting import DEADLINE_S, until
from tests.support import amqp
from tests.support.broker import LOSSLESS, Recorder, source
from tests.support.fakebroker import FakeBroker, fake_broker
from tickfan.broker.amqp.connection import Link, LinkLost
from tickfan.broker.amqp.stream import LosslessFeed
from tickfan.broker.amqp.supervisor import Supervisor


async def has_ended(task: asyncio.Task[None]) -> None:
    """It was told to stop, and does so."""
    await asyncio.wait({task}, timeout=DEADLINE_S)
    assert task.cancelled()


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


@pytest.mark.parametrize("turns", [0, 1, 3, 8, 21, 55, 144])
async def test_it_ends_also_if_its_connection_is_lost_in_that_moment(turns: int) -> None:
    """What ends a call of the library in the same turn must not hide that it was to stop."""
    peers: list[asyncio.StreamWriter] = []
    broker = FakeBroker()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.append(writer)
        await broker.serve(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    options = amqp.options(f"amqp://127.0.0.1:{port}/", backoff_first_s=0.01)
    feed = LosslessFeed(source(LOSSLESS, "f"), Recorder(), options)
    async with server:
        for order in ("cut first", "told first"):
            peers.clear()
            task = asyncio.create_task(Supervisor(feed, options, 0.005).run())
            await until(lambda: peers)
            for _ in range(turns):
                await asyncio.sleep(0)
            if order == "told first":
                task.cancel()
            for peer in peers:
                peer.transport.abort()
            if order == "cut first":
                await asyncio.sleep(0)
                task.cancel()
            await has_ended(task)


async def test_it_ends_also_if_a_task_of_its_own_fails_meanwhile() -> None:
    """A task group of Python 3.11 tells of the failure then, and of no cancellation."""

    class Failing(LosslessFeed):
        async def serve(self, link: Link) -> None:
            serving.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                raise LinkLost("the call was cut off") from None

    serving = asyncio.Event()
    async with fake_broker() as broker:
        options = amqp.options(f"amqp://127.0.0.1:{broker.port}/", backoff_first_s=0.01)
        feed = Failing(source(LOSSLESS, "f"), Recorder(), options)
        task = asyncio.create_task(Supervisor(feed, options, 0.005).run())
        await asyncio.wait_for(serving.wait(), DEADLINE_S)
        task.cancel()
        await has_ended(task)


async def test_it_ends_also_while_nobody_answers() -> None:
    """The library makes an error of its own of a cancelled handshake."""
    accepted = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.set()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        options = amqp.options(f"amqp://127.0.0.1:{port}/", backoff_first_s=0.01)
        feed = LosslessFeed(source(LOSSLESS, "f"), Recorder(), options)
        task = asyncio.create_task(Supervisor(feed, options, 0.005).run())
        await asyncio.wait_for(accepted.wait(), DEADLINE_S)
        task.cancel()
        await has_ended(task)
