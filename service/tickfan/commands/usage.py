"""``tickfan usage``: who had which feed in a month, counted from the audit log.

Must not know the service, nor any other command.
"""

from __future__ import annotations

import csv
import io
import sys
from datetime import UTC, datetime
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import orjson

from tickfan.commands import FAILED, OK, WRONG
from tickfan.commands.auditlines import AuditLines
from tickfan.commands.positions import ALL, BadLine, Positions, Span
from tickfan.commands.shared import say, show

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import tzinfo

    from tickfan.commands.positions import Subject, Use

DECEMBER = 12


class WrongSpan(Exception):
    """A month or a time that cannot be understood. Its text is for a person."""


class Wish(NamedTuple):
    """What is asked for. ``begin`` and ``end`` are dates or times in ISO 8601."""

    files: Sequence[str]
    month: str | None = None
    begin: str | None = None
    end: str | None = None
    tz: str = "UTC"
    by_pattern: bool = False
    format: str = "table"


def usage(wish: Wish) -> int:
    """Print the figures; 1 if a file cannot be read, 2 if it was asked wrongly."""
    try:
        zone: tzinfo = UTC if wish.tz == "UTC" else ZoneInfo(wish.tz)
        span = span_of(wish, zone)
    except (ZoneInfoNotFoundError, ValueError):
        say(f"--tz {wish.tz!r} is no time zone: write UTC, or a name such as America/New_York")
        return WRONG
    except WrongSpan as wrong:
        say(str(wrong))
        return WRONG
    try:
        with AuditLines(wish.files, sys.stdin.buffer) as lines:
            rows = _counted(lines, span, by_pattern=wish.by_pattern)
    except (OSError, EOFError) as error:
        name = getattr(error, "filename", None)
        say(f"{name or 'a file'} cannot be read: {getattr(error, 'strerror', None) or error}")
        return FAILED
    key = "pattern" if wish.by_pattern else "feed"
    made = [_row(subject, of, key, use, zone) for (subject, of), use in rows.items()]
    return OK if show(FORMATS[wish.format](made, key)) else FAILED


def span_of(wish: Wish, zone: tzinfo) -> Span:
    """What of the log counts. Raises :class:`WrongSpan`."""
    if wish.month is None:
        begin = -inf if wish.begin is None else _time(wish.begin, "--from", zone)
        end = inf if wish.end is None else _time(wish.end, "--to", zone)
        if begin >= end:
            raise WrongSpan("--from is not before --to")
        return Span(begin, end)
    if wish.begin or wish.end:
        raise WrongSpan("--month and --from or --to are two wishes: give one")
    try:
        first = datetime.strptime(wish.month, "%Y-%m").replace(tzinfo=zone)
        is_last = first.month == DECEMBER
        after = first.replace(year=first.year + is_last, month=1 if is_last else first.month + 1)
        return Span(first.timestamp(), after.timestamp())
    except (ValueError, OverflowError):
        raise WrongSpan(f"--month {wish.month!r} is no month: write 2026-11") from None


def _time(text: str, option: str, zone: tzinfo) -> float:
    try:
        when = datetime.fromisoformat(text)
        return (when if when.tzinfo else when.replace(tzinfo=zone)).timestamp()
    except (ValueError, OverflowError):
        why = f"{option} {text!r} is no time: write 2026-11-01, or 2026-11-01T09:30:00"
        raise WrongSpan(why) from None


def _counted(lines: AuditLines, span: Span, *, by_pattern: bool) -> dict[tuple[Subject, str], Use]:
    positions = Positions(lines.alive_until(), span, by_pattern=by_pattern)
    bad = 0
    for time, line in lines.in_order():
        try:
            positions.take(time, line)
        except BadLine:
            bad += 1
    uses = positions.finish()
    if malformed := lines.malformed + bad:
        say(f"{malformed} lines are malformed, and are not counted")
    if lines.late:
        say(
            f"{lines.late} lines are older than the line before them: the figures may be wrong. "
            "Give the log of each replica as a file of its own"
        )
    if positions.unknown:
        say(
            f"{positions.unknown} connections ended whose beginning is in no file, and are not "
            "counted. Give the files before these, too"
        )
    return uses


def _row(subject: Subject, of: str, key: str, use: Use, zone: tzinfo) -> dict[str, Any]:
    return {
        "subject": subject[1],
        "issuer": subject[0],
        key: None if of == ALL else of,
        "first": _shown(use.first, zone),
        "last": _shown(use.last, zone),
        "hours": round(use.seconds / 3600, 6),
        "connection_hours": round(use.connection_seconds / 3600, 6),
        "connections": use.connections,
        "at_once_max": use.at_once_max,
    }


def _shown(time: float, zone: tzinfo) -> str:
    return datetime.fromtimestamp(time, zone).isoformat(timespec="milliseconds")


def _json(rows: Iterable[dict[str, Any]], _key: str) -> str:
    return "".join(orjson.dumps(row).decode() + "\n" for row in rows)


def _csv(rows: Iterable[dict[str, Any]], key: str) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, _columns(key), lineterminator="\n")
    writer.writeheader()
    # A spreadsheet takes these for the beginning of a formula (OWASP, "CSV Injection").
    for row in rows:
        writer.writerow(
            {name: f"'{value}" if str(value)[:1] in _FORMULA and isinstance(value, str) and value
             else value for name, value in row.items()}
        )  # fmt: skip
    return out.getvalue()


_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def _columns(key: str) -> list[str]:
    return [
        "subject", "issuer", key, "first", "last", "hours", "connection_hours", "connections",
        "at_once_max",
    ]  # fmt: skip


def _table(rows: Iterable[dict[str, Any]], key: str) -> str:
    columns = _columns(key)
    cells = [columns]
    for row in rows:
        named = {"subject": row["subject"] or "(no token)", key: row[key] or "(all)"}
        hours = {name: f"{row[name]:.2f}" for name in ("hours", "connection_hours")}
        cells.append([_printable(str({**row, **named, **hours}[name])) for name in columns])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in cells]
    return "\n".join(lines) + "\n"


def _printable(text: str) -> str:
    """A subject may hold any character: none moves a terminal's cursor."""
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


FORMATS = {"table": _table, "csv": _csv, "json": _json}
