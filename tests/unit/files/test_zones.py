"""Zones: an offset, a place, never a guess; and the hours that come twice or never."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.updates import LAW
from tickfan.files.errors import BadTime
from tickfan.files.zones import to_utc, unknown, zone, zone_of_option

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MS = timedelta(milliseconds=1)
PLACES = [
    "America/New_York", "Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe", "Asia/Tokyo",
    "America/Sao_Paulo", "Africa/Casablanca", "Pacific/Apia",
]  # fmt: skip


def wall(text: str) -> int:
    return (datetime.fromisoformat(text).replace(tzinfo=UTC) - EPOCH) // MS


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ("Z", 0), ("utc", 0), ("GMT", 0), ("+01:00", 1), ("-0530", -5.5), ("+09", 9),
        ("GMT+0100", 1), ("UTC-5", -5), ("Asia/Tokyo", 9), ("Etc/GMT+5", -5), ("US/Eastern", -5),
    ],
)  # fmt: skip
def test_zone(text: str, hours: float) -> None:
    """Offsets and places."""
    found = zone(text)
    assert found is not None
    assert found.utcoffset(datetime(2024, 1, 2)) == timedelta(hours=hours)  # noqa: DTZ001


@pytest.mark.parametrize(
    "text", ["EST", "CST", "", "x", "+25:00", "+01:60", "Nowhere/Town", "../etc/passwd", "/etc"]
)
def test_no_zone(text: str) -> None:
    """An abbreviation means several; the rest is none."""
    assert zone(text) is None


def test_the_option_takes_what_the_database_has() -> None:
    """EST is five hours behind all year, as it is in HistData's files; CST is none."""
    for month in (1, 7):
        moment = datetime(2024, month, 2, tzinfo=zone_of_option("EST"))
        assert moment.utcoffset() == timedelta(hours=-5)
    with pytest.raises(BadTime, match="perhaps America/Chicago"):
        zone_of_option("CST")
    assert "as in --tz America/New_York" in unknown("XST")


@pytest.mark.parametrize(
    ("place", "text", "why"),
    [
        ("America/New_York", "2024-03-10T02:30:00", "no such hour in .* forward on 2024-03-10"),
        ("America/New_York", "2024-11-03T01:30:00", "came twice in .* back on 2024-11-03"),
        ("Europe/Berlin", "2024-03-31T02:00:00", "no such hour"),
        ("Europe/Berlin", "2024-10-27T02:59:59", "came twice"),
        ("Australia/Lord_Howe", "2024-04-07T01:45:00", "came twice"),
    ],
)
def test_hours_that_come_twice_or_never(place: str, text: str, why: str) -> None:
    """They are refused by name; just beside them all is well."""
    with pytest.raises(BadTime, match=why):
        to_utc(wall(text), ZoneInfo(place), place)
    for hours in (-2, 2):
        to_utc(wall(text) + hours * 3_600_000, ZoneInfo(place), place)


def test_an_abbreviation_tells_an_hour_that_comes_twice() -> None:
    """01:30 EDT is an hour before 01:30 EST; in January nobody says EDT."""
    place = "America/New_York"
    first, second = (
        to_utc(wall("2024-11-03T01:30:00"), ZoneInfo(place), place, name) for name in ("EDT", "EST")
    )
    assert second - first == 3_600_000
    with pytest.raises(BadTime, match="'EDT' is not what clocks in America/New_York say then"):
        to_utc(wall("2024-01-02T09:30:00"), ZoneInfo(place), place, "EDT")


@LAW
@given(
    place=st.sampled_from(PLACES),
    moment=st.datetimes(datetime(1971, 1, 1), datetime(2099, 12, 30)),  # noqa: DTZ001
)
def test_a_clock_is_read_back_or_refused(place: str, moment: datetime) -> None:
    """Each moment, shown by a clock there and read again, is itself, or is refused."""
    moment = moment.replace(tzinfo=UTC, microsecond=moment.microsecond // 1000 * 1000)
    there = moment.astimezone(ZoneInfo(place))
    shown = (there.replace(tzinfo=UTC) - EPOCH) // MS
    if there.utcoffset() == there.replace(fold=1 - there.fold).utcoffset():
        assert to_utc(shown, ZoneInfo(place), place) == (moment - EPOCH) // MS
    else:
        with pytest.raises(BadTime, match="came twice"):
            to_utc(shown, ZoneInfo(place), place)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("year", [1985, 2010, 2024, 2090])
def test_each_change_of_the_clocks_is_refused_by_name(place: str, year: int) -> None:
    """What a clock there shows around each change of a year: twice, never, or read back."""
    where = ZoneInfo(place)
    before = datetime(year, 1, 1, tzinfo=UTC).astimezone(where).utcoffset()
    for hour in range(1, 365 * 24):
        moment = datetime(year, 1, 1, tzinfo=UTC) + timedelta(hours=hour)
        offset = moment.astimezone(where).utcoffset()
        assert before is not None
        assert offset is not None
        change, before = offset - before, offset
        if not change:
            continue
        found = set()
        shown = (moment + offset - EPOCH) // MS
        for minutes in range(-180, 181, 5):
            try:
                to_utc(shown + minutes * 60_000, where, place)
            except BadTime as error:
                found.add("no such hour" if "no such hour" in str(error) else "came twice")
        assert found == {"no such hour" if change > timedelta(0) else "came twice"}
