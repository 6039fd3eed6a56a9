"""What the cells of the time columns mean, in ms since 1970 UTC.

Each text has one meaning, or it is refused with the option that decides. Must not know how
the columns were found.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import NamedTuple

from tickfan.files import calendar, numbers, zones
from tickfan.files.errors import BadTime, ReplayError

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - what strptime makes has no zone
_MS = timedelta(milliseconds=1)
_FINE = re.compile(r"([.,]\d{6})\d+")
_DIRECTIVES = re.compile(r"%[-#]?([A-Za-z%])")
_YEAR, _DAY = set("YyGcxs"), set("dmbBjAaUWuVwcx")
_ZERO_PADDED = {"%H%M%S": 6, "%H%M": 4}
NAIVE = "no zone, so UTC"
"""What is said of times that name no zone, where no --tz does."""


class Moment(NamedTuple):
    """What one cell says: ms on the wall or in UTC, its zone, and whether it has a day."""

    ms: int
    zone: tzinfo | None
    has_day: bool
    abbreviation: str = ""


@dataclass(slots=True)
class Times:
    """Reads times, as the options say, and remembers of what kinds they were.

    ``unit`` says what numbers count: since 1970, or since midnight where there is a day.
    ``form`` is a ``strptime`` format. ``tz`` is the zone of times that name none. ``day``
    is the day of times that have none, as YYYY-MM-DD. Raises :class:`ReplayError` for an
    option that cannot be meant.
    """

    unit: str | None = None
    form: str | None = None
    tz: str | None = None
    day: str | None = None
    kinds: dict[str, None] = field(init=False, default_factory=dict)
    zone: tzinfo | None = field(init=False, default=None)
    _day: int | None = field(init=False, default=None)
    _form: str = field(init=False, default="")
    _form_has_zone: bool = field(init=False, default=False)
    _width: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        """Read the options."""
        if self.unit is not None and self.unit not in numbers.UNITS:
            raise ReplayError(f"--time-unit {self.unit!r}: one of {', '.join(numbers.UNITS)}")
        if self.unit is not None and self.form is not None:
            raise ReplayError("--time-unit is for numbers, --time-format for texts: say one")
        try:
            self.zone = None if self.tz is None else zones.zone_of_option(self.tz)
        except BadTime as error:
            raise ReplayError(f"--tz {self.tz!r}: {error}") from None
        if self.day is not None:
            try:
                self._day = date.fromisoformat(self.day).toordinal() - calendar.EPOCH_DAY
            except ValueError:
                raise ReplayError(f"--date {self.day!r}: a day is wanted, as 2024-01-02") from None
        if self.form is not None:
            self._check_form(self.form)

    def read(self, text: str) -> int:
        """The time that one cell says, in ms since 1970 UTC. Raises :class:`BadTime`."""
        moment = self._moment(text.strip(), by_day=self._day is not None)
        if not moment.has_day:
            if self._day is None:
                raise BadTime("a time of day without a day; say --date DAY")
            moment = moment._replace(ms=moment.ms + self._day * calendar.DAY_MS)
        elif self._day is not None:
            raise BadTime("it has a day of its own; leave --date out")
        return self._utc(moment)

    def read_pair(self, day: str, clock: str) -> int:
        """The time that two cells say: a day, and a time of day. Raises :class:`BadTime`."""
        date_part = self._moment(day.strip(), by_day=False, is_date=True)
        if not date_part.has_day or date_part.ms % calendar.DAY_MS or date_part.zone is not None:
            raise BadTime(f"{day!r} beside it is not a day alone; say which column by --time")
        clock_part = self._moment(clock.strip(), by_day=True)
        if clock_part.has_day:
            raise BadTime(
                f"it has a day, and so has the column beside it ({day!r}); say --time COLUMN"
            )
        return self._utc(clock_part._replace(ms=date_part.ms + clock_part.ms))

    def _moment(self, text: str, *, by_day: bool, is_date: bool = False) -> Moment:
        """``by_day``: a number may be a time of day, for its day is known."""
        if not text:
            raise BadTime("no time stands there")
        if self._form and not is_date:
            return self._by_form(text)
        if (value := numbers.number(text)) is not None:
            return self._counted(value, by_day=by_day, is_date=is_date)
        if (why := numbers.why_no_number(text)) is not None:
            raise BadTime(why)
        if self.unit is not None and not is_date:
            raise BadTime(f"it is no number, as --time-unit {self.unit} says; leave that out")
        written = calendar.read(text)
        if written is None:
            raise BadTime("it is no time that is known; say its form by --time-format")
        zone, abbreviation = self._zone_in(written.zone)
        ms = (written.day or 0) * calendar.DAY_MS + (written.clock or 0)
        self.kinds["text"] = None
        return Moment(ms, zone, written.day is not None, abbreviation)

    def _counted(self, value: numbers.Number, *, by_day: bool, is_date: bool) -> Moment:
        if self.unit is not None and not is_date:
            if by_day:
                self.kinds[f"{self.unit} since midnight"] = None
                return Moment(numbers.since_midnight(value, self.unit), None, has_day=False)
            self.kinds[self.unit] = None
            return Moment(numbers.epoch(value, self.unit), UTC, has_day=True)
        if by_day:
            ms, width = numbers.clock(value)
            if self._width not in (0, width):
                raise BadTime(
                    f"it has {width} digits, and those before it have {self._width}; if "
                    "first zeros are missing say --time-format %H%M%S"
                )
            self._width = width
            self.kinds["digits"] = None
            return Moment(ms, None, has_day=False)
        counted = numbers.by_size(value)
        self.kinds[counted.unit or "digits"] = None
        return Moment(counted.ms, UTC if counted.unit else None, has_day=True)

    def _zone_in(self, text: str) -> tuple[tzinfo | None, str]:
        """The zone behind a time: by itself, or as an abbreviation of the --tz."""
        if not text:
            return None, ""
        if (zone := zones.zone(text)) is not None:
            return zone, ""
        if self.zone is not None and text.isalpha():
            return None, text
        raise BadTime(zones.unknown(text))

    def _utc(self, moment: Moment) -> int:
        zone, name = moment.zone, str(moment.zone)
        if zone is None:
            if self.zone is None:
                self.kinds[NAIVE] = None
            zone, name = self.zone or UTC, self.tz or "UTC"
        elif self.zone is not None:
            raise BadTime("it says its zone itself (a number since 1970 is UTC); leave --tz out")
        ms = zones.to_utc(moment.ms, zone, name, moment.abbreviation)
        if not 0 <= ms < numbers.EPOCH_MS_MAX:
            raise BadTime("it is not from 1970 to 2099")
        return ms

    def _check_form(self, form: str) -> None:
        self._form_has_zone = form.endswith("%Z")
        self._form = form.removesuffix("%Z").rstrip() if self._form_has_zone else form
        names = set(_DIRECTIVES.findall(self._form))
        if "Z" in names:
            raise ReplayError(f"--time-format {form!r}: %Z may stand at its end only")
        if "I" in names and "p" not in names:
            raise ReplayError(f"--time-format {form!r}: %I without %p may be morning or evening")
        if names & _DAY and not names & _YEAR:
            raise ReplayError(f"--time-format {form!r}: it has a day and no year (%Y)")
        try:
            datetime.strptime(datetime(2024, 1, 2, tzinfo=UTC).strftime(self._form), self._form)  # noqa: DTZ007
        except ValueError as error:
            raise ReplayError(f"--time-format {form!r}: {error}") from None

    def _by_form(self, text: str) -> Moment:
        zone, abbreviation = None, ""
        if self._form_has_zone:
            text, _, named = text.rpartition(" ")
            zone, abbreviation = self._zone_in(named)
        elif width := _ZERO_PADDED.get(self._form):
            text = text.zfill(width)
        if "%f" in self._form:
            text = _FINE.sub(r"\1", text)
        try:
            moment = datetime.strptime(text, self._form)  # noqa: DTZ007 - the zone comes later
        except ValueError:
            raise BadTime(f"it is not of the --time-format {self.form!r}") from None
        self.kinds["--time-format"] = None
        if moment.tzinfo is not None:
            zone = moment.tzinfo
            moment = moment.replace(tzinfo=None)
        has_day = bool(set(_DIRECTIVES.findall(self._form)) & _YEAR)
        if not has_day:
            moment = moment.replace(year=1970, month=1, day=1)
        return Moment((moment - _EPOCH) // _MS, zone, has_day, abbreviation)
