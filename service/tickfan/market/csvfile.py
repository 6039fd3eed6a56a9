"""Prices from a CSV file, row by row, at the pace of their own times.

Columns are found by name. Values stay the strings that the file has, so a price arrives
with every digit that it was written with. The file is read as it is sent, and never as a
whole. Must not know what carries the messages.
"""

from __future__ import annotations

import asyncio
import csv
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from string import Formatter
from typing import TYPE_CHECKING, NamedTuple, TextIO

import orjson

from tickfan.broker.base import Message
from tickfan.core.errors import Refusal, TickfanError
from tickfan.core.pattern import is_channel_name

if TYPE_CHECKING:
    import _csv
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from tickfan.market.routes import Routes

TIME_COLUMNS = ("timestamp", "ts", "datetime", "time", "date")
SYMBOL_COLUMNS = ("symbol", "ticker", "name")
LINE_CHARS_MAX = 65_536
"""A longer line is refused: it is a wrong file or a missing quote, not a price."""
DEFAULT_TEMPLATE = "trades.{symbol}"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS_FROM = 100_000_000_000
"""An epoch number from here on counts ms (1973 in ms, the year 5138 in s)."""


class ReplayError(TickfanError):
    """A file that cannot be replayed. Says the file, the line and the column."""


class Row(NamedTuple):
    """One row: its line in the file, its time in ms UTC, its channel and data."""

    line: int
    ts: int
    channel: str
    data: dict[str, str]


@dataclass(frozen=True, slots=True)
class Replay:
    """What to replay, and how to read it.

    ``template`` makes a channel of a symbol. ``symbol`` serves files of one series, without
    such a column. ``time_format`` is a ``strptime`` format for times that are not ISO 8601,
    read as UTC. ``speed`` says how many times as fast as it happened; 0 is as fast as can
    be. Then the times set no pace, and a file that is not sorted by them is taken in its
    own order.
    """

    path: Path
    template: str = DEFAULT_TEMPLATE
    symbol: str | None = None
    time_format: str | None = None
    speed: float = 1.0

    def __post_init__(self) -> None:
        """Refuse a template that names anything but the symbol."""
        try:
            fields = {
                field for _, field, _, _ in Formatter().parse(self.template) if field is not None
            }
            self.template.format(symbol="A")
        except (ValueError, KeyError, IndexError, AttributeError):
            fields = {"?"}
        if fields - {"symbol"}:
            raise ReplayError(
                f"channel template {self.template!r}: only {{symbol}} may stand in braces, "
                f"as in {DEFAULT_TEMPLATE!r}"
            )


class _Columns(NamedTuple):
    """Where things stand in a row: indexes, and the names of the data columns."""

    names: list[str]
    time: int
    symbol: int | None
    data: list[tuple[int, str]]


