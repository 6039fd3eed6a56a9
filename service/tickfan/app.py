"""The composition root: the one module that knows all parts.

It builds the parts from the settings, and hands each what it needs. How the process starts
and stops is told in :mod:`tickfan.lifecycle`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING

import structlog
from aiohttp import web

from tickfan.access.revocationlist import RevocationList
from tickfan.api.admin.context import ADMIN, Admin
from tickfan.api.admin.guard import audited, guarded
from tickfan.api.compression import compressed
from tickfan.api.context import CONTEXT, Context
from tickfan.api.prometheus import registry
from tickfan.api.publish import publish
from tickfan.api.routes import admin_routes, public_routes
from tickfan.clock import Clock
from tickfan.config.settings import REVOCATIONS
from tickfan.core import closing
from tickfan.core.changes import ChangeLog
from tickfan.core.errors import Refusal
from tickfan.core.feeds import Feeds
from tickfan.core.tally import Tally
from tickfan.fanout.background import Background
from tickfan.fanout.directory import Directory
from tickfan.fanout.hub import Hub
from tickfan.fanout.pump import Pump
from tickfan.fanout.slices import Pulse
from tickfan.ingest import Ingest
from tickfan.lifecycle import StartError, run
from tickfan.market import simulated
from tickfan.market.routes import Routes
from tickfan.parts import PARTS, Parts, build_gate, build_limiter, build_revocations
from tickfan.session.audit import Audit
from tickfan.session.draining import Draining
from tickfan.session.grants import Rules
from tickfan.session.keepalive import Keepalive, Times
from tickfan.transports.admission import ADMISSION, Limits
from tickfan.transports.answers import Answers
from tickfan.transports.budget import Allowance
from tickfan.transports.certificate import CertificateError
from tickfan.transports.headers import on_response_prepare
from tickfan.transports.middlewares import (
    body_within,
    errors_as_json,
    few_a_turn,
    lists_on_one_line,
)
from tickfan.transports.ndjson import ndjson, ndjson_away
from tickfan.transports.origins import ORIGINS, Origins
from tickfan.transports.pace import paced
from tickfan.transports.remotes import Remotes
from tickfan.transports.sse import sse, sse_away
from tickfan.transports.tickets import identified
from tickfan.transports.tls import tls_of
from tickfan.transports.websocket import websocket, websocket_away
from tickfan.wire.formats import Formats

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from aiohttp.typedefs import Middleware

    from tickfan.broker.base import Broker
    from tickfan.config import Settings
    from tickfan.core.feed import Channel

log = structlog.get_logger("tickfan")

TASK_END_S = 10.0

AWAY = {sse: sse_away, ndjson: ndjson_away, websocket: websocket_away}

__all__ = ["Service", "StartError", "serve"]


async def serve(settings: Settings, *, on_ready: Callable[[Broker], None]) -> None:
    """Serve until SIGTERM or SIGINT; ``on_ready`` gets the broker when it listens.

    Raises :class:`StartError` if it cannot start.
    """
    try:
        service = Service(settings)
    except CertificateError as error:
        raise StartError(str(error)) from None
    await run(service, settings, lambda: on_ready(service.broker))


class Service:
    """All parts of one process, wired. Made inside a running event loop.

    Raises :class:`tickfan.wire.schema.SchemaError` for a schema that has changed and is none.

    ``public`` and ``admin`` are the two listeners' applications.
    """

    def __init__(self, settings: Settings, parts: Parts = PARTS) -> None:
        self._settings = settings
        stream, http = settings.stream, settings.http
        self.loop = loop = asyncio.get_running_loop()
        self._clock = clock = Clock(loop.time)
        self.tally = tally = Tally()
        self.feeds = feeds = Feeds(settings.feed_specs(), settings.feed_schemas())
        self.slices = slices = parts.slices(loop, clock.stopwatch)
        self.background = Background(loop, slices, clock.stopwatch)
        self.making = Background(loop, slices, clock.stopwatch)
        self.pump = Pump(loop, slices, tally, clock.stopwatch, stream.stall_timeout_s)
        changes: ChangeLog[Channel] = ChangeLog()
        self.directory = Directory(loop, slices, self.background, changes, tally, clock)
        self.pace = parts.pace(loop.time, stream.replays_max, stream.replay_bytes_per_s)
        epoch = os.urandom(6).hex()
        rules = Rules(
            stream.intervals_ms,
            stream.channels_per_connection_max,
            stream.wildcards_per_connection_max,
        )
        self.audit = audit = Audit(loop, clock, epoch, names_all=settings.audits_anonymous)
        self.connections = parts.connections(
            self.directory, self.pump, slices, tally, clock,
            max_age_s=stream.max_connection_age_s,
            first_command_timeout_s=stream.first_command_timeout_s,
            per_subject_max=settings.access.connections_per_subject_max,
            epoch=epoch, audit=audit,
        )  # fmt: skip
        self.subscriptions = parts.subscriptions(
            feeds, self.directory, self.pump, self.pace, tally, clock,
            rules=rules, epoch=epoch, audit=audit, is_simulated=settings.market.enabled,
        )  # fmt: skip
        self.hub = Hub(changes, self.directory, tally, self.connections.announce)
        self.broker = parts.broker(
            settings, Ingest(self.hub, feeds, tally, clock, settings.broker.message_bytes_max)
        )
        self.formats = Formats(stream.updates_bytes_max)
        self.keepalive = Keepalive(
            loop, self.connections, clock,
            Times(stream.heartbeat_s, stream.ping_s, stream.pong_timeout_s),
            stream.bytes_per_connection_max,
        )  # fmt: skip
        self.pulse = Pulse(loop, tally.loop_lag)
        self.tls = tls_of(http, slices.add, tally.handshakes)
        remotes = Remotes(http.trusted_proxies)
        self.limiter = build_limiter(settings, remotes, tally, clock)
        known = build_revocations(settings, clock)
        self.gate = build_gate(settings, clock, known)
        # What runs for as long as the service, by its name.
        self._brokers = {"broker": self.broker}
        self.revocations: RevocationList | None = None
        if known is not None:
            end_revoked = partial(
                self.connections.end_those,
                lambda connection: known.refuses(connection.identity),
                closing.FORBIDDEN,
            )
            self.revocations = RevocationList(known, end_revoked, clock)
            self._brokers[REVOCATIONS] = parts.revocation_broker(settings, self.revocations)
        stop = settings.stop
        self.draining = Draining(
            self.connections, clock, feeds.wake, delay_s=stop.drain_delay_s, spread_s=stop.drain_s
        )
        self.admission = parts.admission(
            loop, feeds, slices, self.background, tally, clock,
            connections=self.connections, subscriptions=self.subscriptions,
            formats=self.formats, rules=rules,
            limits=Limits(
                stream.connections_max, http.message_bytes_max, stream.notsent_lowat_bytes,
                stream.retry_ms, stream.closing_timeout_s, stream.snapshot,
                settings.access.auth_timeout_s,
                Allowance(
                    stream.commands_per_s_max,
                    stream.cost_ms_per_s_max,
                    stream.throttled_timeout_s,
                ),
            ),
            gate=self.gate,
            draining=self.draining,
            limiter=self.limiter,
            remote_of=remotes.of,
            audit=audit,
        )  # fmt: skip
        self.origins = Origins(http.allowed_origins, remotes)
        # Of each listener: answers that nobody reads leave the other's probes alone.
        budget = http.answers_bytes_max, http.answer_timeout_s
        self.answers = {name: Answers(self.admission, *budget) for name in ("public", "admin")}
        # Set when a part that must go on for ever has ended; ``failure`` says why.
        self.failed = asyncio.Event()
        self.failure = ""
        self.public = self._public()
        self.admin = self._admin()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Consume, beat and simulate while inside; nothing is left behind after."""
        self.keepalive.start()
        self.pulse.start()
        self.audit.start()
        tasks = [
            asyncio.create_task(broker.run(), name=name) for name, broker in self._brokers.items()
        ]
        if self.gate.key_sets is not None:
            tasks.append(asyncio.create_task(self.gate.key_sets.run(), name="keys"))
        if self._settings.market.enabled:
            tasks.append(asyncio.create_task(self._market(), name="market"))
        for task in tasks:
            task.add_done_callback(self._on_done)
        try:
            yield
        finally:
            self.draining.stop()
            # The market first: it publishes to the broker.
            for task in reversed(tasks):
                task.cancel()
                # The broker's own limits are shorter; nothing may hold the exit.
                await asyncio.wait([task], timeout=TASK_END_S)
            for broker in self._brokers.values():
                await broker.close()
            self.keepalive.stop()
            self.pulse.stop()
            self.audit.stop()
            for answers in self.answers.values():
                answers.stop()
            for part in (self.directory, self.pump, self.background, self.making, self.slices):
                part.stop()

    @property
    def connected(self) -> int:
        """Connections that are open."""
        return len(self.connections)

    def refuse_new(self) -> None:
        """Fail readiness and turn newcomers away."""
        self.draining.refuse_new()

    async def drain(self, spread_s: float) -> None:
        """Ask every client to leave, spread over ``spread_s``; wait for none.

        Answers that nobody reads are cut.
        """
        self.refuse_new()
        self.answers["public"].hasten()
        await self.draining.tell_all(spread_s)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        """Neither task ends by itself: one that does has failed, and that is not hidden."""
        if task.cancelled():
            return
        error = task.exception()
        self.failure = f"the {task.get_name()} task ended: {error or 'without an error'}"
        log.critical("a part of the service failed", part=task.get_name(), exc_info=error)
        self.failed.set()

    async def _market(self) -> None:
        market = self._settings.market
        seed = random.randrange(2**31) if market.seed is None else market.seed
        try:
            await simulated.run(
                self.broker.publish,
                Routes(self._settings.feed_specs()),
                rate=market.rate,
                seed=seed,
                # The embedded broker may not run yet when the first update is due.
                on_failure=lambda _channel, _error: None,
            )
        except Refusal as refusal:
            log.warning("the simulated market has nothing to do", detail=refusal.message)
            await asyncio.get_running_loop().create_future()  # the rest is well

    def _public(self) -> web.Application:
        http = self._settings.http
        app = web.Application(
            middlewares=[
                *self._middlewares("public"),
                few_a_turn(perf_counter),
                # By address, before a token is checked, which costs a signature.
                paced(self.admission, AWAY, publish),
                # A browser that asks first sends no token.
                self.origins.preflight,
                identified(self.gate, streams=(sse, ndjson, websocket)),
                body_within(http.header_timeout_s),
            ],
            client_max_size=http.body_bytes_max,
        )
        app.on_response_prepare.append(on_response_prepare)
        app.on_response_prepare.append(self.origins.on_response_prepare)
        app[ADMISSION] = self.admission
        app[ORIGINS] = self.origins
        app[CONTEXT] = self._context()
        app.add_routes(public_routes())
        return app

    def _admin(self) -> web.Application:
        http = self._settings.http
        app = web.Application(
            middlewares=[
                audited,
                *self._middlewares("admin"),
                guarded(http.admin_token.get_secret_value(), is_local=http.is_admin_local),
                body_within(http.header_timeout_s),
            ],
            client_max_size=http.body_bytes_max,
        )
        app.on_response_prepare.append(on_response_prepare)
        app[CONTEXT] = self._context()
        app[ADMIN] = Admin(
            self.connections, self.background, self.draining, self._clock,
            self.revocations, self._brokers.get(REVOCATIONS),
        )  # fmt: skip
        app.add_routes(admin_routes(registry(app[CONTEXT])))
        return app

    def _middlewares(self, listener: str) -> list[Middleware]:
        errors = errors_as_json(self.tally.refusals)
        return [self.answers[listener].write, errors, lists_on_one_line, compressed]

    def _context(self) -> Context:
        return Context(
            self.feeds,
            self.connections,
            self.directory,
            self.pump,
            self.slices,
            self.making,
            self.answers,
            self.tally,
            self.broker,
            self.formats.encodings,
            self.subscriptions.epoch,
            self.subscriptions.is_simulated,
            self.gate,
            self.revocations,
            lambda: self.draining.is_on,
            lambda: self.limiter.addresses.sockets,
            self.audit,
            self.admission.remote_of,
            None if self.tls is None else self.tls.certificate,
        )
