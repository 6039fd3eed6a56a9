"""Updates as a table of CSV (RFC 4180), for spreadsheets and databases.

A cell without a value is empty, and an empty text is ``""``, as COPY of PostgreSQL has it. No
spreadsheet runs a text as a formula. Must not know HTTP.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tickfan.core.update import Update

_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_FORMULA = tuple("=+-@\t\r\n＝＋－＠")  # noqa: RUF001 - some spreadsheets take the wide ones too
_TO_QUOTE = re.compile(r'[",\r\n]')


def table(updates: Sequence[Update], *, is_simulated: bool = False) -> bytes:
    """One row an update, in UTF-8: a column for each field of ``data``.

    The column ``data`` is for values that are no objects. ``prev`` stands behind them: a gap is
    not listed, and is seen by a ``prev`` that no row has as its ``seq``. Invented prices have
    one more column, ``simulated``: a table is mostly read from a file.
    """
    marks = {"simulated": True} if is_simulated else {}
    names = list(
        dict.fromkeys(
            name for update in updates if isinstance(update.data, dict) for name in update.data
        )
    )
    has_plain = not all(isinstance(update.data, dict) for update in updates)
    columns = [f"data.{name}" for name in names] + ["data"] * (has_plain or not names)
    lines = [_line(["channel", "seq", "ts", "type", *columns, "prev", *marks])]
    for update in updates:
        is_object = isinstance(update.data, dict)
        values = [update.data.get(name) if is_object else None for name in names]
        if len(columns) > len(names):
            values.append(None if is_object else update.data)
        row = [update.channel.name, update.seq, update.ts, update.type, *values, update.prev]
        row += marks.values()
        lines.append(_line(row))
    return "".join(lines).encode()


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


def _line(values: Iterable[Any]) -> str:
    return ",".join(map(cell, values)) + "\r\n"
