"""tickfan.wire.csvtable"""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.updates import KEYS, LAW, TEXTS, VALUES, lossless_feed, update
from tickfan.wire import csvtable
from tickfan.wire.csvtable import COLUMNS_MAX, Table

if TYPE_CHECKING:
    from tickfan.core.update import Update

CELL = re.compile(r'("(?:[^"]|"")*"|[^",\r\n]*)(,|\r\n)')
"""RFC 4180, section 2, with CR LF after each row."""


def whole(updates: list[Update]) -> bytes:
    """The table of these updates."""
    table = Table()
    for each in updates:
        table.look(each)
    return b"".join((table.head(), *map(table.row, updates)))


def cells(text: str) -> list[list[str | None]]:
    """Rows as COPY of PostgreSQL reads them: an empty cell is None, an empty text is quoted."""
    rows: list[list[str | None]] = [[]]
    at = 0
    while at < len(text):
        found = CELL.match(text, at)
        assert found is not None, text[at:]
        raw, at = found[1], found.end()
        rows[-1].append(raw[1:-1].replace('""', '"') if raw[:1] == '"' else raw or None)
        if found[2] != ",":
            rows.append([])
    assert rows.pop() == []
    return rows


def text_of(cell: str | None) -> str | None:
    """The text that a cell was made of, as the protocol page says it."""
    is_marked = cell is not None and re.match(r"'+[=+\-@\t\r\n＝＋－＠]", cell)  # noqa: RUF001
    return cell[1:] if cell is not None and is_marked else cell


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=HYPERLINK(1)", "'=HYPERLINK(1)"),
        ("=1", "'=1"),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("-2+3", "'-2+3"),
        ("@SUM(1)", "'@SUM(1)"),
        ("@1", "'@1"),
        ("\t=1", "'\t=1"),
        ("\r=1", '"\'\r=1"'),
        ("\n=1", '"\'\n=1"'),
        ("\uff1d1+1", "'\uff1d1+1"),
        ("-", "'-"),
        ("-²", "'-²"),
        ("-1.5", "-1.5"),
        ("+0.25", "+0.25"),
        ("-1e-7", "-1e-7"),
        (-1, "-1"),
        (-1.5e-9, "-1.5e-9"),
        (True, "true"),
        (None, ""),
        ("", '""'),
        ("'", "'"),
        ("'=1", "''=1"),
        ("'-1.5", "''-1.5"),
        ('say "1,5"', '"say ""1,5"""'),
        ({"a": 1}, '"{""a"":1}"'),
        ("a=b", "a=b"),
        (["=1"], '"[""=1""]"'),
    ],
)
def test_no_cell_is_a_formula_and_numbers_stay_numbers(value: Any, cell: str) -> None:
    """OWASP's list of first characters; a negative price is no formula."""
    assert csvtable.cell(value) == cell


@LAW
@given(
    st.lists(
        st.dictionaries(KEYS, st.none() | TEXTS | st.text("'=-1,"), max_size=3),
        min_size=1,
        max_size=4,
    ),
)
def test_texts_and_nothing_come_back(rows: list[dict[str, str | None]]) -> None:
    """All texts, the empty one too, and null; a field that is missing reads as null."""
    feed = lossless_feed()
    table = whole([update(feed, data=row) for row in rows]).decode()
    head, *found = cells(table)
    assert head[:4] == ["channel", "seq", "ts", "type"]
    assert head[-1] == "prev"
    for row, read in zip(rows, found, strict=True):
        values = dict(zip(head, read, strict=True))
        names = [str(name).removeprefix("data.") for name in head[4:-1] if name != "data"]
        assert {name: text_of(values[f"data.{name}"]) for name in names} == {
            name: row.get(name) for name in names
        }
    python = list(csv.reader(io.StringIO(table, newline="")))
    assert python == [[cell or "" for cell in row] for row in (head, *found)]


@LAW
@given(VALUES)
def test_any_value_is_one_cell(value: Any) -> None:
    """What is no text is its JSON: a reader has to know which columns are."""
    table = whole([update(lossless_feed(), data=[value])]).decode()
    _, row = cells(table)
    assert orjson.loads(str(row[4])) == [value]


def test_null_is_empty_and_an_empty_text_is_quoted() -> None:
    """The same with the bytes of an example."""
    feed = lossless_feed()
    rows = [{"price": "1.5", "note": ""}, {"price": None}, {"note": "a, b"}, None, ""]
    assert whole([update(feed, data=row) for row in rows]) == (
        b"channel,seq,ts,type,data.price,data.note,data,prev\r\n"
        b'a,0,0,update,1.5,"",,\r\n'
        b"a,1,0,update,,,,0\r\n"
        b'a,2,0,update,,"a, b",,1\r\n'
        b"a,3,0,update,,,,2\r\n"
        b'a,4,0,update,,,"",3\r\n'
    )


def test_fields_beyond_the_most_columns_stand_together() -> None:
    """A table of many different fields stays as long as its rows, and no value is lost."""
    feed = lossless_feed()
    first = {f"a{number}": number for number in range(COLUMNS_MAX - 1)}
    rows: list[Any] = [first, {"last": 1, "b": 2, "c": [3]}, {"b": 4}, {"a0": 5}, "plain"]
    head, *found = cells(whole([update(feed, data=row) for row in rows]).decode())
    assert len(head) == 4 + COLUMNS_MAX + 2
    assert head[-3:] == ["data.last", "data", "prev"]
    assert {len(row) for row in found} == {len(head)}
    read = [dict(zip(head, row, strict=True)) for row in found]
    assert [row["data"] for row in read] == [None, '{"b":2,"c":[3]}', '{"b":4}', None, "plain"]
    assert [row["data.a0"] for row in read] == ["0", None, None, "5", None]
    assert read[1]["data.last"] == "1"


def test_the_most_columns_need_no_more() -> None:
    """A column for what is beyond is there only if something is."""
    row = {f"a{number}": number for number in range(COLUMNS_MAX)}
    head, _ = cells(whole([update(lossless_feed(), data=row)]).decode())
    assert "data" not in head
    assert len(head) == 4 + COLUMNS_MAX + 1
