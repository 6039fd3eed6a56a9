"""How tail's lines look."""

from __future__ import annotations

import re
import time

import orjson
import pytest

from tickfan.commands.printing import Printer, clock, json_line
from tickfan_client import Event, Update

QUOTE = {"bid": "1.10", "last": "1.50"}


def plain(item: Update | Event) -> str:
    line = Printer().line(item)
    assert line is not None
    return line.plain


def test_an_update_is_time_channel_values() -> None:
    """The time, the channel, then name and value of each field."""
    assert re.fullmatch(
        r"1970-01-0[12] \d\d:\d\d:\d\d\.007  quotes\.A      bid 1\.10  last 1\.50",
        plain(Update("quotes.A", 1, 1_000_007, QUOTE)),
    )


def test_columns_align() -> None:
    """Values begin in one column, once the longest channel was seen."""
    printer = Printer()
    lines = [printer.line(Update(name, 1, 0, 5)) for name in ("quotes.LONG/NAME-X", "quotes.A")]
    assert len({len(line.plain) for line in lines if line is not None}) == 1


@pytest.mark.parametrize(
    ("values", "styles"),
    [
        (["1.5", "1.50", "1.6", "1.55"], ["", "", "green", "red"]),
        ([1, 2.5, True, None], ["", "green", "", ""]),
        (["word", "9", "10"], ["", "", "green"]),
        (["NaN", "1"], ["", ""]),
    ],
)
def test_up_is_green_and_down_is_red(values: list[object], styles: list[str]) -> None:
    """Compared as decimals with the channel's last value; what is no number has no colour."""
    printer = Printer()
    found = [printer.colour("quotes.A", value) for value in values]
    assert found == styles


def test_the_main_value_has_the_colour() -> None:
    """Only the field that decides is coloured."""
    printer = Printer()
    printer.line(Update("quotes.A", 1, 0, QUOTE))
    line = printer.line(Update("quotes.A", 2, 0, QUOTE | {"bid": "1.60", "last": "1"}))
    assert line is not None
    coloured = [line.plain[span.start : span.end] for span in line.spans if span.style == "green"]
    assert coloured == ["1.60"]


def test_types_and_snapshots_are_said() -> None:
    """A type other than update, and a snapshot, stand at the end of the line."""
    assert plain(Update("tokens.demo", 1, 0, 1, type="done")).endswith("  done")
    assert plain(Update("quotes.A", 1, 0, 1, is_snapshot=True)).endswith("  snapshot")
    assert plain(Update("book.A", 1, 0, {}, type="snapshot", is_snapshot=True)).count("snap") == 1


def test_a_terminal_is_not_at_the_publishers_mercy() -> None:
    """Control characters in values are shown escaped; long values are cut."""
    assert "\x1b" not in plain(Update("quotes.A", 1, 0, {"a": "\x1b[2J", "b\n": "c\nd"}))
    assert "\n" not in plain(Update("quotes.A", 1, 0, {"a": "\x1b[2J", "b\n\x07": "c\nd"}))
    assert "\x07" not in plain(Event("gap", {"reason\x07": "bad\x07"}))
    assert len(plain(Update("quotes.A", 1, 0, "x" * 10_000))) < 120
    assert len(plain(Update("quotes.A", 1, 0, {"bids": [["1", "2"]] * 10}))) < 120


def test_events_are_dimmed_and_quiet_ones_left_out() -> None:
    """What a watcher should know is a dim line; heartbeats and the like are not."""
    line = Printer().line(Event("gap", {"channel": "trades.A", "reason": "bad_json"}))
    assert line is not None
    assert line.style == "dim"
    assert line.plain == "-- gap        channel trades.A  reason bad_json"
    assert Printer().line(Event("heartbeat", {})) is None


def test_subscribed_says_what_was_granted() -> None:
    """Patterns with their delivery and interval; other shapes do not fail."""
    granted = [
        {"channel": "quotes.#", "delivery": "conflated", "interval_ms": 100},
        {"channel": "trades.A", "delivery": "lossless"},
        "odd",
    ]
    told = plain(Event("subscribed", {"channels": granted}))
    assert "quotes.# (conflated every 100 ms), trades.A (lossless), odd" in told
    assert plain(Event("subscribed", {"channels": 5}))


def test_clock_is_local_time() -> None:
    """Milliseconds stay; the hour is the reader's."""
    ms = 1_795_158_000_123
    shown = time.strftime("%H:%M:%S", time.localtime(ms // 1000)) + ".123"
    assert clock(ms, ms / 1000) == shown
    assert clock(2**75) == str(2**75)


def test_another_day_is_said() -> None:
    """Of a replay of old prices one sees that they are old."""
    ms = 1_795_158_000_123
    day = time.strftime("%Y-%m-%d", time.localtime(ms // 1000))
    for days in (-400, -1, 1, 365):
        assert clock(ms, ms / 1000 + days * 86_400) == f"{day} {clock(ms, ms / 1000)}"


def test_json_lines() -> None:
    """The fields of the service's NDJSON, without those that say nothing."""
    assert orjson.loads(json_line(Update("q.A", 1, 2, {"x": "1"}))) == {
        "channel": "q.A", "seq": 1, "ts": 2, "data": {"x": "1"},
    }  # fmt: skip
    assert orjson.loads(json_line(Update("q.A", 1, 2, 3, 0, "done", True))) == {
        "channel": "q.A", "seq": 1, "ts": 2, "data": 3, "prev": 0, "type": "done",
        "snapshot": True,
    }  # fmt: skip
    assert json_line(Event("gap", {"reason": "x"})) == b'{"event":"gap","reason":"x"}\n'
