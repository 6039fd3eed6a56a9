"""Columns: known by their names, and refused where two could be meant."""

from __future__ import annotations

import pytest

from tickfan.files.columns import Columns, Layout, find_columns, plain
from tickfan.files.errors import ReplayError
from tickfan.files.times import Times


def find(header: str, first: str, **layout: str) -> Columns:
    said = Layout(**layout)  # type: ignore[arg-type]
    times = Times(said.time_unit, said.time_format, said.tz, said.date)
    return find_columns(header.split("|"), first.split("|"), said, times)


@pytest.mark.parametrize(
    ("header", "first", "day", "time"),
    [
        ("Timestamp|a", "1704205800|1", None, 0),
        ("a|Gmt time", "1|02.01.2024 14:30:00.000", None, 1),
        ("<DATE>|<TIME>|a", "2024.01.02|14:30|1", 0, 1),
        ("Date|Time|a", "20240102|1434|1", 0, 1),
        ("Time|Date|a", "14:30|2024-01-02|1", 1, 0),
        ("DATE|TIME_M|a", "20240102|9:30:00.1|1", 0, 1),
        ("Datum|Uhrzeit|a", "02.01.2024|14:30|1", 0, 1),
        ("Date[G]|Time[G]|a", "02-JAN-2024|14:30:00.1|1", 0, 1),
        ("Date|Timestamp|a", "20240102|09:30:00.1|1", 0, 1),
        ("Date/Time|a", "2024-01-02 14:30|1", None, 0),
        ("open_time|close_time|a", "1704205800000|1704205859999|1", None, 0),
        ("timestamp|local_timestamp|a", "1704205800000|1704205900000|1", None, 0),
        ("date|expiration|a", "2024-01-02|2024-03-15|1", None, 0),
        ("ts|datetime|a", "1704205800|2024-01-02T14:30:00Z|1", None, 0),
        ("date|unix|a", "2024-01-02 14:30:00|1704205800000|1", None, 1),
        ("date|time|a", "2024-01-02|1704205800|1", None, 1),
        ("|open", "2024-01-02 14:30:00|1", None, 0),
        ("Unnamed: 0|timestamp|a", "0|2024-01-02|1", None, 1),
        ("Time|a", "34200000|1", None, 0),
    ],
)
def test_the_time(header: str, first: str, day: int | None, time: int) -> None:
    """A name that is known, a day and a clock apart, an index without a name."""
    found = find(header, first)
    assert (found.day, found.time) == (day, time)


@pytest.mark.parametrize(
    ("said", "day", "time"),
    [("ts_event", None, 1), ("TS EVENT", None, 1), ("2", None, 1), ("TIME_M", 2, 3),
     ("when", None, 4), ("DATE,TIME_M", 2, 3)],
)  # fmt: skip
def test_the_time_that_is_said(said: str, day: int | None, time: int) -> None:
    """By its name, as names are compared, or by its number; a clock finds its day."""
    header = "ts_recv|ts_event|DATE|TIME_M|when|price"
    first = "1704205800749939289|1704205800747306925|20240102|9:30:00|1704205800|1"
    found = find(header, first, time=said)
    assert (found.day, found.time) == (day, time)


def test_a_clock_that_counts_from_midnight_finds_its_day() -> None:
    """It is no time of 1970, though its unit would let it be one."""
    found = find("Date|when|a", "20240102|34200000|1", time="when", time_unit="ms")
    assert (found.day, found.time) == (0, 1)


@pytest.mark.parametrize(
    ("header", "first", "layout", "why"),
    [
        ("symbol|price", "A|1", {}, r"no time column is known in \['symbol', 'price'\].*--time"),
        ("ts_recv|ts_event|a", "1704205800|1704205800|1", {}, "'ts_recv' and 'ts_event' may each"),
        ("ts|date|a", "1704205800|2024-01-02 09:30|1", {}, "'ts' and 'date' .* --time"),
        ("time|a|time", "1704205800|1|1704205900", {}, "'time' and 'time_2' are times that differ"),
        ("Date|Time|ts|a", "2024-01-02|09:30|1704205800|1", {}, "times that differ"),
        ("Local time|a", "02.01.2024 15:30:00|1", {}, "local and name no zone; say --tz"),
        ("Date[L]|Time[L]|a", "02-JAN-2024|14:30:00|1", {}, "local and name no zone; say --tz"),
        ("Gmt time|a", "02.01.2024 15:30:00|1", {"tz": "Europe/Berlin"}, "leave --tz out"),
        ("time|a", "1|1", {"time": "when"}, r"--time 'when' is no column of \['time', 'a'\]"),
        ("a|b_c|b c", "1|1|1", {"time": "B-C"}, "--time 'B-C' is several columns"),
        ("time|a", "1|1", {"symbol_column": "x"}, "--symbol-column 'x' is no column"),
        ("time|symbol", "1704205800|A", {}, "no column is left for data"),
    ],
)
def test_what_is_refused(header: str, first: str, layout: dict[str, str], why: str) -> None:
    """Two that could be meant, and one that is not there."""
    with pytest.raises(ReplayError, match=why):
        find(header, first, **layout)


@pytest.mark.parametrize(
    ("header", "symbol"),
    [("time|Ticker|a", 1), ("time|#RIC|a", 1), ("time|name|SYMBOL", 2), ("time|SYM_ROOT|a", 1),
     ("time|a|b", None)],
)  # fmt: skip
def test_the_symbol(header: str, symbol: int | None) -> None:
    """The first name that is known; none is no fault of the columns."""
    assert find(header, "1704205800|x|y").symbol == symbol
    assert find(header, "1704205800|x|y", symbol_column="2").symbol == 1


def test_the_data() -> None:
    """All that is neither time nor symbol, under names of their own; the index goes."""
    found = find("|time|symbol|price|price|price_2|", "0|1704205800|A|1|2|3|")
    assert found.data == [(3, "price"), (4, "price_3"), (5, "price_2")]
    assert found.unnamed == [6]
    assert found.notes == [
        "the column 'price' comes again, as 'price_3'",
        "column 1 left out (it numbers the rows)",
    ]


def test_plain() -> None:
    """What is left of a name where names are compared."""
    assert plain("<TIME_M> ") == plain("#time-m") == "timem"
    assert plain("Date[G]") == plain("DATE[l]") == "date"
