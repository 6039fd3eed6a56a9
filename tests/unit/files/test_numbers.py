"""Numbers: the unit follows from the size, or the number is refused."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.updates import LAW
from tickfan.files.errors import BadTime
from tickfan.files.numbers import (
    EPOCH_MS_MAX,
    UNITS,
    Counted,
    Number,
    by_size,
    clock,
    epoch,
    number,
    since_midnight,
    why_no_number,
)  # fmt: skip

YEAR_1971 = 31_536_000_000
YEAR_2030, YEAR_2037 = 1_893_456_000_000, 2_114_380_800_000
DAY = 1_704_153_600_000  # 2024-01-02
AT = DAY + (14 * 60 + 30) * 60_000


def size(text: str) -> Counted:
    value = number(text)
    assert value is not None
    return by_size(value)


@pytest.mark.parametrize(
    ("text", "counted"),
    [
        ("1704205800", Counted(AT, "s")),
        ("1704205800.1239", Counted(AT + 123, "s")),
        ("1704205800000", Counted(AT, "ms")),
        ("1704205800000.0", Counted(AT, "ms")),
        ("1704205800000123", Counted(AT, "us")),
        ("1704205800747306925", Counted(AT + 747, "ns")),
        ("946684799", Counted(946_684_799_000, "s")),
        ("946684799123", Counted(946_684_799_123, "ms")),
        ("631152000000000", Counted(631_152_000_000, "us")),  # 1990
        ("20240102", Counted(DAY, "", is_day=True)),
        ("20240102.0", Counted(DAY, "", is_day=True)),
        ("202401021430", Counted(AT, "")),
        ("20240102143000", Counted(AT, "")),
        ("20240102143000.5", Counted(AT + 500, "")),
        ("20240102143000123", Counted(AT + 123, "")),
        ("20240102143000123456", Counted(AT + 123, "")),
    ],
)
def test_the_unit_follows_from_the_size(text: str, counted: Counted) -> None:
    """Seconds and finer, and dates that are written as one number."""
    assert size(text) == counted


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("0", "no time by itself"),
        ("1434", "say --date DAY"),
        ("143000", "say --date DAY"),
        ("093400123456789", "say --date DAY"),
        ("143000123", "may be s since 1970 or a time of day .*--time-unit s, or .*--date DAY"),
        ("143000123456", "may be ms since 1970 or a time of day"),
        ("143000123456789", "may be us since 1970 or a time of day"),
        ("34440.123", "a spreadsheet .* --date DAY with --time-unit s"),
        ("36001015", "--time-unit s, ms, us or ns if it counts from midnight"),
        ("45293.604", "a spreadsheet counts days so"),
        ("20241302", "no time by itself"),
        ("638398278000000000", "ticks of .NET or Windows; say --time-unit ns"),
        ("2024010214", "s since 1970 or a date .*--time-unit s or --time-format %Y%m%d%H$"),
        ("2024010214300012", "us since 1970 or a date .*--time-unit us or --time-format %Y"),
        ("202401021430001", "us since 1970 or a date"),
        ("2024010214300012345", "ns since 1970 or a date"),
        ("17042058001", "no unit since 1970 has 11 digits"),
        ("20241302143000", "no unit since 1970 has 14 digits"),
        ("9999999999", "no unit since 1970 has 10 digits from 1973 to 2099"),
        ("9" * 30, "no unit since 1970 has 30 digits"),
    ],
)
def test_what_has_no_one_meaning(text: str, why: str) -> None:
    """It is refused with the option that decides."""
    with pytest.raises(BadTime, match=why):
        size(text)


@pytest.mark.parametrize("text", ["", "-1", "1e9", "1,5", "1.2.3", "x", "٣", "1" * 31, " 1", "+1"])
def test_what_is_no_number(text: str) -> None:
    """Digits and one point."""
    assert number(text) is None


def test_why_no_number() -> None:
    """An exponent has lost digits; nothing was before 1970."""
    assert "a spreadsheet" in str(why_no_number("1.7042E+12"))
    assert "before 1970" in str(why_no_number("-86400"))
    assert why_no_number("yesterday") is None


@pytest.mark.parametrize(
    ("text", "ms", "width"),
    [("1434", 52_440_000, 4), ("143000", 52_200_000, 6), ("143000.25", 52_200_250, 6),
     ("93000", 34_200_000, 6), ("093400123456789", 34_440_123, 15)],
)  # fmt: skip
def test_times_of_day(text: str, ms: int, width: int) -> None:
    """Where a day stands beside it, digits are a clock."""
    value = number(text)
    assert value is not None
    assert clock(value) == (ms, width)


@pytest.mark.parametrize(
    "text", ["34200", "84500", "930", "36001015", "1704205800", "2575", "1434.5"]
)
def test_times_of_day_that_could_count(text: str) -> None:
    """What may be seconds since midnight as well as a clock needs a word."""
    value = number(text)
    assert value is not None
    with pytest.raises(BadTime, match=r"--time-unit s, ms, us or ns; or .*--time-format %H%M%S"):
        clock(value)


def test_since_midnight() -> None:
    """Each unit, and no more than a day."""
    assert since_midnight(Number("34200", "123456789"), "s") == 34_200_123
    assert since_midnight(Number("34200000", ""), "ms") == 34_200_000
    assert since_midnight(Number("34200123456789", ""), "ns") == 34_200_123
    with pytest.raises(BadTime, match="more than a day"):
        since_midnight(Number("86400", ""), "s")


@LAW
@given(ms=st.integers(YEAR_1971, EPOCH_MS_MAX - 1), unit=st.sampled_from(list(UNITS)))
def test_a_number_is_read_back(ms: int, unit: str) -> None:
    """From 1971 on: with its unit always; without it that very time, or none at all."""
    count = ms * UNITS[unit] // 1000
    exact = count * 1000 // UNITS[unit]
    value = Number(str(count), "")
    assert epoch(value, unit) == exact
    with contextlib.suppress(BadTime):
        found = by_size(value)
        # 12 digits that are a date are one, though they may be ms of 1976.
        assert found == Counted(exact, unit) or (not found.unit and len(value.whole) == 12)


@LAW
@given(ms=st.integers(1_000_000_000_000, EPOCH_MS_MAX - 1), unit=st.sampled_from(list(UNITS)))
def test_a_number_of_this_century_needs_no_unit(ms: int, unit: str) -> None:
    """From 2001-09-09 on all four sizes are clear, but where a date has as many digits."""
    count = ms * UNITS[unit] // 1000
    try:
        assert by_size(Number(str(count), "")) == Counted(count * 1000 // UNITS[unit], unit)
    except BadTime:
        assert YEAR_2030 <= ms < YEAR_2037


def test_too_late() -> None:
    """With a unit that cannot be, the number is refused."""
    with pytest.raises(BadTime, match="as s since 1970 it would be after 2099"):
        epoch(Number("1704205800000", ""), "s")
