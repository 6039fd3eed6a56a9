"""The service under measurement: a process of its own, on the server's core.

Must not know the shapes beyond the settings that they ask for.
"""

from __future__ import annotations

import contextlib
import itertools
import json
from typing import TYPE_CHECKING

from loadtest.bench.machine import prefer
from tests.support.process import ServiceProcess

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from loadtest.bench.machine import Cores

_RUNS = itertools.count(1)

_ON_ASYNCIO = """
import asyncio, sys, uvloop
uvloop.new_event_loop = asyncio.new_event_loop
from service.cli import main
sys.argv = ["tickfan", "serve"]
main()
"""
ON_ASYNCIO = ("-c", _ON_ASYNCIO)
"""The service on asyncio's own loop, to see what uvloop is worth."""

QUOTES, TRADES = "quotes", "trades"


def feeds(*, flush_ms: int = 10, warm: str = "") -> str:
    """The two feeds of the measurements, as TICKFAN_FEEDS wants them."""
    return json.dumps(
        [
            {"name": QUOTES, "bind": ["quotes.#"], "delivery": "conflated"},
            {
                "name": TRADES,
                "bind": ["trades.#"],
                "delivery": "lossless",
                "flush_ms": flush_ms,
                "warm": warm,
            },
        ]
    )


@contextlib.contextmanager
def service(  # noqa: PLR0913 - all by name
    directory: Path,
    amqp_url: str,
    cores: Cores,
    *,
    flush_ms: int = 10,
    warm: str = "",
    prefix: str = "",
    wait: bool = True,
    runs: Sequence[str] = (),
) -> Iterator[ServiceProcess]:
    """The service, ready, with streams of its own unless ``prefix`` names some.

    ``wait`` False: it only listens. ``runs`` instead of the command: Python's arguments.
    """
    process = ServiceProcess(
        directory,
        {
            "BROKER__URL": amqp_url,
            "BROKER__QUEUE_PREFIX": prefix or f"bench{next(_RUNS)}.",
            "FEEDS": feeds(flush_ms=flush_ms, warm=warm),
            "LOG__LEVEL": "warning",
        },
        runs,
    )
    try:
        with cores.on_server():
            process.start(wait_ready=wait)
        assert process.process is not None
        prefer(process.process.pid)
        yield process
    finally:
        process.kill()
