"""Cells to times: one meaning each, or refused with the option that decides."""

from __future__ import annotations

import pytest

from tickfan.files.errors import BadTime, ReplayError
from tickfan.files.times import NAIVE, Times

AT = 1_704_205_800_000  # 2024-01-02 14:30 UTC
NEW_YORK = "America/New_York"


@pytest.mark.parametrize(
    ("options", "text", "ms"),
    [
        ({}, "2024-01-02T14:30:00Z", AT),
        ({}, " 2024-01-02 14:30 ", AT),
        ({}, "02.01.2024 15:30:00.000 GMT+0100", AT),
        ({}, "2024-01-02 09:30:00 US/Eastern", AT),
        ({}, "1704205800", AT),
        ({}, "20240102143000", AT),
        ({"tz": NEW_YORK}, "2024-01-02 09:30:00", AT),
        ({"tz": NEW_YORK}, "2024-01-02 09:30:00 EST", AT),
        ({"tz": NEW_YORK}, "20240102093000", AT),
        ({"tz": NEW_YORK}, "2024-01-02", AT - 34_200_000),
        ({"tz": "+01:00"}, "2024-01-02 15:30", AT),
        ({"tz": NEW_YORK, "day": "2024-01-02"}, "09:30", AT),
        ({"tz": NEW_YORK, "day": "2024-01-02"}, "9:30:00.123456789 AM", AT + 123),
        ({"tz": NEW_YORK, "day": "2024-01-02"}, "093000123456789", AT + 123),
        ({"tz": NEW_YORK, "day": "2024-01-02", "unit": "s"}, "34200.123456789", AT + 123),
        ({"tz": NEW_YORK, "day": "2024-01-02", "unit": "ms"}, "34200123", AT + 123),
        ({"unit": "s"}, "1704205800.5", AT + 500),
        ({"unit": "us"}, "143000123456789", 143_000_123_456),
        ({"unit": "s"}, "5", 5000),
        ({"form": "%m/%d/%Y"}, "01/02/2024", AT - 52_200_000),
        ({"form": "%d/%m/%Y %H:%M:%S.%f"}, "02/01/2024 14:30:00.123456789", AT + 123),
        ({"form": "%m/%d/%y %I:%M %p %z"}, "01/02/24 09:30 AM -0500", AT),
        ({"form": "%m/%d/%Y %H:%M %Z"}, "01/02/2024 14:30 UTC", AT),
        ({"form": "%m/%d/%Y %H:%M %Z", "tz": NEW_YORK}, "01/02/2024 09:30 EST", AT),
        ({"form": "%H%M%S", "day": "2024-01-02"}, "143000", AT),
        ({"form": "%H%M%S", "day": "2024-01-02"}, "1434", AT - 52_200_000 + 874_000),
    ],
)
def test_read(options: dict[str, str], text: str, ms: int) -> None:
    """By itself, or with what the options say."""
    assert Times(**options).read(text) == ms


@pytest.mark.parametrize(
    ("options", "text", "why"),
    [
        ({}, "", "no time stands there"),
        ({}, "yesterday", "say its form by --time-format"),
        ({}, "14:30", "a time of day without a day; say --date DAY"),
        ({}, "01/02/2024", "--time-format"),
        ({}, "2024-01-02 09:30 EST", "perhaps America/New_York"),
        ({}, "2024-01-02 09:30 CST", "the zone 'CST' is not known by itself"),
        ({}, "1.7E+12", "a spreadsheet"),
        ({"day": "2024-01-02"}, "2024-01-02 14:30", "leave --date out"),
        ({"day": "2024-01-02"}, "1704205800", "--time-unit"),
        ({"tz": NEW_YORK}, "1704205800", "leave --tz out"),
        ({"tz": NEW_YORK}, "2024-01-02T14:30:00Z", "leave --tz out"),
        ({"tz": NEW_YORK}, "2024-07-02 09:30 EST", "'EST' is not what clocks in America/New_York"),
        ({"tz": NEW_YORK}, "2024-03-10 02:30", "no such hour"),
        ({"tz": NEW_YORK}, "20241103013000", "came twice"),
        ({"unit": "s"}, "2024-01-02", "no number, as --time-unit s says"),
        ({"unit": "s"}, "1704205800000", "after 2099"),
        ({"unit": "s", "day": "2024-01-02"}, "90000", "more than a day"),
        ({"form": "%m/%d/%Y"}, "2024-01-02", "it is not of the --time-format '%m/%d/%Y'"),
        ({"form": "%m/%d/%y"}, "01/02/69", "not from 1970"),
        ({"form": "%d.%m.%Y %H:%M %Z"}, "02.01.2024 14:30 CST", "not known by itself"),
    ],
)
def test_read_refuses(options: dict[str, str], text: str, why: str) -> None:
    """Each with what would decide."""
    with pytest.raises(BadTime, match=why):
        Times(**options).read(text)


