"""Dates and clocks: what is clear is read, and what could be two is refused."""

from __future__ import annotations

import contextlib
from datetime import date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.updates import LAW
from tickfan.files.calendar import DAY_MS, EPOCH_DAY, Written, compact_clock, compact_date, read
from tickfan.files.errors import BadTime

DAY = date(2024, 1, 2).toordinal() - EPOCH_DAY
CLOCK = (14 * 60 + 30) * 60_000


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-02", "2024/01/02", "2024.01.02", "2024-1-2", "20240102", "02.01.2024",
        "2.1.2024", "02-Jan-2024", "2 January 2024", "Jan 2, 2024", "January 2 2024",
        "02JAN2024", "2024-Jan-02", "Tue, 02 Jan 2024", "Jan  2 2024",
    ],
)  # fmt: skip
def test_days(text: str) -> None:
    """A year first, a day before dots, a month by its name."""
    assert read(text) == Written(DAY, None, "")


@pytest.mark.parametrize(
    ("text", "ms", "zone"),
    [
        ("2024-01-02T14:30:00Z", 0, "Z"),
        ("2024-01-02 14:30", 0, ""),
        ("2024-01-02D14:30:00.123456789", 123, ""),
        ("2024-01-02 14:30:00.123456789-05:00", 123, "-05:00"),
        ("2024-01-02T14:30:00,5", 500, ""),
        ("2024-01-02T14:30:00.1239Z", 123, "Z"),
        ("2024-01-02 14:30:00 US/Eastern", 0, "US/Eastern"),
        ("02.01.2024 14:30:00.000 GMT+0100", 0, "GMT+0100"),
        ("20240102 143000", 0, ""),
        ("20240102 143000123", 123, ""),
        ("20240102 14:30:00.123", 123, ""),
        ("20240102-14:30:00.123", 123, ""),
        ("20240102T143000Z", 0, "Z"),
        ("20240102  14:30:00", 0, ""),
        ("02JAN2024:14:30:00", 0, ""),
        ("02-JAN-2024 14:30:00.123456", 123, ""),
        ("Jan 2, 2024, 2:30 PM", 0, ""),
        ("2024-01-02 02:30:00 p.m.", 0, ""),
        ("2024-01-02 14:30:00:250", 250, ""),
        ("Tue, 02 Jan 2024 14:30:00 GMT", 0, "GMT"),
    ],
)
def test_times(text: str, ms: int, zone: str) -> None:
    """With decimals, a half of the day, and what names a zone."""
    assert read(text) == Written(DAY, CLOCK + ms, zone)


@pytest.mark.parametrize(
    ("text", "ms"),
    [("14:30", 0), ("14:30:00.1", 100), ("2:30 PM", 0), ("2:30:00PM", 0), ("14:30:00", 0)],
)
def test_times_of_day(text: str, ms: int) -> None:
    """A clock without a day."""
    assert read(text) == Written(None, CLOCK + ms, "")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("01/02/2024", "may be 01 or 02; say --time-format '%m/%d/%Y' .* or '%d/%m/%Y'"),
        ("01-02-2024 14:30", "'%m-%d-%Y'"),
        ("1/2/24", "one of '%m/%d/%y', '%d/%m/%y', '%y/%m/%d'"),
        ("24-01-02", "one of '%m-%d-%y', '%d-%m-%y', '%y-%m-%d'"),
        ("2024-01-02-05:00", "no time stands behind its date"),
        ("20240102-0500", "no time stands behind its date"),
        ("13/01/2024", "say --time-format '%d/%m/%Y'$"),
        ("01/13/2024", "say --time-format '%m/%d/%Y'$"),
        ("2024-02-30", "no calendar has this day"),
        ("2024-13-01", "no calendar has this day"),
        ("1969-12-31", "the year 1969 is not from 1970 to 2099"),
        ("2100-01-01", "not from 1970"),
        ("2024-01-02 24:00:00", "no clock shows this"),
        ("2024-01-02 14:60", "no clock shows this"),
        ("14:30:61", "no clock shows this"),
        ("2024-01-02 14:30 PM", "no clock of twelve hours"),
        ("0:30 PM", "no clock of twelve hours"),
        ("2024-01-02 noon", "no time stands behind its date"),
        ("2024-01-02 14", "no time stands behind its date"),
    ],
)
def test_what_is_no_time(text: str, why: str) -> None:
    """Each says why; what could be two days says which option decides."""
    with pytest.raises(BadTime, match=why):
        read(text)


@pytest.mark.parametrize("text", ["yesterday", "AAPL", "2024-01", "2024Q1", "12 Foo 2024", "٣"])
def test_what_is_no_date(text: str) -> None:
    """It is None: the caller knows what else it could be."""
    assert read(text) is None


@pytest.mark.parametrize(
    ("digits", "ms"),
    [("1430", CLOCK), ("143000", CLOCK), ("143000123", CLOCK + 123),
     ("143000123456789", CLOCK + 123), ("2460", None), ("5", None), ("99", None),
     ("36001015", None)],
)  # fmt: skip
def test_compact_clock(digits: str, ms: int | None) -> None:
    """HHMM, HHMMSS, and that with decimals."""
    assert compact_clock(digits) == ms


@pytest.mark.parametrize(
    ("digits", "ms"),
    [("20240102", 0), ("202401021430", CLOCK), ("20240102143000", CLOCK),
     ("20240102143000123", CLOCK + 123), ("20240102143000123456", CLOCK + 123),
     ("20241302143000", None), ("1704205800", None), ("21000101", None)],
)  # fmt: skip
def test_compact_date(digits: str, ms: int | None) -> None:
    """YYYYMMDD and what may follow it."""
    assert compact_date(digits) == (None if ms is None else DAY * DAY_MS + ms)


@LAW
@given(
    moment=st.datetimes(datetime(1, 1, 1), datetime(2200, 1, 1)),  # noqa: DTZ001
    form=st.sampled_from(
        ["%Y-%m-%d %H:%M:%S", "%Y%m%d %H%M%S", "%d.%m.%Y %H:%M:%S", "%d-%b-%Y %H:%M:%S",
         "%B %d, %Y %I:%M:%S %p", "%Y/%m/%dT%H:%M:%S", "%Y%m%d-%H:%M:%S"]
    ),
)  # fmt: skip
def test_a_time_is_read_back_or_refused(moment: datetime, form: str) -> None:
    """In each form that is known, from 1970 to 2099."""
    text = moment.strftime(form)
    if not 1970 <= moment.year < 2100:
        with contextlib.suppress(BadTime):
            assert read(text) is None
        return
    clock = ((moment.hour * 60 + moment.minute) * 60 + moment.second) * 1000
    assert read(text) == Written(moment.toordinal() - EPOCH_DAY, clock, "")
