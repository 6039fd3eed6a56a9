"""How tail's lines look."""

from __future__ import annotations

import re
import time

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tests.support.updates import LAW
from tickfan.commands.printing import CUT_LEAST, MAIN_CELLS_KEPT, Printer, clock, json_line
from tickfan_client import Event, Update

QUOTE = {"bid": "1.10", "last": "1.50"}
TRADE = {"side": "buy", "size": "0.5", "price": "67123.45", "venue": "a place of a long name"}
OLD_MS = 1_704_205_800_123
"""Some moment of 2024-01-02, in every zone."""


def plain(item: Update | Event, width: int | None = None) -> str:
    line = Printer(None if width is None else lambda: width).line(item)
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
    """Control characters in values are shown escaped; a terminal's lines are cut."""
    assert "\x1b" not in plain(Update("quotes.A", 1, 0, {"a": "\x1b[2J", "b\n": "c\nd"}))
    assert "\n" not in plain(Update("quotes.A", 1, 0, {"a": "\x1b[2J", "b\n\x07": "c\nd"}))
    assert "\x07" not in plain(Event("gap", {"reason\x07": "bad\x07"}))
    assert len(plain(Update("quotes.A", 1, 0, "x" * 10_000), 120)) < 120
    assert len(plain(Update("quotes.A", 1, 0, {"bids": [["1", "2"]] * 10}), 120)) < 120


def at(width: int | None, *updates: Update) -> list[str]:
    """Updates on one terminal, their local clocks replaced."""
    printer = Printer(None if width is None else lambda: width)
    lines = [printer.line(update) for update in updates]
    times = re.compile(r"(?<=\d\d-\d\d )\d\d:\d\d(?=:\d\d\.\d)")
    return [times.sub("hh:mm", line.plain) for line in lines if line is not None]


def test_the_value_is_there_at_any_width() -> None:
    """At 40, 80 and 120 columns; what gives way first is the line's end, then the time."""
    lines = [Update("trades.BTC-USD", 1, OLD_MS, TRADE), Update("quotes.A", 2, OLD_MS, QUOTE)]
    assert at(20, *lines) == ["…s.BTC-USD  67123.45", "quotes.A        1.10"]
    assert at(40, *lines) == [
        "2024-01-02  …des.BTC-USD  price 67123.45",
        "2024-01-02  quotes.A      bid 1.10  las…",
    ]
    assert at(80, *lines) == [
        "2024-01-02 hh:mm:00.123  trades.BTC-USD  price 67123.45  side buy  size 0.5  ve…",
        "2024-01-02 hh:mm:00.123  quotes.A        bid 1.10  last 1.50",
    ]
    assert at(120, *lines)[0] == (
        "2024-01-02 hh:mm:00.123  trades.BTC-USD  price 67123.45  side buy  size 0.5  "
        "venue a place of a long name"
    )


def test_the_clock_of_today_gets_shorter() -> None:
    """First by its milliseconds, then by its seconds."""
    today = Update("trades.BTC-USD", 1, int(time.time() * 1000), TRADE)
    for width, form in (
        (44, r"\d\d:\d\d:\d\d\.\d{3}"),
        (40, r"\d\d:\d\d:\d\d"),
        (37, r"\d\d:\d\d"),
    ):
        assert re.fullmatch(form + "  trades.BTC-USD  price 67123.45", plain(today, width))


def test_a_pipe_gets_all_of_it() -> None:
    """Whatever its length: who reads it may cut it himself."""
    long = Update("quotes." + "x" * 100, 1, OLD_MS, {"a": "y" * 500, "b": [["1", "2"]] * 50})
    [line] = at(None, long)
    assert line.endswith(
        f"  {long.channel}  a {'y' * 500}  b {orjson.dumps(long.data['b']).decode()}"
    )
    assert plain(Event("gap", {"reason": "z" * 500})).endswith("z" * 500)


def test_columns_stand_still_when_a_price_gets_shorter() -> None:
    """On a terminal that is too narrow for all: the widest price has decided."""
    lines = at(42, *(Update("trades.BTC-USD", 1, OLD_MS, {"price": price})
                     for price in ("99999.125", "9.5", "100000.5")))  # fmt: skip
    assert {line.index("price") for line in lines} == {27}


@LAW
@given(
    width=st.integers(1, 150),
    channel=st.text("ab.-", min_size=1, max_size=40),
    ts=st.integers(0, 2**53),
    name=st.text("abc", max_size=12),
    value=st.text("0123456789.", min_size=1, max_size=40)
    | st.text("価格", min_size=1, max_size=40),
    more=st.dictionaries(st.text("xyz", max_size=9), st.integers(0, 2**53), max_size=4),
    kind=st.sampled_from(["update", "done"]),
)
def test_the_value_is_the_last_to_be_cut(
    width: int, channel: str, ts: int, name: str, value: str, more: dict[str, int], kind: str
) -> None:
    """No line is too long; and who does not see all of the value sees nothing but the value."""
    data = {name: value, **more} if name else value
    line = plain(Update(channel, 1, ts, data, type=kind), width)
    assert cell_len(line) <= width
    kept = value if cell_len(value) <= MAIN_CELLS_KEPT else value[: MAIN_CELLS_KEPT // 2 - 1]
    if kept not in line and width >= CUT_LEAST:
        assert value.startswith(line.rstrip("… ")), "the value alone, cut"


def test_why_stands_first_in_an_event() -> None:
    """The end of its line may be cut."""
    gap = Event("gap", {"channel": "trades.A", "seq": 2**50, "ts": OLD_MS, "reason": "bad_json"})
    assert plain(gap, 40) == "-- gap        reason bad_json  channel …"


def test_events_are_dimmed_and_quiet_ones_left_out() -> None:
    """What a watcher should know is a dim line; heartbeats and the like are not."""
    line = Printer().line(Event("gap", {"channel": "trades.A", "reason": "bad_json"}))
    assert line is not None
    assert line.style == "dim"
    assert line.plain == "-- gap        reason bad_json  channel trades.A"
    assert Printer().line(Event("heartbeat", {})) is None


def test_times_of_events_are_times() -> None:
    """When a feed became stale is read as a time, and not counted since 1970."""
    since, heard = 1_795_731_391_523, 1_795_731_390_000
    told = plain(Event("status", {"upstream": "stale", "since": since, "heard": heard}))
    assert told.endswith(f"upstream stale  since {clock(since)}  heard {clock(heard)}")
    assert str(since) not in told
    assert plain(Event("status", {"since": 0, "heard": None})).endswith("heard null")
    assert plain(Event("gap", {"since": True, "ts": "odd"})).endswith("since true  ts odd")


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
    assert "simulated" not in told
    told = plain(Event("subscribed", {"channels": granted, "simulated": True}), 60)
    assert told.startswith("-- subscribed  simulated, no price is real: quotes.# (")


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
