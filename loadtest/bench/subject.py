"""The service under measurement: a process of its own, on the server's core.

Must not know the shapes beyond the settings that they ask for.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import subprocess
from typing import TYPE_CHECKING

from loadtest.bench.builds import HERE, Build
from loadtest.bench.machine import prefer
from loadtest.rig.process import ServiceProcess

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from loadtest.bench.machine import Cores

_RUNS = itertools.count(1)

ON_ASYNCIO = "import asyncio, uvloop; uvloop.new_event_loop = asyncio.new_event_loop"
"""Code that puts the service on asyncio's own loop, to see what uvloop is worth."""

ONE_MACHINE = {
    "HTTP__SOCKETS_PER_ADDRESS_MAX": "0",
    "STREAM__CONNECTIONS_PER_ADDRESS_MAX": "0",
    "HTTP__REQUESTS_PER_ADDRESS_PER_S_MAX": "0",
    "HTTP__HANDSHAKES_PER_S_MAX": "0",
    "HTTP__COST_MS_PER_ADDRESS_PER_S_MAX": "0",
    "STREAM__COST_MS_PER_S_MAX": "0",
    "STREAM__COMMANDS_PER_S_MAX": "0",
}
"""All clients come from one address and at once. Earlier releases do not know these settings."""

EXCHANGE = "prices"
QUOTES, TRADES = "quotes", "trades"


def own_exchange() -> str:
    """The name of an exchange that nobody else has: no update of another's comes."""
    return f"bench{next(_RUNS)}"


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


def _certificate(directory: Path) -> dict[str, str]:
    """Settings of TLS, with a new certificate that nobody trusts, of the usual kind of key."""
    cert, key = directory / "tls.crt", directory / "tls.key"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=bench"
    )
    subprocess.run(  # noqa: S603 - our own words
        [*command.split(), "-keyout", key, "-out", cert], check=True, capture_output=True
    )
    return {"HTTP__TLS_CERT_FILE": str(cert), "HTTP__TLS_KEY_FILE": str(key)}


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
    before: str = "",
    build: Build | None = None,
    exchange: str = EXCHANGE,
    settings: Mapping[str, str] | None = None,
    tls: bool = False,
) -> Iterator[ServiceProcess]:
    """The service, ready, with streams of its own unless ``prefix`` names some.

    ``wait`` False: it only listens. ``before``: code to run first. ``build``: instead
    of this checkout's. ``settings``: more of them. ``tls``: with a
    certificate of its own. Raises :class:`RuntimeError` if it
    runs the code of another.
    """
    build = build or Build.of(HERE)
    process = ServiceProcess(
        directory,
        {
            "BROKER__URL": amqp_url,
            "BROKER__EXCHANGE": exchange,
            "BROKER__QUEUE_PREFIX": prefix or f"bench{next(_RUNS)}.",
            "FEEDS": feeds(flush_ms=flush_ms, warm=warm),
            "LOG__LEVEL": "warning",
            **(ONE_MACHINE if build.has("transports/addresses.py") else {}),
            **(_certificate(directory) if tls else {}),
            **(settings or {}),
        },
        (str(build.python), *build.arguments(before)),
        build.environ,
    )
    try:
        with cores.on_server():
            process.start(wait_ready=wait)
        build.verify(process.output)
        assert process.process is not None
        prefer(process.process.pid)
        yield process
    finally:
        process.kill()
