"""What ``tickfan serve`` says when it is up: where it is, and a line to paste.

Must not know how the service is built.
"""

from __future__ import annotations

from io import StringIO
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import quote

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tickfan.config.brokerurl import MEMORY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tickfan.config import Settings

WIDTH = 200
"""Columns to render in: a line to paste must never wrap."""

DEFAULT_URL = "http://localhost:8080"
"""Where `tickfan tail` looks if it is not told."""

CONNECTING = "connecting"
_SPEAK_FOR_THEMSELVES = ("not connected", CONNECTING)

_ANY_HOST = ("127.0.0.1", "0.0.0.0", "::", "::1", "")  # noqa: S104 - compared, not bound


def base_url(host: str, port: int, scheme: str = "http") -> str:
    """The address to show for a listener: one that can be opened from this machine."""
    if host in _ANY_HOST:
        host = "localhost"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def banner(
    settings: Settings,
    causes: Mapping[str, str | None] = MappingProxyType({}),
    *,
    colour: bool = False,
    command: str = "tickfan",
) -> str:
    """The addresses of the service and a ``curl`` line that works when pasted.

    ``causes``: of each feed why it is not read (:class:`tickfan.broker.base.Health`).
    """
    http = settings.http
    url = base_url(http.host, http.port, "https" if http.tls_cert_file else "http")
    admin = base_url(http.admin_host, http.admin_port)
    # In a URL everything after # stays at home, so it is written as %23.
    pattern = settings.feed_specs()[0].bind[0]
    elsewhere = "" if url == DEFAULT_URL else f" --url {url}"
    rows = [
        ("page", f"{url}/", "cyan"),
        ("streams", f"{url}/v1/sse  /v1/ws  /v1/ndjson", "cyan"),
        ("channels", f"{url}/v1/channels", "cyan"),
        ("health", f"{admin}/readyz  /livez  /metrics", "cyan"),
        ("broker", *_broker(settings, causes)),
        *_prices(settings),
        ("", "", ""),
        ("try", f"curl -N '{url}/v1/sse?channels={quote(pattern, safe='*')}'", "bold green"),
        ("or", f"{command} tail '{pattern}'{elsewhere}", "bold green"),
    ]
    grid = Table.grid(padding=(0, 2, 0, 1))
    for name, value, style in rows:
        grid.add_row(Text(name, "dim"), Text(value, style, no_wrap=True))
    out = StringIO()
    console = Console(
        file=out, width=WIDTH, force_terminal=colour, no_color=not colour, highlight=False
    )
    console.print()
    console.print(Text.assemble(" ", ("Tickfan", "bold"), " is up"))
    console.print(grid)
    lines = [line.rstrip() for line in out.getvalue().splitlines()]
    return "\n".join([*lines, "", ""])


def _broker(settings: Settings, causes: Mapping[str, str | None]) -> tuple[str, str]:
    """The broker's address, with what is wrong before it, and the style of both."""
    troubles: dict[str, list[str]] = {}
    for feed, cause in causes.items():
        if cause != "":
            troubles.setdefault(CONNECTING if cause is None else cause, []).append(feed)
    if not troubles:
        return _source(settings), ""
    parts = []
    for cause, feeds in troubles.items():
        text = cause if cause.startswith(_SPEAK_FOR_THEMSELVES) else f"not read: {cause}"
        parts.append(text if len(feeds) == len(causes) else f"{text} ({', '.join(feeds)})")
    style = "yellow" if list(troubles) == [CONNECTING] else "bold red"
    return f"{'; '.join(parts)} ({_source(settings)})", style


def _source(settings: Settings) -> str:
    if settings.broker.is_memory:
        return f"{MEMORY} (embedded)"
    return str(settings.masked()["broker"]["url"])


def _prices(settings: Settings) -> list[tuple[str, str, str]]:
    """Of a broker that nobody else can publish to: what is in it."""
    if settings.market.enabled:
        what = f"simulated, {settings.market.rate:g} updates/s: nothing here is real"
        return [("prices", what, "bold yellow")]
    if settings.broker.is_memory:
        return [("prices", "what HTTP publishes here, and nothing else", "bold yellow")]
    return []