@pytest.mark.parametrize(
    ("options", "day", "clock", "ms"),
    [
        ({}, "2024-01-02", "14:30:00.123", AT + 123),
        ({}, "20240102", "1430", AT),
        ({}, "02.01.2024", "143000", AT),
        ({}, "2024-01-02 00:00:00", "2:30 PM", AT),
        ({"tz": NEW_YORK}, "20240102", "9:30:00.123456789", AT + 123),
        ({"tz": NEW_YORK}, "20240102", "93000", AT),
        ({"unit": "ms"}, "20240102", "52200000", AT),
        ({"form": "%H%M%S"}, "20240102", "84500", AT - 20_700_000),
        ({}, "2024-01-02", "14:30Z", AT),
    ],
)
def test_read_pair(options: dict[str, str], day: str, clock: str, ms: int) -> None:
    """A day and a time of day in two cells."""
    assert Times(**options).read_pair(day, clock) == ms


@pytest.mark.parametrize(
    ("day", "clock", "why"),
    [
        ("2024-01-02 09:30", "14:30", "not a day alone"),
        ("1704205800", "14:30", "not a day alone"),
        ("14:30", "14:30", "not a day alone"),
        ("2024-01-02", "2024-01-02 14:30", "it has a day"),
        ("2024-01-02", "84500", "--time-unit"),
        ("01/02/2024", "14:30", "--time-format"),
        ("2024-01-02", "", "no time stands there"),
    ],
)
def test_read_pair_refuses(day: str, clock: str, why: str) -> None:
    """What is not one of each."""
    with pytest.raises(BadTime, match=why):
        Times().read_pair(day, clock)


def test_digits_of_another_width() -> None:
    """Without first zeros 00:14:34 would be read as 14:34."""
    times = Times()
    times.read_pair("20240102", "143000")
    with pytest.raises(BadTime, match=r"it has 4 digits, .* 6; .*--time-format %H%M%S"):
        times.read_pair("20240103", "1434")


def test_what_was_seen_is_remembered() -> None:
    """Each kind once, and that no zone was named."""
    times = Times()
    for text in ("1704205800", "1704205801000", "1704205802", "2024-01-02"):
        times.read(text)
    assert list(times.kinds) == ["s", "ms", "text", NAIVE]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"unit": "min"}, "--time-unit 'min': one of s, ms, us, ns"),
        ({"unit": "s", "form": "%H"}, "say one"),
        ({"tz": "CST"}, "--tz 'CST': .*perhaps America/Chicago"),
        ({"tz": "Nowhere"}, "--tz 'Nowhere': say --tz with a place"),
        ({"day": "01/02/2024"}, "--date '01/02/2024': a day is wanted, as 2024-01-02"),
        ({"form": "%Z %H:%M"}, "%Z may stand at its end only"),
        ({"form": "%d.%m %H:%M"}, "it has a day and no year"),
        ({"form": "%Y-%m-%d %I:%M"}, "%I without %p may be morning or evening"),
        ({"form": "%Y-%Q"}, "--time-format '%Y-%Q': "),
    ],
)
def test_options_that_cannot_be_meant(options: dict[str, str], why: str) -> None:
    """They are refused before any file is opened."""
    with pytest.raises(ReplayError, match=why):
        Times(**options)
