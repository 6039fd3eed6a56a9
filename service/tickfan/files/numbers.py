"""Times that are numbers: how their size says what they count.

Seconds since 1970 have 10 digits today (9 until 2001), and each finer unit has 3 more; 8,
12, 14 and more digits that begin with 19 or 20 are a date. What fits two is refused.
Must not know zones, nor which column a number is from.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from tickfan.files import calendar
from tickfan.files.errors import BadTime

UNITS = {"s": 1, "ms": 1000, "us": 1_000_000, "ns": 1_000_000_000}
"""How many of each make a second."""
_BY_DIGITS = {9: "s", 10: "s", 12: "ms", 13: "ms", 15: "us", 16: "us", 19: "ns"}
"""The unit of a number of so many digits. 18 are ns before 2001-09-09, or ticks of .NET."""
_DATE_FORMS = {
    10: "%Y%m%d%H", 15: "%Y%m%d%H%M%S%f", 16: "%Y%m%d%H%M%S%f", 19: "%Y%m%d%H%M%S%f",
}  # fmt: skip
"""How a date may be written in so many digits, that could be since 1970, too: 2030 to 2036."""
EPOCH_MS_MAX = calendar.DAY_MAX * calendar.DAY_MS
_NUMBER = re.compile(r"(\d{1,30})(?:[.](\d*))?")
_SERIAL = range(25_569, 73_051)
"""A spreadsheet's numbers of the days from 1970 to 2099."""
_EXPONENT = re.compile(r"\d[.,]?\d*[eE][+]?\d+")


class Number(NamedTuple):
    """Digits before the point, and behind it."""

    whole: str
    decimals: str


class Counted(NamedTuple):
    """A time in ms since 1970: in UTC, or (``unit`` is "") on the wall."""

    ms: int
    unit: str
    is_day: bool = False


def number(text: str) -> Number | None:
    """The digits of a number that is not negative, else None."""
    match = _NUMBER.fullmatch(text) if text.isascii() else None
    return Number(match[1], match[2] or "") if match else None


def by_unit(value: Number, unit: str) -> int:
    """The ms of a number that counts ``unit``; what is finer than a ms is cut off."""
    if unit == "s":
        return int(value.whole) * 1000 + int((value.decimals + "000")[:3])
    return int(value.whole) * 1000 // UNITS[unit]


def epoch(value: Number, unit: str) -> int:
    """The ms since 1970 UTC. Raises :class:`BadTime` beyond 2099."""
    ms = by_unit(value, unit)
    if ms >= EPOCH_MS_MAX:
        raise BadTime(f"as {unit} since 1970 it would be after 2099; say another --time-unit")
    return ms


def since_midnight(value: Number, unit: str) -> int:
    """The ms since midnight. Raises :class:`BadTime` if that is more than a day."""
    ms = by_unit(value, unit)
    if ms >= calendar.DAY_MS:
        raise BadTime(f"as {unit} since midnight it is more than a day; say another --time-unit")
    return ms


def by_size(value: Number) -> Counted:
    """What a number alone says. Raises :class:`BadTime` for what could be two times, or none."""
    digits, has_decimals = value.whole, bool(value.decimals.strip("0"))
    wall = calendar.compact_date(digits)
    if wall is not None and (not has_decimals or len(digits) == 14):
        if has_decimals:
            wall += int((value.decimals + "000")[:3])
        return Counted(wall, "", is_day=len(digits) == 8)
    clock = calendar.compact_clock(digits)
    unit = _BY_DIGITS.get(len(digits)) if digits[0] != "0" else None
    if unit is not None and by_unit(value, unit) < EPOCH_MS_MAX:
        form = _DATE_FORMS.get(len(digits))
        if form and calendar.compact_date(
            (digits + "00")[:12] if len(digits) == 10 else digits[:14]
        ):
            raise BadTime(
                f"it may be {unit} since 1970 or a date that begins with its year; "
                f"say --time-unit {unit} or --time-format {form}"
            )
        if clock is not None:
            raise BadTime(
                f"it may be {unit} since 1970 or a time of day (HHMMSS and decimals); "
                f"say --time-unit {unit}, or the day by --date DAY"
            )
        return Counted(by_unit(value, unit), unit)
    raise BadTime(_why_not(value, is_clock=clock is not None))


def clock(value: Number) -> tuple[int, int]:
    """A time of day without a colon: its ms since midnight, and how many digits it has.

    HHMM, HHMMSS, HMMSS, and HHMMSS with decimals. Raises :class:`BadTime`.
    """
    digits = value.whole
    if len(digits) == 5 and int(digits) >= 86_400:
        # A number of its seconds would be more than a day.
        ms, width = calendar.compact_clock("0" + digits), 6
    else:
        ms, width = calendar.compact_clock(digits), len(digits)
    if ms is None or (value.decimals and width != 6):
        raise BadTime(
            "a time of day may count from midnight: say --time-unit s, ms, us or ns; or be "
            "HHMMSS without its first zeros: say --time-format %H%M%S"
        )
    return ms + int((value.decimals + "000")[:3]), width


def why_no_number(text: str) -> str | None:
    """Why a text that begins like a number is no time; None if it does not."""
    if _EXPONENT.fullmatch(text):
        return (
            "a spreadsheet has cut its last digits off; export the column as text or as a "
            "whole number"
        )
    if text[:1] == "-" and text[1:2].isdigit():
        return "a time before 1970 cannot be sent"
    return None


def _why_not(value: Number, *, is_clock: bool) -> str:
    digits = value.whole
    if len(digits) == 5 and int(digits) in _SERIAL:
        return (
            "a spreadsheet counts days so, or seconds since midnight are; format the column as "
            "a date and export it again, or say --date DAY with --time-unit s"
        )
    if len(digits) == 18:
        return (
            "it may be ns since 1970, before 2001-09-09, or ticks of .NET or Windows; say "
            "--time-unit ns, or turn ticks into a time"
        )
    if is_clock or len(digits) <= 8:
        return (
            "a number of this size is no time by itself; of a time of day say --date DAY (and "
            "--time-unit s, ms, us or ns if it counts from midnight), of one since 1970 say "
            "--time-unit"
        )
    return (
        f"no unit since 1970 has {len(digits)} digits from 1973 to 2099; say --time-unit "
        "s, ms, us or ns"
    )
