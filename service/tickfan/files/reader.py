"""A file to rows that can be sent: each with its time, its channel and its data.

It puts the stages together, and names what is wrong by file, line and column. Values stay
the texts that the file has. The file is read as its rows are taken, never as a whole. Must
not know when a row is sent, nor by what.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from string import Formatter
from typing import TYPE_CHECKING, NamedTuple, Self

from tickfan.core.pattern import ALLOWED, is_channel_name
from tickfan.files.columns import Layout, find_columns
from tickfan.files.content import STDIN, open_content
from tickfan.files.errors import BadRow, BadTime, ReplayError
from tickfan.files.table import (
    SAMPLE_LINES,
    Record,
    check_delimiter,
    is_same_width,
    open_table,
)
from tickfan.files.text import check_encoding, open_text
from tickfan.files.times import NAIVE, Times

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tickfan.files.content import Content
    from tickfan.files.table import Table

DEFAULT_TEMPLATE = "trades.{symbol}"
CHANNELS_KNOWN_MAX = 100_000
"""Symbols whose channel is remembered; of further ones it is made each time."""
PIPE_SAMPLE_LINES = 3
"""Of a pipe fewer lines are awaited before the first row can go."""
TRAILER = "END"
"""The first cell of a last row that counts the rows above it, as in files of NYSE TAQ."""
GUESSED_FROM_MS = 946_684_800_000
"""From 2000 on a number is guessed to be a time, where one is only proposed."""
OTHERS_SHOWN = 5


class Row(NamedTuple):
    """One row: its number and its line, both from 1, its time in ms UTC, channel and data.

    Rows are counted without the header and without what is left out between them; of a
    file with several symbols all rows count, whichever is asked for.
    """

    number: int
    line: int
    ts: int
    channel: str
    data: dict[str, str]


@dataclass(frozen=True, slots=True)
class Replay:
    """Which file is read, and how.

    ``template`` makes a channel of a symbol. ``symbol`` is that of all rows of a file
    without such a column; of a file with one, the rows of that symbol alone are read.
    Raises :class:`ReplayError` for what cannot be meant.
    """

    path: Path
    template: str = DEFAULT_TEMPLATE
    symbol: str | None = None
    layout: Layout = field(default_factory=Layout)

    def __post_init__(self) -> None:
        """Refuse a template that names anything but the symbol, and options of no meaning."""
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
        self.times()
        if self.layout.delimiter is not None:
            check_delimiter(self.layout.delimiter)
        if self.layout.encoding is not None:
            check_encoding(self.layout.encoding)

    @property
    def is_pipe(self) -> bool:
        """Whether it can be read only once."""
        return str(self.path) == STDIN

    def times(self) -> Times:
        """What reads its times. Raises :class:`ReplayError`."""
        layout = self.layout
        return Times(layout.time_unit, layout.time_format, layout.tz, layout.date)


class Reader:
    """Reads one file, once.

    Iterating yields each row, or in the place of a row that cannot be sent the
    :class:`BadRow` that says why. Raises :class:`ReplayError` for what is wrong with the
    file as a whole.
    """

    def __init__(self, replay: Replay) -> None:
        """Open the file, and find its table and its columns. It is to be closed."""
        self.replay = replay
        self.rows = 0
        """Rows that were read so far."""
        self._times = replay.times()
        self._channels: dict[str, str] = {}
        self._others: dict[str, None] = {}
        self._wanted = 0
        content = open_content(replay.path)
        self.name = content.name
        self.close = content.close
        try:
            self._begin(content)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.close()

    def __iter__(self) -> Iterator[Row | BadRow]:
        """The rows in the order of the file."""
        trailer: Record | None = None
        for record in self._records:
            if trailer is not None:
                yield self._bad(trailer, f"{TRAILER!r} ends a file, and more follows")
                trailer = None
            self.rows += 1
            if record.cells[0] == TRAILER:
                trailer = record
                continue
            try:
                row = self._row(record)
            except BadRow as bad:
                yield bad
                continue
            if row is not None:
                self._wanted += 1
                yield row
        if trailer is not None:
            self.rows -= 1
            self._notes.append(f"the last row left out ({TRAILER})")
        if not self._wanted and self._others:
            shown = ", ".join(map(repr, self._others))
            raise ReplayError(
                f"{self.name}: no row has the symbol {self.replay.symbol!r}; there are {shown}"
            )

    def layout_found(self) -> list[str]:
        """What was detected, in a few words each; all of it is known after the last row."""
        columns = self._columns
        at = [columns.time] if columns.day is None else [columns.day, columns.time]
        names = " and ".join(
            repr(columns.names[i]) if self._has_header and columns.names[i] else f"column {i + 1}"
            for i in at
        )
        kinds = list(self._times.kinds)
        if NAIVE in kinds:
            kinds.append(kinds.pop(kinds.index(NAIVE)))
        if self.replay.layout.tz is not None:
            kinds.append(self.replay.layout.tz)
        return [*self._notes, f"time: {', '.join([names, *kinds])}"]

    def _begin(self, content: Content) -> None:
        replay, layout = self.replay, self.replay.layout
        table = open_table(
            open_text(
                content, None if layout.encoding is None else check_encoding(layout.encoding)
            ),
            None if layout.delimiter is None else check_delimiter(layout.delimiter),
            None if layout.columns is None else len(layout.columns),
            PIPE_SAMPLE_LINES if replay.is_pipe else SAMPLE_LINES,
        )
        first = next(table.rows, None)
        if first is None:
            raise ReplayError(f"{self.name}: no rows below the header")
        self._records = chain((first,), table.rows)
        header = self._header(table, first)
        try:
            cells = [*first.cells, *[""] * len(header)][: len(header)]
            self._columns = find_columns(header, cells, layout, replay.times())
        except ReplayError as error:
            raise ReplayError(f"{self.name}: {error}") from None
        self._check_symbol()
        self._has_header = table.header is not None
        self._notes = table.notes
        if not self._has_header:
            self._notes.append("no header")
        elif layout.columns is not None:
            self._notes.append("header replaced by --columns")
        self._notes += self._columns.notes

    def _header(self, table: Table, first: Record) -> list[str]:
        columns = self.replay.layout.columns
        if columns is not None:
            return list(columns)
        if table.header is None:
            shown = ",".join(self._guess(cell, at) for at, cell in enumerate(first.cells))
            raise ReplayError(
                f"{self.name}, line {first.line}: no header; name the columns, one of them "
                f"time, as in --columns {shown}"
            )
        return table.header

    def _guess(self, cell: str, at: int) -> str:
        try:
            is_time = self.replay.times().read(cell) >= GUESSED_FROM_MS
        except BadTime:
            is_time = False
        return "time" if is_time else f"c{at + 1}"

    def _check_symbol(self) -> None:
        """Refuse what would send several symbols on one channel, or none."""
        column, replay = self._columns.symbol, self.replay
        if column is None and replay.symbol is not None and "{symbol}" not in replay.template:
            raise ReplayError(
                f"{self.name}: no symbol column is known, and the template {replay.template!r} "
                "has no {symbol}, so --symbol would have no effect: leave it out"
            )
        if column is None and replay.symbol is None and "{symbol}" in replay.template:
            raise ReplayError(
                f"{self.name}: no symbol column is known; say --symbol SYMBOL for all rows, or "
                "which column by --symbol-column COLUMN"
            )
        if column is not None and replay.symbol is None and "{symbol}" not in replay.template:
            raise ReplayError(
                f"{self.name}: the column {self._columns.names[column]!r} has symbols, and the "
                f"template {replay.template!r} would send all on one channel; put {{symbol}} into "
                "it, or say by --symbol SYMBOL which rows to send"
            )

    def _row(self, record: Record) -> Row | None:
        """The row of a record, or None if it is of another symbol. Raises :class:`BadRow`."""
        columns, cells = self._columns, record.cells
        self._check_cells(record)
        symbol = self._symbol(cells)
        if symbol is None:
            return None
        try:
            if columns.day is None:
                ts = self._times.read(cells[columns.time])
            else:
                ts = self._times.read_pair(cells[columns.day], cells[columns.time])
        except BadTime as error:
            raise self._bad(record, str(error), columns.time) from None
        channel = self._channels.get(symbol)
        if channel is None:
            channel = self._channel(record, symbol)
        return Row(
            self.rows, record.line, ts, channel, {name: cells[at] for at, name in columns.data}
        )

    def _check_cells(self, record: Record) -> None:
        """Refuse a row of another length, and what stands where nothing may."""
        columns, cells = self._columns, record.cells
        width = len(columns.names)
        if len(cells) != width and not is_same_width(len(cells), width, cells[-1]):
            raise self._bad(record, f"{len(cells)} cells where there are {width} columns")
        for at in columns.unnamed:
            if cells[at].strip():
                raise self._bad(
                    record, f"column {at + 1} has no name and holds {cells[at]!r}; say --columns"
                )

    def _symbol(self, cells: list[str]) -> str | None:
        """The row's symbol, or None if another one was asked for."""
        wanted, at = self.replay.symbol, self._columns.symbol
        if at is None:
            return wanted or ""
        own = cells[at].strip()
        if self._columns.suffix is not None and (suffix := cells[self._columns.suffix].strip()):
            own = f"{own}.{suffix}"
        if wanted is None or own == wanted:
            return own
        if len(self._others) < OTHERS_SHOWN:
            self._others[own] = None
        return None

    def _channel(self, record: Record, symbol: str) -> str:
        channel = self.replay.template.format(symbol=symbol)
        if not is_channel_name(channel) or (not symbol and "{symbol}" in self.replay.template):
            raise self._bad(
                record, f"{channel!r} is not a channel name: {ALLOWED}", self._columns.symbol
            )
        if len(self._channels) < CHANNELS_KNOWN_MAX:
            self._channels[symbol] = channel
        return channel

    def _bad(self, record: Record, what: str, at: int | None = None) -> BadRow:
        where = f"{self.name}, line {record.line}"
        if at is not None:
            name = self._columns.names[at] or at + 1
            where += f", column {name!r}"
            what = f"{record.cells[at]!r}: {what}"
        return BadRow(f"{where}: {what}")