def rows(replay: Replay) -> Iterator[Row]:
    """The rows of the file, in its order.

    Raises :class:`ReplayError` for a file that cannot be read, a missing
    column, a row of another length, a time that cannot be read or goes
    backwards, or a symbol that cannot stand in a channel's name.
    """
    try:
        with replay.path.open(encoding="utf-8-sig", newline="") as file:
            yield from _read(replay, csv.reader(_lines(replay, file), strict=True))
    except OSError as error:
        raise ReplayError(f"{replay.path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ReplayError(f"{replay.path}: not UTF-8 text ({error.reason})") from error


def _lines(replay: Replay, file: TextIO) -> Iterator[str]:
    """The file's lines, none longer than the limit."""
    number = 0
    while line := file.readline(LINE_CHARS_MAX + 1):
        number += 1
        if len(line) > LINE_CHARS_MAX:
            raise _bad(replay, number, f"longer than {LINE_CHARS_MAX} characters")
        yield line


def _read(replay: Replay, reader: _csv.Reader) -> Iterator[Row]:
    columns: _Columns | None = None
    before = None
    try:
        for cells in reader:
            if not cells:
                continue
            if columns is None:
                columns = _columns(replay, cells)
                continue
            row = _row(replay, columns, reader.line_num, cells)
            if replay.speed > 0 and before is not None and row.ts < before.ts:
                raise _bad(
                    replay,
                    row.line,
                    f"column {columns.names[columns.time]!r}: {cells[columns.time]!r} is earlier "
                    f"than line {before.line}; sort the file by time, or replay it --asap",
                )
            before = row
            yield row
    except csv.Error as error:
        raise _bad(replay, reader.line_num, str(error)) from error
    if before is None:
        raise ReplayError(f"{replay.path}: no rows; wanted a header line and at least one row")


def _columns(replay: Replay, header: list[str]) -> _Columns:
    names = [name.strip() for name in header]
    lower = [name.lower() for name in names]
    twice = {name for name in names if names.count(name) > 1}
    if twice or "" in names:
        what = f"column {min(twice)!r} comes twice" if twice else "a column has no name"
        raise _bad(replay, 1, f"{what}; each needs a name of its own")
    time = next((lower.index(name) for name in TIME_COLUMNS if name in lower), None)
    if time is None:
        raise _bad(
            replay, 1, f"no time column; one of {', '.join(TIME_COLUMNS)} is wanted in {names}"
        )
    symbol = next((lower.index(name) for name in SYMBOL_COLUMNS if name in lower), None)
    if symbol is None and replay.symbol is None and "{symbol}" in replay.template:
        raise _bad(
            replay,
            1,
            f"no symbol column; one of {', '.join(SYMBOL_COLUMNS)} is wanted in {names}, "
            "or say --symbol",
        )
    data = [(at, name) for at, name in enumerate(names) if at not in (time, symbol)]
    if not data:
        raise _bad(replay, 1, "no column is left for data")
    return _Columns(names, time, symbol, data)


def _row(replay: Replay, columns: _Columns, line: int, cells: list[str]) -> Row:
    if len(cells) != len(columns.names):
        raise _bad(replay, line, f"{len(cells)} cells where the header has {len(columns.names)}")
    try:
        ts = parse_time(cells[columns.time], replay.time_format)
    except ValueError:
        raise _bad(
            replay,
            line,
            f"column {columns.names[columns.time]!r}: {cells[columns.time]!r} is not a time; "
            f"allowed is {_allowed(replay)}",
        ) from None
    symbol = replay.symbol
    if symbol is None and columns.symbol is not None:
        symbol = cells[columns.symbol].strip()
    channel = replay.template.format(symbol=symbol)
    if not is_channel_name(channel):
        where = f"column {columns.names[columns.symbol]!r}: " if columns.symbol is not None else ""
        raise _bad(replay, line, f"{where}{channel!r} is not a channel name")
    return Row(line, ts, channel, {name: cells[at] for at, name in columns.data})


def _allowed(replay: Replay) -> str:
    if replay.time_format is not None:
        return f"the --time-format {replay.time_format!r}"
    return (
        "ISO 8601 from 1970 on (2026-11-20, 2026-11-20T07:10:00.250Z), or s or ms since then; "
        "say --time-format for another"
    )


def parse_time(text: str, time_format: str | None = None) -> int:
    """A time as ms since 1970 UTC: ISO 8601 (UTC unless it says else), s or ms.

    A number from 100,000,000,000 on counts ms; 1970 is the earliest. With
    ``time_format`` the text is read by :meth:`datetime.datetime.strptime`
    instead. Raises ValueError.
    """
    text = text.strip()
    if time_format is not None:
        return _ms(datetime.strptime(text, time_format))  # noqa: DTZ007 - _ms says UTC
    whole, _, rest = text.partition(".")
    if whole.isascii() and whole.isdigit() and (len(whole) != 8 or rest) and len(whole) < 16:
        number = int(whole)
        if number >= _MS_FROM:
            return number
        if rest and not (rest.isascii() and rest.isdigit()):
            raise ValueError(text)
        return number * 1000 + int((rest + "000")[:3])
    return _ms(datetime.fromisoformat(text))


def _ms(moment: datetime) -> int:
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    ms = (moment - _EPOCH) // timedelta(milliseconds=1)
    if ms < 0:
        raise ValueError(moment)  # an update's ts counts from 1970
    return ms


def _bad(replay: Replay, line: int, what: str) -> ReplayError:
    return ReplayError(f"{replay.path}, line {line}: {what}")


async def run(
    publish: Callable[[str, Message], Awaitable[None]],
    routes: Routes,
    replay: Replay,
    *,
    count: int | None = None,
    seconds: float | None = None,
) -> None:
    """Publish the file's rows in order, at the replay's speed.

    Ends after the last row, ``count`` rows or ``seconds``. Raises :class:`ReplayError`, and what
    ``publish`` raises.
    """
    clock = asyncio.get_running_loop().time
    begin = clock()
    first_ts: int | None = None
    for number, row in enumerate(rows(replay)):
        if number == count:
            return
        if first_ts is None:
            first_ts = row.ts
        at = (row.ts - first_ts) / 1000 / replay.speed if replay.speed > 0 else 0.0
        if seconds is not None and max(at, clock() - begin) >= seconds:
            await asyncio.sleep(max(0.0, begin + seconds - clock()))
            return
        if (wait := begin + at - clock()) > 0:
            await asyncio.sleep(wait)
        try:
            feed = routes.feed_of(row.channel)
        except Refusal as refusal:
            raise _bad(replay, row.line, refusal.message) from refusal
        await publish(feed, Message(row.channel, orjson.dumps(row.data), ts=row.ts))
