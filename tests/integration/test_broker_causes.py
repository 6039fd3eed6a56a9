"""Why feeds are not read, as the log says it: each cause once, and nothing that is not true."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from loadtest.rig.rabbitmq import free_port
from loadtest.rig.waiting import until
from tests.support.amqp import options
from tests.support.broker import CONFLATED, LOSSLESS, Recorder, running, source
from tests.support.furnished import FANOUT, TOPIC, login
from tickfan.broker.amqp import AmqpBroker
from tickfan.broker.base import Message
from tickfan.core.feed import Upstream

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping

    from loadtest.rig.rabbitmq import RabbitNode
    from tickfan.broker.base import FeedSource

NAMES = ("l1", "l2", "c1")


def feeds(exchange: str = TOPIC) -> list[FeedSource]:
    """Two lossless feeds and a conflated one on one exchange."""
    policies = (LOSSLESS, LOSSLESS, CONFLATED)
    pairs = zip(NAMES, policies, strict=True)
    return [source(policy, name, exchange=exchange) for name, policy in pairs]


def not_read(logs: list[MutableMapping[str, Any]]) -> list[MutableMapping[str, Any]]:
    """The lines that say so."""
    return [line for line in logs if line["event"] == "feeds are not read"]


@pytest.mark.parametrize(
    ("address", "cause"),
    [
        (lambda node: login(node, "guest", "hunter2"), "login refused"),
        (lambda node: login(node, "guest", "guest", "nowhere"), "vhost unknown"),
        (lambda node: login(node, "stranger", "secret"), "no right to the vhost"),
        (lambda _node: f"amqp://guest:guest@127.0.0.1:{free_port()}/", "connection refused"),
        (lambda node: f"amqp://guest:guest@no-such-host.invalid:{node.port}/", "host unknown"),
        (lambda node: f"amqps://guest:guest@127.0.0.1:{node.port}/", "TLS"),
    ],
)
async def test_one_cause_is_one_line(
    furnished: RabbitNode, address: Callable[[RabbitNode], str], cause: str
) -> None:
    """However many feeds there are, also at the end; and health has its name."""
    sink = Recorder()
    broker = AmqpBroker(feeds(), sink, options(address(furnished), backoff_max_s=0.05))
    with capture_logs() as logs:
        async with running(broker):
            await until(lambda: all(broker.health().causes.values()))
            told = set(broker.health().causes.values())
            await until(lambda: not_read(logs))
    assert told == {f"not connected: {cause}"}
    [line] = not_read(logs)
    assert (line["cause"], line["feeds"]) == (f"not connected: {cause}", list(NAMES))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", line["since"])
    assert "hunter2" not in str(line), "no password is said"
    assert [one for one in logs if one["log_level"] == "warning"] == [line]


async def test_who_takes_a_connection_and_closes_it_has_lost_none() -> None:
    """A wrong port, or a proxy without RabbitMQ behind it: no word says that it comes back."""

    def close(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(close, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with server:
        broker = AmqpBroker(feeds(), Recorder(), options(f"amqp://{host}:{port}/"))
        async with running(broker):
            await until(lambda: all(broker.health().causes.values()))
            assert set(broker.health().causes.values()) == {"not connected: closed without a word"}


async def test_an_exchange_of_another_type_is_one_line(furnished: RabbitNode) -> None:
    """Where a topic exchange is wanted; the feeds are connected, and not read."""
    broker = AmqpBroker(feeds(FANOUT), Recorder(), options(furnished.url))
    with capture_logs() as logs:
        async with running(broker):
            await until(lambda: not_read(logs))
            assert set(broker.health().causes.values()) == {"wrong exchange type"}
    [line] = not_read(logs)
    assert (line["cause"], line["feeds"]) == ("wrong exchange type", list(NAMES))
    assert "its type is 'fanout', not 'topic'" in line["why"]


async def test_hosts_of_several_causes(furnished: RabbitNode) -> None:
    """Each cause once, in one order whichever host was tried first."""
    urls = (login(furnished, "guest", "hunter2"), f"amqp://guest:guest@127.0.0.1:{free_port()}/")
    broker = AmqpBroker(feeds(), Recorder(), options(*urls))
    async with running(broker):
        await until(lambda: all(broker.health().causes.values()))
        told = set(broker.health().causes.values())
    assert told == {"not connected: connection refused, login refused"}


async def test_nobody_is_told_to_make_what_is_only_not_up_yet(
    mortal_rabbitmq: RabbitNode,
) -> None:
    """RabbitMQ is killed and comes back: its streams are there, and hold what they held.

    Who made one again would delete its history.
    """
    own, sink = feeds(), Recorder()
    # They try often, so as not to miss the moment in which RabbitMQ answers, and streams do not.
    often = options(mortal_rabbitmq.url, backoff_first_s=0.01, backoff_max_s=0.02)
    broker = AmqpBroker(own, sink, often)
    with capture_logs() as logs:
        async with running(broker):
            await until(lambda: all(sink.is_live(name) for name in NAMES))
            await broker.publish("l1", Message("l1.a", b"1"))
            await asyncio.to_thread(mortal_rabbitmq.kill)
            await until(lambda: all(sink.state(name) is Upstream.STALE for name in NAMES))
            await asyncio.to_thread(mortal_rabbitmq.start)
            await until(lambda: all(sink.is_live(name) for name in NAMES))
            await until(lambda: [e for e in logs if e["event"] == "feeds are read again"])
    whys = " ".join(why for _, _, why in sink.states) + str(logs)
    for word in ("create it", "delete", "broker.declare", "does not exist"):
        assert word not in whys.lower()
    assert sink.bodies("l1") == [b"1"]
    assert sink.resets == []
    again = [line for line in logs if line["event"] == "feeds are read again"]
    assert {feed for line in again for feed in line["feeds"]} == set(NAMES)
    assert len(logs) < 12, "a line a cause, and not one a try"
