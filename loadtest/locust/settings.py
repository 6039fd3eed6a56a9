"""What the load test is told by the environment: the names and defaults of ../README.md.

Must not know locust.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

TRANSPORTS = ("sse", "ws")


class Settings(NamedTuple):
    """Checked settings; names end with their unit."""

    host: str
    channels: tuple[str, ...]
    interval_ms: int
    clients: int
    seconds: int
    ramp_seconds: int
    age_p99_ms: int
    connect_p95_ms: int
    transports: tuple[str, ...]


def settings_from(environ: Mapping[str, str]) -> Settings:
    """Read ``TICKFAN_LOAD_*``. Raises ValueError, which names the variable."""
    transports = _list(environ, "TICKFAN_LOAD_TRANSPORTS", ",".join(TRANSPORTS))
    if unknown := set(transports) - set(TRANSPORTS):
        raise ValueError(
            f"TICKFAN_LOAD_TRANSPORTS: there is no {', '.join(sorted(unknown))}: "
            f"allowed are {', '.join(TRANSPORTS)}"
        )
    return Settings(
        host=_address(environ, "TICKFAN_LOAD_HOST", "http://localhost:8080"),
        channels=_list(environ, "TICKFAN_LOAD_CHANNELS", "quotes.#,trades.#"),
        interval_ms=_whole(environ, "TICKFAN_LOAD_INTERVAL_MS", 500),
        clients=_whole(environ, "TICKFAN_LOAD_CLIENTS", 50),
        seconds=_whole(environ, "TICKFAN_LOAD_SECONDS", 30),
        ramp_seconds=_whole(environ, "TICKFAN_LOAD_RAMP_SECONDS", 10),
        age_p99_ms=_whole(environ, "TICKFAN_LOAD_AGE_P99_MS", 250),
        connect_p95_ms=_whole(environ, "TICKFAN_LOAD_CONNECT_P95_MS", 1000),
        transports=transports,
    )


def _whole(environ: Mapping[str, str], name: str, default: int) -> int:
    text = environ.get(name) or str(default)
    if not re.fullmatch("[1-9][0-9]{0,8}", text):
        raise ValueError(f"{name}: {text} is not a whole number from 1")
    return int(text)


def _list(environ: Mapping[str, str], name: str, default: str) -> tuple[str, ...]:
    text = environ.get(name) or default
    found = tuple(item.strip() for item in text.split(",") if item.strip())
    if not found:
        raise ValueError(f"{name}: it names nothing")
    return found


def _address(environ: Mapping[str, str], name: str, default: str) -> str:
    text = (environ.get(name) or default).rstrip("/")
    if not re.match("https?://[^/]", text):
        raise ValueError(f"{name}: {text} is not an address such as http://localhost:8080")
    return text
