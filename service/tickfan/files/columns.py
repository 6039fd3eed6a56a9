"""Which column is the time, which the symbol, and which are data; what a person says of it.

Known names are compared without case, ``<``, ``>``, ``#``, ``_``, ``-``, ``.``, ``/`` and
spaces, and without the ``[G]`` and ``[L]`` that say whose clock it is (Refinitiv). Must not
know how a cell is written, but for whether it is a time of day.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, NamedTuple

from tickfan.files.calendar import DAY_MS
from tickfan.files.errors import BadTime, ReplayError
from tickfan.files.times import NAIVE, Times

if TYPE_CHECKING:
    from collections.abc import Sequence

TIME_NAMES = (
    "timestamp", "ts", "datetime", "time", "date",
    "gmttime", "utctime", "utc", "timeutc", "localtime", "dateandtime",
    "unix", "unixtime", "unixtimestamp", "epoch", "timestampms", "timems",
    "zeit", "zeitstempel", "datum", "uhrzeit", "day",
)  # fmt: skip
"""Names that mean the row's time; the first that a file has is taken, if others agree."""
SPECIFIC_NAMES = (
    "opentime", "windowstart", "transacttime", "tsevent", "eventtime", "tradetime",
    "quotetime", "exchangetime", "exchangetimestamp", "siptimestamp", "participanttimestamp",
    "tsrecv", "timem", "tradedate", "tradingday", "datadate", "starttime", "periodstart",
    "candletime", "bartime", "quotedatetime", "tradedatetime", "tradetimestamp",
    "lasttradetime", "updatetime", "createdat",
)  # fmt: skip
"""Names of times of which a file may have several that differ: then ``--time`` decides."""
DAY_NAMES = ("date", "day", "datum", "tradedate", "tradingday", "datadate")
CLOCK_NAMES = ("time", "timem", "uhrzeit", "zeit", "tradetime", "timestamp", "ts")
"""Names of columns that make a time together: a day's, and a time of day's."""
SYMBOL_NAMES = (
    "symbol", "ticker", "sym", "symroot", "ric", "instrument", "instrumentname", "pair",
    "currencypair", "contract", "name",
)  # fmt: skip
SUFFIX_NAME = "symsuffix"
"""Beside SYM_ROOT it makes the symbol: BRK and B are BRK.B (TAQ)."""
AGREE_MS = 1000
"""Two time columns mean the same if they are no further apart: one may count seconds."""
INDEX_NAMES = ("", "Unnamed: 0")
"""How the first column is called that only numbers the rows."""

