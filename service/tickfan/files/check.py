"""Which rows can be sent, and what a file holds as a whole.

Must not know when a row is sent, nor what carries it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tickfan.core.errors import Refusal
from tickfan.files.errors import BadRow, ReplayError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tickfan.files.reader import Reader, Row

SYMBOLS_MAX = 100_000
"""So many symbols are told apart in what is said of a file."""
_MINUTE_MS, _DAY_MS = 60_000, 86_400_000


def sendable(
    reader: Reader, feed_of: Callable[[str], str], *, paced: bool, begin: int = 1
) -> Iterator[Row | BadRow]:
    """The rows from number ``begin`` on that have a feed, and a :class:`BadRow` for each other.

    ``feed_of`` names a channel's feed, and raises :class:`Refusal` if it has none. ``paced``
    rows follow their times. Raises :class:`ReplayError` if one of these is earlier than the
    one before it, and if there is no row ``begin``.
    """
    before: Row | None = None
    for row in reader:
        if reader.rows < begin:
            continue
        if isinstance(row, BadRow):
            yield row
            continue
        try:
            feed_of(row.channel)
        except Refusal as refusal:
            yield BadRow(f"{reader.name}, line {row.line}: {refusal.message}")
            continue
        if paced and before is not None and row.ts < before.ts:
            # Not a bad row: a file in another order would lose most of its rows.
            raise ReplayError(
                f"{reader.name}, line {row.line}: its time is earlier than that of line "
                f"{before.line}; sort the file by time, or replay it --asap"
            )
        before = row
        yield row
    if begin > reader.rows:
        raise ReplayError(f"{reader.name}: it has {reader.rows} rows, so none from {begin} on")


@dataclass(slots=True)
class Survey:
    """What was seen of a file, row by row."""

    rows: int = 0
    bad: int = 0
    first_ts: int | None = None
    last_ts: int = 0
    channels: set[str] = field(default_factory=set)

    def note(self, row: Row) -> None:
        """Take a row that can be sent into account."""
        self.rows += 1
        if self.first_ts is None:
            self.first_ts = self.last_ts = row.ts
        elif row.ts > self.last_ts:
            self.last_ts = row.ts
        elif row.ts < self.first_ts:
            self.first_ts = row.ts
        if len(self.channels) < SYMBOLS_MAX:
            self.channels.add(row.channel)

    def line(self, reader: Reader) -> str:
        """What was detected, in one line."""
        said = reader.layout_found()
        if self.first_ts is not None:
            more = " and more" if len(self.channels) == SYMBOLS_MAX else ""
            said.append(f"{_count(len(self.channels), 'symbol')}{more}")
            said.append(_count(self.rows, "row"))
            said.append(span(self.first_ts, self.last_ts))
        if self.bad:
            said.append(_count(self.bad, "bad row"))
        return f"{reader.name}: {'; '.join(said)}"


def survey(rows: Iterator[Row | BadRow], on_bad: Callable[[BadRow], None]) -> Survey:
    """Read all rows through; ``on_bad`` hears of each that cannot be sent."""
    seen = Survey()
    for row in rows:
        if isinstance(row, BadRow):
            seen.bad += 1
            on_bad(row)
        else:
            seen.note(row)
    return seen


def moment(ts: int) -> str:
    """A time for a person, in UTC, to the second."""
    return f"{datetime.fromtimestamp(ts / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


def span(first: int, last: int) -> str:
    """From when to when, for a person: no finer than it takes."""
    begin, end = (datetime.fromtimestamp(ts / 1000, UTC) for ts in (first, last))
    if first % _DAY_MS == 0 and last % _DAY_MS == 0:
        form = "%Y-%m-%d"
    elif last - first >= _MINUTE_MS or (first % _MINUTE_MS == 0 and last % _MINUTE_MS == 0):
        form = "%Y-%m-%d %H:%M"
    else:
        form = "%Y-%m-%d %H:%M:%S"
    one, two = begin.strftime(form), end.strftime(form)
    if one == two:
        return f"{one} UTC"
    if begin.date() == end.date():
        two = two.partition(" ")[2]
    return f"{one} to {two} UTC"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
