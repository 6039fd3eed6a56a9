"""``tickfan serve``: run the service until it is told to stop.

Must not know how the service is built, nor any other command.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from tickfan import logs
from tickfan.app import StartError
from tickfan.app import serve as run
from tickfan.commands import FAILED, OK
from tickfan.commands.banner import banner
from tickfan.commands.shared import (
    BROKER_URL,
    FILES_BESIDE_CLIENTS,
    raise_file_limit,
    say,
    settings_to_serve,
)
from tickfan.wire.schema import SchemaError

if sys.platform != "win32":
    import uvloop

if TYPE_CHECKING:
    from tickfan.broker.base import Broker
    from tickfan.config import Settings

log = structlog.get_logger("tickfan")

KNOWN_WITHIN_S = 6.0
"""So long the greeting waits for the broker: after 5 s a host that does not answer is named."""
POLL_S = 0.02


def serve(config: Path | None, *, is_demo: bool = False) -> int:
    """Serve under uvloop; one sentence and status 1 if it cannot start."""
    wanted = settings_to_serve(config, is_demo=is_demo)
    settings = wanted.with_room(raise_file_limit(wanted.sockets_max))
    try:
        logs.configure(settings.log.level, settings.log.format, audit_file=settings.log.audit_file)
    except OSError as error:
        path = settings.log.audit_file
        say(f"log.audit_file: {path} cannot be written: {error.strerror}. Nothing was started")
        return FAILED
    tasks: list[asyncio.Task[None]] = []

    def on_ready(broker: Broker) -> None:
        # Not before: a port that is taken should be the one thing that is said.
        _warn(settings)
        _say_room(settings, wanted)
        _settle()
        if sys.stderr.isatty() or settings.log.format == "console":
            tasks.append(asyncio.get_running_loop().create_task(_greet(settings, broker)))

    factory = uvloop.new_event_loop if sys.platform != "win32" else None
    try:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(run(settings, on_ready=on_ready))
    except (SchemaError, StartError) as error:
        say(str(error))
        return FAILED
    except KeyboardInterrupt:  # only before the service listens to signals itself
        return FAILED
    return OK


def _say_room(settings: Settings, wanted: Settings) -> None:
    """Say that there is less room than was asked for: it matters where so many clients come."""
    if settings.sockets_max < wanted.sockets_max:
        log.info(
            "the limit of open files leaves room for fewer connections",
            connections_max=settings.stream.connections_max,
            sockets_max=settings.sockets_max,
            wanted=wanted.stream.connections_max,
            hint=f"ulimit -n {wanted.sockets_max + FILES_BESIDE_CLIENTS}",
        )


def _settle() -> None:
    # What is there now stays, so the collector need not look at it again. And updates in
    # histories make the collector's rounds long, so it makes fewer of them: a
    # sixth of the ingest's cost for batches at most (docs/benchmarks.md). A round over
    # 50,000 new objects held the loop for up to 20 ms, and its time goes with their number.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 50)


async def _greet(settings: Settings, broker: Broker) -> None:
    """Say where the service is when it is known how the broker does, or after a while."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(KNOWN_WITHIN_S):
            while None in broker.health().causes.values():  # noqa: ASYNC110 - once in a life
                await asyncio.sleep(POLL_S)
    is_terminal = sys.stderr.isatty()
    causes = broker.health().causes
    sys.stderr.write(banner(settings, causes, colour=is_terminal, command=_own_name()))
    sys.stderr.flush()


def _warn(settings: Settings) -> None:
    """Say in one line what runs in the place of RabbitMQ."""
    hint = f"set {BROKER_URL}, and leave --demo and market.enabled out"
    if settings.market.enabled:
        log.warning(
            "the market is simulated: no price here is real", rate=settings.market.rate, hint=hint
        )
    elif settings.broker.is_memory:
        log.warning(
            "the broker is inside of this process: it has what HTTP publishes, and nothing else",
            hint=hint,
        )


def _own_name() -> str:
    """How this command is called from here: the name alone if the shell finds it."""
    script = Path(sys.argv[0])
    if shutil.which("tickfan") is not None or script.name != "tickfan":
        return "tickfan"
    return os.path.relpath(script)