_IGNORED = re.compile(r"[<>#_\-./\s]+|\[[gl]\]", re.IGNORECASE)
_LOCAL = re.compile(r"local|\[l\]", re.IGNORECASE)
_IN_UTC = re.compile(r"gmt|utc|\[g\]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Layout:
    """The options of a file's layout, as they were given; what is not said is found out.

    ``columns`` are the names of the columns, for a file without a header (or in the place of
    it). ``time`` is the column of the times; two names with a comma between them are a day's
    and a clock's. ``symbol_column`` is that of the symbols. ``tz`` is the zone of times that
    name none, ``date`` the day (YYYY-MM-DD) of times that have none, ``time_unit`` what
    numbers count (s, ms, us, ns), ``time_format`` a ``strptime`` format.
    """

    columns: tuple[str, ...] | None = None
    time: str | None = None
    symbol_column: str | None = None
    tz: str | None = None
    date: str | None = None
    time_unit: str | None = None
    time_format: str | None = None
    delimiter: str | None = None
    encoding: str | None = None


class Columns(NamedTuple):
    """Where things stand in a row: indexes, and the names of all columns.

    ``day`` is the column of the day, where ``time`` holds only the time of day. ``suffix`` is
    that of what follows the symbol behind a dot, if anything stands there. ``unnamed`` are
    columns in which nothing may stand.
    """

    names: list[str]
    time: int
    day: int | None
    symbol: int | None
    suffix: int | None
    data: list[tuple[int, str]]
    unnamed: list[int]
    notes: list[str]


def plain(name: str) -> str:
    """A column's name as it is compared."""
    return _IGNORED.sub("", name).lower()


def find_columns(
    header: Sequence[str], first: Sequence[str], layout: Layout, times: Times
) -> Columns:
    """Find the columns by their names, and by the ``first`` row where names do not tell.

    ``times`` is used up by trying. Raises :class:`ReplayError` for a column that is missing,
    or could be two.
    """
    names, notes = _unique([name.strip() for name in header])
    if layout.time is not None:
        day, time = _time_that_is_said(names, first, layout, times, layout.time)
    else:
        day, time = _time(names, [plain(name) for name in header], first, layout, times)
    _check_zone(names, first, (time,) if day is None else (day, time), times)
    symbol = _symbol(names, layout)
    suffix = _suffix(names, symbol)
    taken = (time, day, symbol, suffix)
    unnamed = [at for at, name in enumerate(names) if not name and at not in taken]
    index = 0 if names[0] in INDEX_NAMES and 0 not in taken else None
    if index is not None:
        notes.append("column 1 left out (it numbers the rows)")
    data = [(at, name) for at, name in enumerate(names) if name and at != index and at not in taken]
    if not data:
        raise ReplayError("no column is left for data")
    unnamed = [at for at in unnamed if at != index]
    return Columns(names, time, day, symbol, suffix, data, unnamed, notes)


def _unique(names: list[str]) -> tuple[list[str], list[str]]:
    """Give the second column of a name another one, so that no value is lost."""
    notes: list[str] = []
    seen: set[str] = set()
    unique: list[str] = []
    for name in names:
        new, number = name, 2
        while new and (new in seen or (new != name and new in names)):
            new, number = f"{name}_{number}", number + 1
        if new != name:
            notes.append(f"the column {name!r} comes again, as {new!r}")
        seen.add(new)
        unique.append(new)
    return unique, notes


def _find(names: Sequence[str], wanted: str, option: str) -> int:
    """The column that was said: by its name, as names are compared, or by its number."""
    if wanted in names:
        return list(names).index(wanted)
    alike = [at for at, name in enumerate(names) if name and plain(name) == plain(wanted)]
    if len(alike) == 1:
        return alike[0]
    if wanted.isdigit() and 1 <= int(wanted) <= len(names):
        return int(wanted) - 1
    what = "is several columns" if alike else "is no column"
    raise ReplayError(f"{option} {wanted!r} {what} of {_list(names)}")


def _symbol(names: Sequence[str], layout: Layout) -> int | None:
    if layout.symbol_column is not None:
        return _find(names, layout.symbol_column, "--symbol-column")
    known = [plain(name) for name in names]
    return next((known.index(name) for name in SYMBOL_NAMES if name in known), None)


def _suffix(names: Sequence[str], symbol: int | None) -> int | None:
    known = [plain(name) for name in names]
    if symbol is None or known[symbol] != "symroot" or SUFFIX_NAME not in known:
        return None
    return known.index(SUFFIX_NAME)


def _time(
    names: Sequence[str],
    known: Sequence[str],
    first: Sequence[str],
    layout: Layout,
    times: Times,
) -> tuple[int | None, int]:
    """The columns of the day (None: there is none apart) and of the time."""
    found = [at for name in TIME_NAMES for at, each in enumerate(known) if each == name]
    if not found:
        found = [known.index(name) for name in SPECIFIC_NAMES if name in known]
        if not found and names[0] in INDEX_NAMES and _is_whole(first[0], times):
            return None, 0
        if not found:
            raise ReplayError(
                f"no time column is known in {_list(names)}; say which by --time COLUMN"
            )
        days = [at for at in found if known[at] in DAY_NAMES]
        if len(found) - len(days) > 1 or (len(found) > 1 and not days):
            raise ReplayError(_several(names, found))
    if layout.date is None and (pair := _pair(known, found, first, times)) is not None:
        rest = [at for at in found if at not in pair]
        _check_agree(names, first, times, pair, rest)
        return pair
    if len(found) > 1:
        found = _check_one(names, first, times, found)
    return None, found[0]


def _time_that_is_said(
    names: Sequence[str], first: Sequence[str], layout: Layout, times: Times, said: str
) -> tuple[int | None, int]:
    if said not in names and said.count(",") == 1:
        day, _, clock = said.partition(",")
        return _find(names, day.strip(), "--time"), _find(names, clock.strip(), "--time")
    time = _find(names, said, "--time")
    known = [plain(name) for name in names]
    days = [known.index(name) for name in DAY_NAMES if name in known]
    together = days and days[0] != time and _go_together(first[days[0]], first[time], times)
    if layout.date is None and together:
        return days[0], time
    return None, time


def _pair(
    known: Sequence[str], found: Sequence[int], first: Sequence[str], times: Times
) -> tuple[int, int] | None:
    """The columns of the day and of the time of day, if the first row has them apart."""
    day = next((at for at in found if known[at] in DAY_NAMES), None)
    if day is None:
        return None
    for name in CLOCK_NAMES:
        if name not in known or (at := known.index(name)) == day:
            continue
        if _go_together(first[day], first[at], times):
            return day, at
    return None


def _go_together(day: str, clock: str, times: Times) -> bool:
    """Whether one cell is a day, and the other a time of day."""
    try:
        times.read_pair(day, clock)
    except BadTime:
        # What has no day is a time of day. If it is wrong, who reads the rows says why.
        return not _is_whole(clock, times) and clock.strip()[:1].isdigit()
    return True


def _is_whole(text: str, times: Times) -> bool:
    """Whether a cell is a time by itself."""
    try:
        times.read(text)
    except BadTime:
        return False
    return True


def _check_one(
    names: Sequence[str], first: Sequence[str], times: Times, found: list[int]
) -> list[int]:
    """The one column of ``found`` to take, if all that hold times say the same."""
    read: list[tuple[int, int]] = []
    naive: list[tuple[int, int]] = []
    for at in found:
        times.kinds.clear()
        try:
            ms = times.read(first[at])
        except BadTime:
            continue
        (naive if NAIVE in times.kinds else read).append((ms, at))
    # A number since 1970 needs no zone; a date may agree with it in winter only.
    read += naive
    if not read:
        return found
    # A day without its time says less than a time on it.
    whole = [each for each in read if each[0] % DAY_MS] or read
    at = whole[0][1]
    _check_agree(names, first, times, (at,), [other for _, other in read if other != at])
    return [at]


def _read(first: Sequence[str], times: Times, taken: Sequence[int]) -> int:
    if len(taken) == 1:
        return times.read(first[taken[0]])
    return times.read_pair(first[taken[0]], first[taken[1]])


def _check_agree(
    names: Sequence[str],
    first: Sequence[str],
    times: Times,
    taken: Sequence[int],
    others: Sequence[int],
) -> None:
    """Refuse a row in which other columns say another time than those that are taken."""
    try:
        ms = _read(first, times, taken)
    except BadTime:
        return  # who reads the rows says why
    for at in others:
        try:
            other = times.read(first[at])
        except BadTime:
            continue
        is_its_day = other % DAY_MS == 0 and 0 <= ms - other < DAY_MS
        if abs(other - ms) >= AGREE_MS and not is_its_day:
            raise ReplayError(_several(names, [*taken, at], differ=True))


def _check_zone(
    names: Sequence[str], first: Sequence[str], taken: Sequence[int], times: Times
) -> None:
    """Refuse times that would be read in another zone than their column's name says."""
    times.kinds.clear()
    with contextlib.suppress(BadTime):
        _read(first, times, taken)
    own = [names[at] for at in taken]
    if any(map(_LOCAL.search, own)) and NAIVE in times.kinds:
        raise ReplayError(f"the times of {own[-1]!r} are local and name no zone; say --tz")
    if any(map(_IN_UTC.search, own)) and times.zone not in (None, UTC):
        raise ReplayError(f"the times of {own[-1]!r} are in UTC by its name; leave --tz out")


def _several(names: Sequence[str], found: Sequence[int], *, differ: bool = False) -> str:
    columns = " and ".join(repr(names[at]) for at in sorted(found))
    what = "are times that differ" if differ else "may each be the time"
    return f"the columns {columns} {what}; say which by --time COLUMN"


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:30])
    return f"[{shown}{', ...' if len(names) > 30 else ''}]"
