"""Updates as a table of CSV (RFC 4180), for spreadsheets and databases.

A cell without a value is empty, and an empty text is ``""``, as COPY of PostgreSQL has it. No
spreadsheet runs a text as a formula. Must not know HTTP.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tickfan.core.update import Update

COLUMNS_MAX = 1000
"""Columns for fields. A table of PostgreSQL has at most 1,600, and each row is as long as all."""

_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_FORMULA = tuple("=+-@\t\r\n＝＋－＠")  # noqa: RUF001 - some spreadsheets take the wide ones too
_TO_QUOTE = re.compile(r'[",\r\n]')


class Table:
    """One row an update, in UTF-8: a column for each field of ``data``.

    Look at all updates, and then take the head and the rows. The column ``data`` is for
    values that are no objects, and for the fields beyond COLUMNS_MAX, as one object. ``prev``
    stands behind them: a gap is not listed, and is seen by a ``prev`` that no row has as its
    ``seq``. Invented prices have one more column, ``simulated``: a table is mostly read
    from a file.
    """

    __slots__ = ("_columns", "_has_data", "_marks")

    def __init__(self, *, is_simulated: bool = False) -> None:
        self._columns: dict[str, int] = {}
        self._has_data = False
        self._marks = {"simulated": "true"} if is_simulated else {}

    def look(self, update: Update) -> None:
        """Learn which columns a row of it needs."""
        columns, data = self._columns, update.data
        if not isinstance(data, dict):
            self._has_data = True
            return
        for name in data:
            if name not in columns:
                if len(columns) == COLUMNS_MAX:
                    self._has_data = True
                    return
                columns[name] = len(columns)

    def head(self) -> bytes:
        """The names of the columns."""
        names = [cell(f"data.{name}") for name in self._columns]
        names += ["data"] * self._has_extra
        return _line(["channel", "seq", "ts", "type", *names, "prev", *self._marks])

    def row(self, update: Update) -> bytes:
        """The row of an update that was looked at."""
        columns, data = self._columns, update.data
        cells = [""] * len(columns)
        rest: Any = None
        if isinstance(data, dict):
            beyond: dict[str, Any] = {}
            for name, value in data.items():
                place = columns.get(name)
                if place is None:
                    beyond[name] = value
                else:
                    cells[place] = cell(value)
            rest = beyond or None
        else:
            rest = data
        if self._has_extra:
            cells.append(cell(rest))
        first = map(cell, (update.channel.name, update.seq, update.ts, update.type))
        return _line([*first, *cells, cell(update.prev), *self._marks.values()])

    @property
    def _has_extra(self) -> bool:
        return self._has_data or not self._columns


def cell(value: Any) -> str:
    """A value as it stands between two commas.

    A text that a spreadsheet could run gets ``'`` before it (OWASP, CSV injection), and so
    does one that only has such marks before it: who takes one away has the text again.
    """
    if value is None:
        return ""
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    if text is value:
        if text.lstrip("'")[:1] in _FORMULA and not _NUMBER.fullmatch(text):
            text = "'" + text
        if not text:
            return '""'
    return '"' + text.replace('"', '""') + '"' if _TO_QUOTE.search(text) else text


def _line(cells: Sequence[str]) -> bytes:
    return (",".join(cells) + "\r\n").encode()
