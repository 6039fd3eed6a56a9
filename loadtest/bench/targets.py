"""The servers that are measured, each ready on the server's core while its context is open.

Must not know what is measured, nor in which order.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from loadtest.bench.machine import Child, prefer
from loadtest.bench.peers import nchan, nodejs, webstomp
from loadtest.bench.publish import PublishSpec
from loadtest.bench.steady import Target
from loadtest.bench.subject import EXCHANGE, service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from loadtest.bench.builds import Build
    from loadtest.bench.run import Bench
    from loadtest.bench.shapes import Shape

PRIME_ABOVE = 10
"""With more channels than that, each has a value before the clients come."""

OURS = {"rows": ("tickfan WebSocket", "/v1/ws"), "sse": ("tickfan SSE", "/v1/sse")}
"""By wire: the name in the report, and where clients connect."""


def published(bench: Bench, shape: Shape, exchange: str) -> PublishSpec:
    """The publisher of a shape, through RabbitMQ."""
    return PublishSpec(
        bench.node.port, shape.channels, shape.rate, shape.batch, shape.quotes, exchange=exchange
    )


@contextmanager
def ours(  # noqa: PLR0913 - all by name
    bench: Bench,
    shape: Shape,
    wire: str,
    *,
    name: str = "",
    before: str = "",
    build: Build | None = None,
    exchange: str = EXCHANGE,
    tls: bool = False,
) -> Iterator[Target]:
    """The service. A failure says what it has printed. See :func:`.subject.service`."""
    usual, path = OURS[wire]
    with service(
        bench.directory, bench.node.url, bench.cores,
        flush_ms=shape.flush_ms, before=before, build=build, exchange=exchange, tls=tls,
    ) as process:  # fmt: skip
        assert process.process is not None
        publish = published(bench, shape, exchange)
        if len(shape.channels) > PRIME_ABOVE:
            _prime(publish)
        pid = process.process.pid
        try:
            yield Target(
                name or (f"{usual}, TLS" if tls else usual),
                pid, process.port, path, wire, publish, process, bench.broker_pid, tls=tls,
            )  # fmt: skip
        except (OSError, RuntimeError) as error:
            raise RuntimeError(
                f"{shape.name} failed; the service said:\n{process.output}"
            ) from error


def _prime(publish: PublishSpec) -> None:
    count = len(publish.channels)
    one = replace(publish, rate=0, batch=min(publish.batch, 100), quotes=False, most=count)
    with Child("loadtest.bench.publish", one.text()) as child:
        child.read()
        child.tell("go")
        while child.ask("mark")["updates"] < count:
            time.sleep(0.1)
        child.ask("stop")
    time.sleep(0.5)


@contextmanager
def nchan_of(bench: Bench, shape: Shape, wire: str) -> Iterator[Target]:
    """An nginx with nchan."""
    with bench.cores.on_server():
        server = nchan.Nchan(bench.directory / f"nchan-{shape.name}-{wire}")
        server.__enter__()
    try:
        prefer(server.pid)
        publish = PublishSpec(
            server.port, shape.channels, shape.rate, target="http", path="/publish"
        )
        name = "nchan WebSocket" if wire == "frames" else "nchan SSE"
        yield Target(name, server.pid, server.port, "/subscribe", wire, publish)
    finally:
        server.__exit__()


@contextmanager
def naive(bench: Bench, shape: Shape, wire: str, exchange: str = EXCHANGE) -> Iterator[Target]:
    """The loop that a Python user would write first."""
    start = partial(Child, "loadtest.bench.peers.naive", bench.node.url, exchange)
    name, path = ("naive WebSocket", "/ws") if wire == "frames" else ("naive SSE", "/sse")
    with _consumer(bench, start) as (pid, port):
        publish = published(bench, shape, exchange)
        yield Target(name, pid, port, path, wire, publish, None, bench.broker_pid)


@contextmanager
def ws_on_node(bench: Bench, shape: Shape, exchange: str = EXCHANGE) -> Iterator[Target]:
    """``ws`` on Node."""
    with _consumer(bench, partial(nodejs.start, bench.node.url, exchange)) as (pid, port):
        publish = published(bench, shape, exchange)
        yield Target("ws on Node", pid, port, "/", "frames", publish, None, bench.broker_pid)


@contextmanager
def _consumer(bench: Bench, start: Callable[[], Child]) -> Iterator[tuple[int, int]]:
    """The process and port of a peer that takes the updates from the same RabbitMQ."""
    with bench.cores.on_server():
        child = start()
    with child:
        port = child.read()["port"]
        prefer(child.pid)
        yield child.pid, port


@contextmanager
def stomp(bench: Bench, shape: Shape) -> Iterator[Target]:
    """A second RabbitMQ with Web-STOMP."""
    with bench.cores.on_server():
        server = webstomp.WebStomp(bench.directory / f"stomp-{shape.name}")
        server.__enter__()
    try:
        prefer(server.pid)
        publish = replace(published(bench, shape, EXCHANGE), port=server.amqp_port)
        yield Target("RabbitMQ Web-STOMP", server.pid, server.port, "/ws", "stomp", publish)
    finally:
        server.__exit__()
