"""How an update or an event looks on a line: as text with colours, or as JSON.

On a terminal a line gives up what does not fit in this order: its end, the time's
milliseconds and clock, the beginning of the channel, the name of the main value, the time,
the channel, and last the main value itself. Must not know where items come from nor where
lines go.
"""

from __future__ import annotations

import time
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import orjson
from rich.cells import cell_len
from rich.text import Text

from tickfan_client import Event, Update

if TYPE_CHECKING:
    from collections.abc import Callable

GAP = "  "
"""Between two columns."""
CHANNEL_WIDTH_MAX = 28
"""The channels' column grows to so many cells; a longer name makes its own line longer."""
CHANNEL_WIDTH_LEAST = 12
"""So much of a channel's end stays as long as the time can be given up instead."""
CUT_LEAST = 4
"""Less of a text, with the mark that it is cut, is not shown at all."""
VALUE_CHARS_MAX = 60
"""Of one value, on a terminal."""
MAIN_CELLS_KEPT = 24
"""So much of the main value is the last to be cut: more than a price takes."""
CHANNELS_REMEMBERED_MAX = 10_000
"""Channels whose last value is kept to tell up from down; further ones have no colour."""

_MAIN = ("price", "bid", "mid", "last", "close", "value")
"""The main value is the first of these that is there, else the first of all. It stands first,
and tells up from down."""

_TELLING = ("reason", "upstream", "code")
"""The fields of an event that stand first, as the end of a line may be cut."""

_TIMES = frozenset({"since", "heard", "ts", "server_time"})
"""Fields of events that are times, in ms since 1970 UTC."""

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

    def __init__(self, width: Callable[[], int] | None = None) -> None:
        """``width`` is asked for the terminal's cells. Without it nothing is cut."""
        self._terminal = width
        self._channel_width = CHANNEL_WIDTH_LEAST
        self._main_width = 0
        self._last: dict[str, Decimal] = {}

    def line(self, item: Update | Event) -> Text | None:
        """The item's line; None if it says nothing to a person."""
        if isinstance(item, Update):
            return self._update(item)
        return None if item.name in _QUIET else self._event(item)

    def _update(self, update: Update) -> Text:
        self._channel_width = min(CHANNEL_WIDTH_MAX, max(self._channel_width, len(update.channel)))
        when, channel = clock(update.ts), f"{update.channel:<{self._channel_width}}"
        name, value, style, rest = self._values(update)
        if update.type != "update":
            rest.append(Text(update.type, "cyan"))
        if update.is_snapshot and update.type != "snapshot":
            rest.append(Text("snapshot", "dim"))
        end = _row(*rest)
        if self._terminal is not None:
            width = self._terminal()
            when, channel, name = self._fit(width, when, channel, name, value)
        main = Text.assemble((f"{name} " if name else "", "dim"), (value, style))
        line = _row(Text(when, "dim"), Text(channel, "bold"), main)
        if self._terminal is not None:
            line = _cut(line, width)
            end = _cut(end, width - line.cell_len - len(GAP))
        return _row(line, end)

    def _fit(
        self, width: int, when: str, channel: str, name: str, value: str
    ) -> tuple[str, str, str]:
        """As much of the time, the channel and the main value's name as the value leaves room.

        So that columns mostly stand still, the room for the main value is the largest that was
        needed so far, up to half of the width.
        """
        bare = min(cell_len(value), MAIN_CELLS_KEPT)
        named = bare + (cell_len(name) + 1 if name else 0)
        self._main_width = max(min(self._main_width, width // 2), named)
        times = _shorter(when)
        for shown in times:
            if _cells(shown, channel) + self._main_width <= width:
                return shown, channel, name
        for shown, least, kept, main in (
            (times[-1], CHANNEL_WIDTH_LEAST, name, self._main_width),
            (times[-1], CHANNEL_WIDTH_LEAST, name, named),
            (times[-1], CHANNEL_WIDTH_LEAST, "", bare),
            ("", CUT_LEAST, "", bare),
        ):
            left = width - main - _cells(shown, "")
            if left >= min(least, len(channel)):
                return shown, _end_of(channel, left), kept
        return "", "", ""

    def _values(self, update: Update) -> tuple[str, str, str, list[Text]]:
        """The main value's name, the value and its style, and all other values."""
        data = update.data
        if not isinstance(data, dict) or not data:
            return "", self._short(data), self.colour(update.channel, data), []
        main = next((name for name in _MAIN if name in data), None)
        style = "" if main is None else self.colour(update.channel, data[main])
        first = next(iter(data)) if main is None else main
        rest = [self._pair(name, value) for name, value in data.items() if name != first]
        return self._short(first), self._short(data[first]), style, rest

    def _event(self, event: Event) -> Text:
        body = {
            name: clock(value) if name in _TIMES and type(value) is int else value
            for name, value in event.body.items()
        }
        if event.name == "subscribed" and isinstance(body.get("channels"), list):
            # First: a terminal cuts the end.
            begin = "simulated, no price is real: " if body.get("simulated") else ""
            told = Text(begin + ", ".join(self._granted(one) for one in body["channels"]))
        else:
            names = [name for name in _TELLING if name in body]
            names += [name for name in body if name not in names]
            told = _row(*(self._pair(name, body[name]) for name in names))
        line = Text(f"{'-- ' + event.name:<12}  {told.plain}".rstrip(), "dim")
        return line if self._terminal is None else _cut(line, self._terminal())

    def _granted(self, one: Any) -> str:
        if not isinstance(one, dict):
            return self._short(one)
        interval = f" every {one['interval_ms']} ms" if one.get("interval_ms") else ""
        return f"{self._short(one.get('channel'))} ({self._short(one.get('delivery'))}{interval})"

    def _pair(self, name: str, value: Any) -> Text:
        return Text.assemble((self._short(name), "dim"), " ", self._short(value))

    def _short(self, value: Any) -> str:
        """A value as text, control characters escaped, cut only on a terminal."""
        text = value if isinstance(value, str) else orjson.dumps(value).decode()
        if not text.isprintable():
            text = text.encode("unicode_escape").decode()
        if self._terminal is None or len(text) <= VALUE_CHARS_MAX:
            return text
        return text[: VALUE_CHARS_MAX - 1] + "…"

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


def _shorter(when: str) -> tuple[str, str, str]:
    """A clock's text as it is, without its ms, and as the date or the minute alone."""
    seconds = when.partition(".")[0]
    date, _, has_date = seconds.partition(" ")
    return when, seconds, date if has_date else seconds.rpartition(":")[0]


def _cells(when: str, channel: str) -> int:
    """What stands before the main value, with its gaps."""
    return (len(when) + len(GAP) if when else 0) + len(channel) + len(GAP)


def _end_of(channel: str, width: int) -> str:
    """As much of a channel's end as fits: there stands what tells it from others."""
    if len(channel) <= width:
        return channel
    name = channel.rstrip()
    return f"{name:<{width}}" if len(name) <= width else "…" + name[len(name) - width + 1 :]


def _cut(text: Text, width: int) -> Text:
    """What fits; nothing where a beginning would say nothing."""
    if text.cell_len > width:
        if width < CUT_LEAST:
            return Text()
        text.truncate(width, overflow="ellipsis")
    return text


def _row(*columns: Text) -> Text:
    return Text(GAP).join(column for column in columns if column)
