"""How an update or an event looks on a line: as text with colours, or as JSON.

Must not know where items come from nor where lines go.
"""

from __future__ import annotations

import time
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson
from rich.text import Text

from tickfan_client import Event, Update

CHANNEL_WIDTH_MAX = 28
VALUE_CHARS_MAX = 60
CHANNELS_REMEMBERED_MAX = 10_000
"""Channels whose last value is kept to tell up from down; further ones have no colour."""

_MAIN = ("price", "bid", "mid", "last", "close", "value")
"""The field that tells up from down: the first of these that is there."""

_QUIET = frozenset({"welcome", "heartbeat", "pong", "snapshot_end"})
"""Events that say nothing to a person who watches; --json has them."""


def json_line(item: Update | Event) -> bytes:
    """The item as one line of JSON, as the service's NDJSON has it."""
    if isinstance(item, Event):
        body = {"event": item.name, **item.body}
    else:
        body = {"channel": item.channel, "seq": item.seq, "ts": item.ts, "data": item.data}
        if item.prev is not None:
            body["prev"] = item.prev
        if item.type != "update":
            body["type"] = item.type
        if item.is_snapshot:
            body["snapshot"] = True
    return orjson.dumps(body, option=orjson.OPT_APPEND_NEWLINE)


class Printer:
    """Lines for a person: aligned columns, green for up and red for down."""

    def __init__(self) -> None:
        self._width = 12
        self._last: dict[str, Decimal] = {}

    def line(self, item: Update | Event) -> Text | None:
        """The item's line; None if it says nothing to a person."""
        if isinstance(item, Event):
            return None if item.name in _QUIET else self._event(item)
        self._width = min(CHANNEL_WIDTH_MAX, max(self._width, len(item.channel)))
        return Text.assemble(
            (clock(item.ts), "dim"),
            "  ",
            (f"{item.channel:<{self._width}}", "bold"),
            "  ",
            self._values(item),
            *([(f"  {item.type}", "cyan")] if item.type != "update" else []),
            *([("  snapshot", "dim")] if item.is_snapshot and item.type != "snapshot" else []),
        )

    def _event(self, event: Event) -> Text:
        body = event.body
        told = _subscribed(body) if event.name == "subscribed" else _pairs(body).plain
        return Text(f"{'-- ' + event.name:<12}  {told}".rstrip(), "dim")

    def _values(self, update: Update) -> Text:
        data = update.data
        if not isinstance(data, dict):
            return Text(_short(data), self.colour(update.channel, data))
        main = next((name for name in _MAIN if name in data), None)
        return _pairs(data, main, self.colour(update.channel, data.get(main)) if main else "")

    def colour(self, channel: str, value: Any) -> str:
        """Green if the channel's value rose since its last line, red if it fell."""
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            return ""
        try:
            now = Decimal(str(value))
        except InvalidOperation:
            return ""
        if not now.is_finite():
            return ""
        before = self._last.get(channel)
        if before is not None or len(self._last) < CHANNELS_REMEMBERED_MAX:
            self._last[channel] = now
        if before is None or before == now:
            return ""
        return "green" if now > before else "red"


def clock(ts: int, now_s: float | None = None) -> str:
    """A time in ms since 1970 UTC as local HH:MM:SS.mmm, with its date if that is not today.

    ``now_s`` is the present, in seconds since 1970.
    """
    try:
        then, now = time.localtime(ts // 1000), time.localtime(now_s)
        form = "%H:%M:%S" if then[:3] == now[:3] else "%Y-%m-%d %H:%M:%S"
        return f"{time.strftime(form, then)}.{ts % 1000:03d}"
    except (OverflowError, OSError, ValueError):
        return str(ts)


def _pairs(data: dict[str, Any], main: str | None = None, style: str = "") -> Text:
    """``name value`` for each field, names dimmed, the main value in ``style``."""
    text = Text()
    for name, value in data.items():
        if text:
            text.append("  ")
        text.append(_short(name), "dim").append(" ")
        text.append(_short(value), style if name == main else "")
    return text


def _short(value: Any) -> str:
    """A value in at most :data:`VALUE_CHARS_MAX` characters, control characters escaped."""
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    if not text.isprintable():
        text = text.encode("unicode_escape").decode()
    return text if len(text) <= VALUE_CHARS_MAX else text[: VALUE_CHARS_MAX - 1] + "…"


def _subscribed(body: dict[str, Any]) -> str:
    channels = body.get("channels")
    if not isinstance(channels, list):
        return _pairs(body).plain
    return ", ".join(_granted(one) for one in channels)


def _granted(one: Any) -> str:
    if not isinstance(one, dict):
        return _short(one)
    interval = f" every {one['interval_ms']} ms" if one.get("interval_ms") else ""
    return f"{_short(one.get('channel'))} ({_short(one.get('delivery'))}{interval})"
