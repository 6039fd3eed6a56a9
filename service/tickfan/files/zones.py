"""Time zones: which one a text names, and what a clock on a wall there means in UTC.

Must not know how a file writes its times.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from tickfan.files.errors import BadTime

_WALL = datetime(1970, 1, 1)  # noqa: DTZ001 - a clock on a wall has no zone
_MS = timedelta(milliseconds=1)
_OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)?(?::?(\d\d))?")
_HOURS = re.compile(r"(?:GMT|UTC)([+-])(\d{1,2}):?(\d\d)?", re.IGNORECASE)
_IN_UTC = ("z", "utc", "gmt")
_LIKE = {
    "est": "America/New_York", "edt": "America/New_York", "et": "America/New_York",
    "cst": "America/Chicago", "cdt": "America/Chicago", "ct": "America/Chicago",
    "pst": "America/Los_Angeles", "pdt": "America/Los_Angeles",
    "cet": "Europe/Berlin", "cest": "Europe/Berlin", "bst": "Europe/London",
    "jst": "Asia/Tokyo", "hkt": "Asia/Hong_Kong", "ist": "Asia/Kolkata",
}  # fmt: skip
"""Places that use an abbreviation; most are used in several."""


@lru_cache(256)
def zone(text: str) -> tzinfo | None:
    """The zone that ``text`` names by itself, or None.

    ``Z``, ``UTC`` and ``GMT``; an offset as ``+01:00``, ``+0100`` or ``GMT+0100``; a place
    of the IANA database, as ``America/New_York``. An abbreviation such as ``CST`` has no
    zone by itself: it means three.
    """
    if text.lower() in _IN_UTC:
        return UTC
    if offset := _OFFSET.fullmatch(text):
        sign, hours, minutes, seconds = offset.groups()
        return _fixed(sign, int(hours), int(minutes or 0), int(seconds or 0))
    if offset := _HOURS.fullmatch(text):
        sign, hours, minutes = offset.groups()
        return _fixed(sign, int(hours), int(minutes or 0), 0)
    return _place(text) if "/" in text else None


@lru_cache(256)
def zone_of_option(text: str) -> tzinfo:
    """The zone that ``--tz`` names: also ``EST``, ``MST`` and ``HST``, which never change.

    Raises :class:`BadTime`.
    """
    found = zone(text)
    if found is None and (found := _place(text)) is None:
        raise BadTime(_hint(text))
    return found


def to_utc(wall_ms: int, where: tzinfo, name: str, abbreviation: str = "") -> int:
    """What a clock on a wall in ``where`` means, in ms since 1970 UTC.

    ``wall_ms`` is what it shows, in ms since 1970 there. An ``abbreviation`` of the zone's
    tells an hour that comes twice apart. Raises :class:`BadTime` for an hour that comes
    twice or never.
    """
    if where is UTC:
        return wall_ms
    wall = _WALL + wall_ms * _MS
    first = wall.replace(tzinfo=where)
    offset = first.utcoffset()
    assert offset is not None, "what zone() makes has an offset"
    last = first.replace(fold=1)
    other = last.utcoffset()
    assert other is not None
    if offset == other:
        if abbreviation and first.tzname() != abbreviation:
            raise BadTime(
                f"{abbreviation!r} is not what clocks in {name} say then "
                f"({first.tzname()}); say another --tz"
            )
        return wall_ms - offset // _MS
    day = f"{wall:%Y-%m-%d}"
    if offset < other:
        raise BadTime(f"there is no such hour in {name}: its clocks went forward on {day}")
    for each, shift in ((first, offset), (last, other)):
        if abbreviation and each.tzname() == abbreviation:
            return wall_ms - shift // _MS
    raise BadTime(
        f"this hour came twice in {name}: its clocks went back on {day}; write such times "
        "with their offset or in UTC, or leave these rows out with --on-error skip"
    )


def unknown(text: str) -> str:
    """Why a zone in a time is none, and what to do."""
    return f"the zone {text!r} is not known by itself; {_hint(text)}"


def _hint(text: str) -> str:
    place = _LIKE.get(text.lower())
    like = f" (here perhaps {place})" if place else ""
    return f"say --tz with a place{like}, as in --tz America/New_York, or an offset, as in +01:00"


def _fixed(sign: str, hours: int, minutes: int, seconds: int) -> tzinfo | None:
    if hours > 23 or minutes > 59 or seconds > 59:
        return None
    offset = timedelta(hours=hours, minutes=minutes, seconds=seconds)
    return timezone(offset if sign == "+" else -offset)


def _place(text: str) -> tzinfo | None:
    try:
        return ZoneInfo(text)
    except (KeyError, ValueError, OSError):  # not in the database; a path; a folder of it
        return None
