"""A publisher's time, as publishers write it, to milliseconds since 1970 UTC.

The unit follows from the size: no moment of the years 1980 to 2100 in one unit is such a
moment in another. What could mean more than one time, or none, is refused. Must not know
where a time was written.
"""

from __future__ import annotations

import math
import re
from datetime import datetime

from tickfan.core.errors import Poison

SECONDS_MIN = 315_532_800
"""1980-01-01. A smaller number of seconds would be a number of ms in January 1970."""
SECONDS_MAX = 4_102_444_800
"""2100-01-01. A larger number is in a smaller unit, from ms on."""
MS_MIN, MS_MAX = SECONDS_MIN * 1000, SECONDS_MAX * 1000

_NUMBER = re.compile(r"[0-9]{1,19}(\.[0-9]{1,19})?([eE]\+?[0-9]{1,2})?")
_TEXT_MAX = 64


def as_ms(given: object) -> int | None:
    """The time in ms; None for what says no time (None and 0).

    A number is in seconds, ms, microseconds or nanoseconds, by its size. A text is such a
    number, or a date and time of ISO 8601 with its offset from UTC. Raises
    :class:`Poison` (``bad_ts``).
    """
    if isinstance(given, str):
        return _of_text(given)
    if given is None or (given == 0 and type(given) in (int, float)):
        return None
    if type(given) is int or (isinstance(given, float) and math.isfinite(given)):
        ms = _of_number(given)
        if ms is None:
            raise _refused(
                str(given)[:_TEXT_MAX], "lies in 1980 to 2100 neither as ms, nor as s, us or ns"
            )
        return ms
    raise _refused(f"a value of type {type(given).__name__}", "is no time")


def of_timestamp(number: int) -> int | None:
    """The time of AMQP's own type, which is in seconds; many publishers write ms.

    Nothing smaller is taken: on its way through a stream RabbitMQ makes other numbers of
    nanoseconds, and some of those look like microseconds. None for 0. Raises
    :class:`Poison` (``bad_ts``).
    """
    if number > MS_MAX:
        raise _refused(f"the timestamp {number}", "lies after 2100 in seconds and in ms")
    return (number if number > SECONDS_MAX else number * 1000) or None


def _of_number(number: float) -> int | None:
    if SECONDS_MIN <= number <= SECONDS_MAX:
        return round(number * 1000)
    if SECONDS_MAX < number <= MS_MAX:
        return round(number)
    for in_a_ms in (10**3, 10**6):
        if MS_MIN * in_a_ms <= number <= MS_MAX * in_a_ms:
            return round(number / in_a_ms)
    return None


def _of_text(text: str) -> int | None:
    text = text.strip()
    shown = repr(text[:_TEXT_MAX])
    if _NUMBER.fullmatch(text):
        return as_ms(int(text) if text.isdigit() else float(text))
    try:
        moment = datetime.fromisoformat(text[:_TEXT_MAX])
    except ValueError:
        raise _refused(shown, "is no time") from None
    if moment.tzinfo is None:
        raise _refused(shown, "does not say its offset from UTC")
    ms = round(moment.timestamp() * 1000)
    if not 0 < ms <= MS_MAX:
        raise _refused(shown, "does not lie in 1970 to 2100")
    return ms


def _refused(what: str, why: str) -> Poison:
    return Poison("bad_ts", f"ts: {what} {why}; send whole milliseconds since 1970 UTC")
