"""What locust runs: one user is one subscriber, which comes, stays, and comes back.

``connect``, ``first update`` and ``age`` are rows of locust's table, in
milliseconds; a gap, an error and a failed connection are failures. The
verdict over all workers is made where they report to, and ends in the exit
status.
"""

from __future__ import annotations

import logging
import os
import random
import time
from typing import TYPE_CHECKING, Any

from locust import User, events, task
from locust.exception import StopUser
from locust.runners import WorkerRunner

from loadtest.locust.chains import Chains, Update
from loadtest.locust.settings import settings_from
from loadtest.locust.wires import EventStream, Lost, Message, PriceSocket, Request, Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from locust.argument_parser import LocustArgumentParser
    from locust.env import Environment

try:
    SETTINGS = settings_from(os.environ)
except ValueError as error:
    raise SystemExit(str(error)) from None

RETRY_MS = 1000
DELIVERIES = ("lossless", "conflated")

_log = logging.getLogger("tickfan")


class Gap(Exception):
    """An update was lost, or came out of order."""


class Refused(Exception):
    """The service said an error, or to stay away."""


class Subscriber(User):
    """One subscriber, over one connection at a time."""

    abstract = True
    host = SETTINGS.host
    kind: str
    open: Callable[[Request], Wire]

    def on_start(self) -> None:
        """Begin with nothing seen."""
        self.chains = Chains()
        self.cursor: str | None = None
        self.retry_ms: int | None = RETRY_MS

    @task
    def stay(self) -> None:
        """One connection, until it ends."""
        begun = time.time()
        self.retry_ms = RETRY_MS
        host = self.host or SETTINGS.host  # --host wins
        try:
            wire = type(self).open(
                Request(host, SETTINGS.channels, SETTINGS.interval_ms, self.cursor)
            )
        except Lost as error:
            self.fire("connect", time.time() - begun, error=error)
        else:
            self.fire("connect", time.time() - begun)
            self.chains.reconnected()
            try:
                self.follow(wire, begun)
            except Lost as error:
                self.fire("reconnect", 0.0)
                _log.info("%s: %s", self.kind, error)
            finally:
                wire.close()
        if self.retry_ms is None:
            raise StopUser
        # Cooperative: locust has patched it.
        time.sleep(self.retry_ms / 1000 * random.uniform(0.5, 1.5))

    def follow(self, wire: Wire, begun: float) -> None:
        """Take what comes. Raises :class:`Lost` at the end of the connection."""
        has_update = False
        while True:
            messages, size = wire.read()
            now = time.time()
            if not has_update and any(message.updates for message in messages):
                has_update = True
                self.fire("first update", now - begun, size)
            oldest: dict[bool, int] = {}
            for message in messages:
                self.take(message, oldest)
            for is_lossless, ts in oldest.items():
                name = DELIVERIES[not is_lossless]
                self.fire(f"age {name}", now - ts / 1000, size)

    def take(self, message: Message, oldest: dict[bool, int]) -> None:
        """Check one message; ``oldest`` is the least ``ts`` of each delivery so far."""
        for update in message.updates:
            self.step(update, is_snapshot=message.is_snapshot)
            if not message.is_snapshot:  # a snapshot is as old as its channel is quiet
                is_lossless = self.chains.is_lossless(update.channel)
                oldest[is_lossless] = min(oldest.get(is_lossless, update.ts), update.ts)
        body = message.body
        if message.name == "gap":
            self.step(Update(body["channel"], body["seq"], body["ts"], body.get("prev")))
            self.fail("gap", Gap(f"{body['channel']}: the service says gap: {body['reason']}"))
        elif message.name == "reset":
            self.chains.forget()
            self.fail("gap", Gap(f"{body['feed']}: the service says reset: {body['reason']}"))
        elif message.name == "error":
            self.fail("error", Refused(f"{body['code']}: {body['message']}"))
        elif message.name == "closing":
            self.retry_ms = body.get("retry_ms", RETRY_MS)
            if self.retry_ms is None:
                self.fail("error", Refused(f"{body['reason']}: {body.get('message', '')}"))
        if message.cursor is not None:
            self.cursor = message.cursor

    def step(self, update: Update, *, is_snapshot: bool = False) -> None:
        """Take one update into the chains."""
        broken = self.chains.take(update, is_snapshot=is_snapshot)
        if broken is not None:
            _log.error("gap: %s", broken)
            # Locust counts equal failures together: the numbers are in the log.
            self.fail("gap", Gap(f"the chain of {update.channel} is broken"))

    def fail(self, name: str, error: Exception) -> None:
        """Count a failure."""
        self.fire(name, 0.0, error=error)

    def fire(
        self, name: str, seconds: float, size: int = 0, error: Exception | None = None
    ) -> None:
        """Tell locust."""
        self.environment.events.request.fire(
            request_type=self.kind,
            name=name,
            response_time=seconds * 1000,
            response_length=size,
            exception=error,
            context={},
        )


class SseSubscriber(Subscriber):
    """A subscriber over Server-Sent Events."""

    abstract = "sse" not in SETTINGS.transports
    kind = "sse"
    open = EventStream


class WebSocketSubscriber(Subscriber):
    """A subscriber over a MessagePack WebSocket."""

    abstract = "ws" not in SETTINGS.transports
    kind = "ws"
    open = PriceSocket


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def take_defaults(parser: LocustArgumentParser, **_: Any) -> None:
    """Let the environment say what the command line does not."""
    parser.set_defaults(
        num_users=SETTINGS.clients,
        spawn_rate=SETTINGS.clients / SETTINGS.ramp_seconds,
        run_time=str(SETTINGS.seconds),
    )


@events.quitting.add_listener  # type: ignore[untyped-decorator]
def judge(environment: Environment, **_: Any) -> None:
    """Compare what was measured with what was asked for: the exit status."""
    if isinstance(environment.runner, WorkerRunner):
        return  # it has seen its share only
    found = verdict(environment)
    for sentence in found:
        _log.error("failed: %s", sentence)
    if found:
        environment.process_exit_code = 1


def verdict(environment: Environment) -> Sequence[str]:
    """What failed, a sentence each."""
    found = []
    limits = (
        ("connect", 0.95, SETTINGS.connect_p95_ms),
        ("age lossless", 0.99, SETTINGS.age_p99_ms),
        # A conflated value may wait for its interval before it is sent.
        ("age conflated", 0.99, SETTINGS.age_p99_ms + SETTINGS.interval_ms),
    )
    for kind in SETTINGS.transports:
        if not environment.stats.get("first update", kind).num_requests:
            found.append(f"{kind}: no update came")
        for name, part, limit_ms in limits:
            ms = environment.stats.get(name, kind).get_response_time_percentile(part)
            if ms > limit_ms:
                found.append(f"{kind}: {name}: p{part * 100:.0f} is {ms} ms, above {limit_ms} ms")
    if failures := environment.stats.total.num_failures:
        found.append(f"{failures} failures, above 0")
    return found
