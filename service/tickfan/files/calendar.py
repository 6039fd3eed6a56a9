"""Times that are written as dates and clocks: how each part is read.

A date is counted in days since 1970, a clock in ms since midnight. Nothing is guessed: what
could be two dates is refused. Must not know zones, nor which column a text is from.
"""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache
from typing import NamedTuple

from tickfan.files.errors import BadTime

DAY_MS = 86_400_000
EPOCH_DAY = date(1970, 1, 1).toordinal()
DAY_MAX = date(2100, 1, 1).toordinal() - EPOCH_DAY
"""Times from this day on are refused, and those before 1970: such a time was read wrongly."""

MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "january jan", "february feb", "march mar", "april apr", "may", "june jun",
            "july jul", "august aug", "september sep sept", "october oct", "november nov",
            "december dec",
        ),
        1,
    )
    for name in names.split()
}  # fmt: skip

_DATES = (
    re.compile(r"(?P<y>\d{4})([-/.])(?P<m>\d{1,2})\2(?P<d>\d{1,2})(?!\d)"),
    re.compile(r"(?P<y>(?:19|20)\d\d)(?P<m>\d\d)(?P<d>\d\d)(?=\D|$)"),
    re.compile(r"(?P<d>\d{1,2})\.(?P<m>\d{1,2})\.(?P<y>\d{4})(?!\d)"),
    re.compile(r"(?P<d>\d{1,2})[- ]?(?P<b>[A-Za-z]{3,9})[-, ]{0,2}(?P<y>\d{4})(?!\d)"),
    re.compile(r"(?P<b>[A-Za-z]{3,9})\.?[- ]{0,2}(?P<d>\d{1,2}),? {1,2}(?P<y>\d{4})(?!\d)"),
    re.compile(r"(?P<y>\d{4})-(?P<b>[A-Za-z]{3})-(?P<d>\d{1,2})(?!\d)"),
)
"""A year first, days before dots, or a month by its English name: no other is certain."""
_WEEKDAY = re.compile(r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]{0,6}\.?,? ", re.IGNORECASE)
_TWO_WAYS = re.compile(r"(\d{1,2})([/-])(\d{1,2})\2(\d{4}|\d{2})(?!\d)")
# Behind a hyphen HH:MM would be an offset as well: XML writes a day's zone so.
_BETWEEN = re.compile(r"[TtD]|,? +|[:_](?=\d\d:?\d\d)|-(?=\d\d:?\d\d:?\d\d)")
_CLOCK = re.compile(
    r"(?P<h>\d{1,2}):(?P<m>\d\d)(?::(?P<s>\d\d)(?:(?:[.,]|:(?=\d{3}))(?P<f>\d+))?)?"
    r"(?: ?(?P<half>[AaPp])\.?[Mm]\.?(?![A-Za-z]))?"
)
_DIGITS = re.compile(r"(?P<h>\d\d)(?P<m>\d\d)(?:(?P<s>\d\d)(?:[.,]?(?P<f>\d+))?)?(?P<half>)")


class Written(NamedTuple):
    """What a text says: a day, a clock or both, and its zone as it is written ("" if none)."""

    day: int | None
    clock: int | None
    zone: str


def read(text: str) -> Written | None:
    """What the text says; None if it is neither a date nor a clock.

    Raises :class:`BadTime` for what looks like a time and is none, or could be two.
    """
    if clock := _CLOCK.match(text):
        return Written(None, clock_ms(clock), text[clock.end() :].strip())
    if weekday := _WEEKDAY.match(text):
        text = text[weekday.end() :]
    for form in _DATES:
        if found := form.match(text):
            break
    else:
        if two := _TWO_WAYS.match(text):
            raise BadTime(_two_ways(two))
        return None
    parts = found.groupdict()
    month = parts.get("m") or MONTHS.get((parts.get("b") or "").lower())
    if month is None:
        return None
    day = day_of(parts["y"], int(month), parts["d"])
    end = found.end()
    if end == len(text):
        return Written(day, None, "")
    between = _BETWEEN.match(text, end)
    clock = between and (_CLOCK.match(text, between.end()) or _DIGITS.match(text, between.end()))
    if not clock:
        raise BadTime("no time stands behind its date")
    return Written(day, clock_ms(clock), text[clock.end() :].strip())


@lru_cache(4096)
def day_of(year: str | int, month: str | int, day: str | int) -> int:
    """The day, counted from 1970. Raises :class:`BadTime`."""
    try:
        found = date(int(year), int(month), int(day)).toordinal() - EPOCH_DAY
    except ValueError:
        raise BadTime("no calendar has this day") from None
    if not 0 <= found < DAY_MAX:
        raise BadTime(f"the year {year} is not from 1970 to 2099")
    return found


def clock_ms(match: re.Match[str]) -> int:
    """A clock's ms since midnight, out of the groups h, m, s, f and half.

    Raises :class:`BadTime`.
    """
    hours, minutes, seconds, fraction, half = match.group("h", "m", "s", "f", "half")
    hour, minute, second = int(hours), int(minutes), int(seconds or 0)
    if half:
        if not 1 <= hour <= 12:
            raise BadTime("no clock of twelve hours shows this")
        hour = hour % 12 + (12 if half in "pP" else 0)
    if hour > 23 or minute > 59 or second > 59:
        raise BadTime("no clock shows this")
    ms = ((hour * 60 + minute) * 60 + second) * 1000
    return ms + int((fraction + "00")[:3]) if fraction else ms


def compact_clock(digits: str) -> int | None:
    """The ms since midnight of HHMM, HHMMSS, and HHMMSS with 3, 6 or 9 decimals; else None."""
    if len(digits) not in (4, 6, 9, 12, 15):
        return None
    match = _DIGITS.fullmatch(digits)
    try:
        return clock_ms(match) if match else None
    except BadTime:
        return None


def compact_date(digits: str) -> int | None:
    """The ms since 1970, on the wall, of YYYYMMDD with HHMM, HHMMSS and decimals; else None."""
    if len(digits) not in (8, 12, 14, 17, 20, 23) or digits[:2] not in ("19", "20"):
        return None
    try:
        day = day_of(digits[:4], digits[4:6], digits[6:8])
    except BadTime:
        return None
    clock = 0 if len(digits) == 8 else compact_clock(digits[8:])
    return None if clock is None else day * DAY_MS + clock


def _two_ways(match: re.Match[str]) -> str:
    first, sign, second, year = match.groups()
    if len(year) == 2:
        forms = [f"'{each.replace('-', sign)}'" for each in ("%m-%d-%y", "%d-%m-%y", "%y-%m-%d")]
        return f"its order does not show; say --time-format, one of {', '.join(forms)}"
    month_first, day_first = f"%m{sign}%d{sign}%Y", f"%d{sign}%m{sign}%Y"
    if int(first) > 12:
        return f"which is the month does not show in each row; say --time-format '{day_first}'"
    if int(second) > 12:
        return f"which is the month does not show in each row; say --time-format '{month_first}'"
    return (
        f"the month may be {first} or {second}; say --time-format '{month_first}' (month first) "
        f"or '{day_first}' (day first), with %H:%M:%S behind it if a time follows"
    )
