"""How the process starts, is told to stop, and goes.

Must not know the parts of the service, only that it runs and drains.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import signal
from typing import TYPE_CHECKING, Protocol

import structlog

from tickfan.config import STOP_MARGIN_S
from tickfan.core.errors import TickfanError
from tickfan.transports.door import listen
from tickfan.transports.httplog import HttpLog
from tickfan.transports.server import Runner, Site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractAsyncContextManager

    from aiohttp import web

    from tickfan.config import Settings
    from tickfan.transports.door import Limiter
    from tickfan.transports.tlsline import Tls

log = structlog.get_logger("tickfan")

LAST_WORD_S = 0.5
"""Of that margin, for telling those who have not been told yet."""

POLL_S = 0.05


class StartError(TickfanError):
    """The service cannot start; one sentence says why and what to do."""


class ServiceFailed(StartError):
    """A part of the service that must go on for ever has ended."""


class Runnable(Protocol):
    """What is run: see :class:`tickfan.app.Service`."""

    public: web.Application
    admin: web.Application
    limiter: Limiter
    tls: Tls | None
    failed: asyncio.Event
    failure: str

    @property
    def connected(self) -> int:
        """Connections that are open."""

    def running(self) -> AbstractAsyncContextManager[None]:
        """Work while inside."""

    def refuse_new(self) -> None:
        """Fail readiness and turn newcomers away."""

    async def drain(self, spread_s: float) -> None:
        """Ask every client to leave."""


async def run(service: Runnable, settings: Settings, on_ready: Callable[[], None]) -> None:
    """Listen, work until a signal comes, and stop within the grace.

    Readiness fails first; then the listener closes, clients are told over
    ``drain_s``, the broker's consumers are closed in order, and what is left
    is told at once and cut. A second signal goes there at once. Raises :class:`StartError`.
    """
    stop = Stop()
    http = settings.http
    public = _runner(service.public, settings, service.tls)
    admin = _runner(service.admin, settings)
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(stop.listening())
        stack.push_async_callback(admin.cleanup)
        stack.push_async_callback(public.cleanup)
        if service.tls is not None:
            certificate = service.tls.certificate
            certificate.start(asyncio.get_running_loop())
            stack.callback(certificate.stop)
        await _listen(public, http.host, http.port, settings, "port", service.limiter)
        # Nobody is turned away here: the public listener leaves it the files that it needs.
        await _listen(admin, http.admin_host, http.admin_port, settings, "admin_port", None)
        async with service.running():
            log.info("serving", host=http.host, port=_port(public), admin_port=_port(admin))
            on_ready()
            await _first(stop.asked, service.failed)
            await _leave(service, public, settings, stop)
    log.info("stopped")
    if service.failed.is_set():
        raise ServiceFailed(service.failure)


class Stop:
    """The signals: the first asks to stop, the second to hurry."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.hurry = asyncio.Event()

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """React to SIGTERM and SIGINT while inside."""
        loop = asyncio.get_running_loop()
        numbers = (signal.SIGTERM, signal.SIGINT)
        for number in numbers:
            loop.add_signal_handler(number, self._on_signal)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)

    def _on_signal(self) -> None:
        if self.asked.is_set():
            self.hurry.set()
        self.asked.set()


async def _first(*events: asyncio.Event) -> None:
    waiting = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()


async def _leave(service: Runnable, public: Runner, settings: Settings, stop: Stop) -> None:
    stopping = settings.stop
    log.info("stopping", connections=service.connected, grace_s=stopping.grace_s)
    service.refuse_new()
    deadline = asyncio.get_running_loop().time() + stopping.grace_s - STOP_MARGIN_S
    hurry = asyncio.create_task(stop.hurry.wait())
    leaving = asyncio.create_task(_drain(service, public, settings))
    try:
        async with asyncio.timeout_at(deadline):
            await asyncio.wait((hurry, leaving), return_when=asyncio.FIRST_COMPLETED)
    except TimeoutError:
        pass
    finally:
        for task in (hurry, leaving):
            task.cancel()
        await asyncio.wait((hurry, leaving))
    if service.connected:
        await service.drain(0)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LAST_WORD_S):
            await _gone(public)
    if left := _open(public):
        log.warning("cut, the grace is over", connections=left)


async def _drain(service: Runnable, public: Runner, settings: Settings) -> None:
    # Still listening: what balances the load needs a moment to see that
    # readiness has failed.
    await asyncio.sleep(settings.stop.drain_delay_s)
    for site in list(public.sites):
        await site.stop()
    await service.drain(settings.stop.drain_s)
    await _gone(public)


async def _gone(public: Runner) -> None:
    """Wait until every connection is closed: being told is not having read it."""
    public.end_idle()
    while _open(public):  # noqa: ASYNC110 - a last look each 50 ms, once in a life
        await asyncio.sleep(POLL_S)


def _open(public: Runner) -> int:
    return 0 if public.server is None else len(public.server.connections)


def _runner(app: web.Application, settings: Settings, tls: Tls | None = None) -> Runner:
    return Runner(
        app,
        handle_signals=False,
        access_log=None,
        logger=HttpLog(logging.getLogger("aiohttp.server"), {}),
        # Bodies with a Content-Encoding are refused, not unpacked.
        auto_decompress=False,
        tls=tls,
        header_timeout_s=settings.http.header_timeout_s,
        keepalive_timeout=settings.http.keepalive_timeout_s,
        # How long the rest of a refused body is read, so that the answer is, too.
        lingering_time=settings.stream.closing_timeout_s,
        # A client that leaves is noticed at once, not at the next write.
        handler_cancellation=True,
        # Clients have been told by now; what is left has had its time.
        shutdown_timeout=0.1,
    )


def _port(runner: web.AppRunner) -> int:
    """The port that is listened on: the one that the system chose for port 0."""
    port: int = runner.addresses[0][1]
    return port


async def _listen(  # noqa: PLR0913 - of two listeners, in one place
    runner: Runner, host: str, port: int, settings: Settings, name: str, limiter: Limiter | None
) -> None:
    await runner.setup()
    http = settings.http
    try:
        sockets = listen(host, port, backlog=http.backlog, reuse_port=http.reuse_port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise StartError(
                f"port {port} on {host} is taken; set TICKFAN_HTTP__{name.upper()} or http.{name}"
            ) from None
        raise StartError(f"cannot listen on {host}:{port} (http.{name}): {error}") from None
    await Site(runner, sockets, limiter).start()
