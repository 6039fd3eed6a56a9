"""tickfan.commands.usage"""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from tickfan.commands.usage import Wish, WrongSpan, span_of, usage

if TYPE_CHECKING:
    from pathlib import Path

HOUR = 3600


def said(time: str, event: str, connection: str, subject: str, **fields: Any) -> str:
    line = {
        "time": time, "logger": "tickfan.audit", "event": event, "connection": connection,
        "subject": subject, "issuer": "https://login.test/", **fields,
    }  # fmt: skip
    return json.dumps(line) + "\n"


def log(path: Path, subject: str = "ann") -> str:
    """Two hours at two places at once, over the end of October."""
    of = [{"feed": "quotes", "interval_ms": 50, "patterns": ["quotes.#"]}]
    path.write_text(
        said("2026-10-31T23:00:00Z", "access granted", "a-1", subject, granted=of)
        + said("2026-10-31T23:30:00Z", "access granted", "a-2", subject, granted=of)
        + said("2026-11-01T00:30:00Z", "connection ended", "a-2", subject, feeds=["quotes"])
        + said("2026-11-01T01:00:00Z", "connection ended", "a-1", subject, feeds=["quotes"])
    )
    return str(path)


def printed(capsys: pytest.CaptureFixture[str], wish: Wish) -> str:
    assert usage(wish) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def test_a_month_cuts_what_goes_over_its_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each half counts in its month, in the zone that was asked for."""
    path = log(tmp_path / "audit.log")
    wish = Wish([path], "2026-11", format="json")
    rows = [json.loads(line) for line in printed(capsys, wish).splitlines()]
    common = {
        "subject": "ann", "issuer": "https://login.test/", "first": "2026-11-01T00:00:00.000+00:00",
        "last": "2026-11-01T01:00:00.000+00:00", "hours": 1.0, "connection_hours": 1.5,
        "connections": 2, "at_once_max": 2,
    }  # fmt: skip
    assert rows == [{**common, "feed": None}, {**common, "feed": "quotes"}]
    wish = Wish([path], "2026-11", tz="Europe/Berlin", by_pattern=True, format="json")
    rows = [json.loads(line) for line in printed(capsys, wish).splitlines()]
    assert (rows[1]["pattern"], rows[1]["hours"]) == ("quotes.#", 2.0)
    assert rows[1]["first"] == "2026-11-01T00:00:00.000+01:00"
    wish = Wish([path], begin="2026-10-31T23:15", end="2026-10-31T23:30", format="json")
    rows = [json.loads(line) for line in printed(capsys, wish).splitlines()]
    assert (rows[0]["hours"], rows[0]["at_once_max"]) == (0.25, 1)
    assert printed(capsys, Wish([path], "2026-12", format="json")) == ""


def test_figures_as_a_table_and_as_csv(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A subject moves no cursor, and is no formula."""
    path = log(tmp_path / "audit.log", "=1+1\x1b[2J")
    header, every, one = printed(capsys, Wish([path])).splitlines()
    assert header.split() == [
        "subject", "issuer", "feed", "first", "last", "hours", "connection_hours", "connections",
        "at_once_max",
    ]  # fmt: skip
    assert every.split()[:3] == [r"=1+1\x1b[2J", "https://login.test/", "(all)"]
    assert one.split()[2:] == [
        "quotes", "2026-10-31T23:00:00.000+00:00", "2026-11-01T01:00:00.000+00:00", "2.00", "3.00",
        "2", "2",
    ]  # fmt: skip
    rows = list(csv.DictReader(io.StringIO(printed(capsys, Wish([path], format="csv")))))
    assert [row["feed"] for row in rows] == ["", "quotes"]
    assert rows[1]["subject"] == "'=1+1\x1b[2J"
    assert rows[1]["hours"] == "2.0"


def test_what_is_wrong_with_the_log_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The figures come all the same, and each warning says what to do."""
    path = tmp_path / "audit.log"
    log(path)
    end = said("2026-11-01T00:10:00Z", "connection ended", "z-1", "bob", feeds=["quotes"])
    bad = said("2026-11-01T00:20:00Z", "access granted", "z-2", "bob", granted=3)
    path.write_text(path.read_text() + end + bad + "torn {\n")
    assert usage(Wish([str(path)], format="csv")) == 0
    out, err = capsys.readouterr()
    assert out.count("\n") == 3
    malformed, late, unknown = err.splitlines()
    assert malformed == "tickfan: 2 lines are malformed, and are not counted"
    assert late.startswith("tickfan: 2 lines are older than the line before them")
    assert unknown.startswith("tickfan: 1 connections ended whose beginning is in no file")


def test_a_file_that_cannot_be_read_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that is not there, and one whose packing is torn: status 1, no figures."""
    torn = tmp_path / "torn.gz"
    torn.write_bytes(b"\x1f\x8b\x08\x00torn")
    for path, words in (
        (tmp_path / "nowhere", "No such file"), (torn, "ended before"), (tmp_path, "Is a directory")
    ):  # fmt: skip
        assert usage(Wish([str(path)])) == 1
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert words in err


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (Wish((), "2026-13"), "--month '2026-13' is no month: write 2026-11"),
        (Wish((), "9999-12"), "--month '9999-12' is no month"),
        (Wish((), "2026-11", begin="2026-11-01"), "--month and --from or --to are two wishes"),
        (Wish((), begin="soon"), "--from 'soon' is no time: write 2026-11-01"),
        (Wish((), begin="2026-11-02", end="2026-11-01"), "--from is not before --to"),
        (Wish((), tz="Mars"), "--tz 'Mars' is no time zone"),
        (Wish((), tz="../etc"), "--tz '../etc' is no time zone"),
    ],
)
def test_a_wrong_wish_is_one_sentence(
    wish: Wish, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 2."""
    assert usage(wish) == 2
    assert capsys.readouterr().err.startswith(f"tickfan: {words}")


def test_a_month_has_its_own_length() -> None:
    """December goes into the next year; a month of summer time is an hour off."""
    december = span_of(Wish((), "2026-12"), UTC)
    assert december.end == datetime(2027, 1, 1, tzinfo=UTC).timestamp()
    march = span_of(Wish((), "2026-03"), ZoneInfo("Europe/Berlin"))
    assert march.end - march.begin == (31 * 24 - 1) * HOUR
    with pytest.raises(WrongSpan):
        span_of(Wish((), ""), UTC)
