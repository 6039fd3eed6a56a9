"""The CSV replay: every row, in order, as written; bad files named by line and column."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.rig.waiting import DEADLINE_S
from tickfan.broker.base import Message
from tickfan.config import Settings
from tickfan.market.csvfile import LINE_CHARS_MAX, Replay, ReplayError, Row, parse_time, rows, run
from tickfan.market.routes import Routes

EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - without a zone on purpose: UTC is assumed
Write = Callable[[str | bytes], Path]

ROUTES = Routes(Settings().feed_specs())


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str | bytes) -> Path:
        path = tmp_path / "prices.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def test_rows_are_as_written(write: Write) -> None:
    """Values stay the strings of the file; time and symbol become ts and channel."""
    path = write(
        "\ufeffDate,Ticker, price ,note\r\n"
        '2026-11-20,AAPL,1.50,"a, ""b"""\r\n'
        "\r\n"
        "2026-11-20T00:00:01.250Z,EUR/USD,0001.2300,\r\n"
    )
    day = 1_795_132_800_000
    assert list(rows(Replay(path))) == [
        Row(2, day, "trades.AAPL", {"price": "1.50", "note": 'a, "b"'}),
        Row(4, day + 1250, "trades.EUR/USD", {"price": "0001.2300", "note": ""}),
    ]


def test_one_series_without_a_symbol_column(write: Write) -> None:
    """--symbol names the series; a template without braces is a channel by itself."""
    path = write("time,value\n1,5\n")
    assert next(rows(Replay(path, "quotes.{symbol}", "SPX"))).channel == "quotes.SPX"
    assert next(rows(Replay(path, "quotes.fixed"))).channel == "quotes.fixed"


def test_time_format(write: Write) -> None:
    """Times that are not ISO 8601 are read by the format given, as UTC."""
    path = write("symbol,date,price\nMSFT,Jan 1 2000,39.81\n")
    replay = Replay(path, time_format="%b %d %Y")
    assert next(rows(replay)).ts == 946_684_800_000


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1970-01-02", 86_400_000),
        ("2000-01-01 00:00:00", 946_684_800_000),
        ("2000-01-01T01:00:00+01:00", 946_684_800_000),
        ("946684800", 946_684_800_000),
        ("946684800.5", 946_684_800_500),
        ("946684800.1239", 946_684_800_123),
        ("946684800123", 946_684_800_123),
        (" 0 ", 0),
        ("20000101", 946_684_800_000),
    ],
)
def test_parse_time(text: str, ms: int) -> None:
    """ISO dates and times, seconds and milliseconds, all UTC."""
    assert parse_time(text) == ms


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "1e9", "12:30", "1969-12-31T23:59:59.999", "946684800.x", "٣", "9" * 30],
)
def test_parse_time_refuses(text: str) -> None:
    """What is no time is a ValueError, whatever it looks like."""
    with pytest.raises(ValueError):  # noqa: PT011 - any of its kinds
        parse_time(text)


@given(moment=st.datetimes(EPOCH, EPOCH.replace(year=9000)))
def test_parse_time_is_exact(moment: datetime) -> None:
    """No float comes between a time and its milliseconds."""
    assert parse_time(moment.isoformat()) == (moment - EPOCH) // timedelta(milliseconds=1)


H = "time,symbol,price\n"
BAD = [
    ("", "no rows"),
    (H, "no rows"),
    ("symbol,price\n", r"line 1: no time column; one of timestamp, ts,.* in \['symbol', 'price'\]"),
    ("time,price\n1,2\n", "line 1: no symbol column; .* or say --symbol"),
    ("time,symbol\n1,A\n", "line 1: no column is left for data"),
    ("time,symbol,a,a\n", "line 1: column 'a' comes twice"),
    ("time,symbol,,a\n", "line 1: a column has no name"),
    (H + "1,A,2\n2,A\n", "line 3: 2 cells where the header has 3"),
    (H + "1,A,2,3\n", "line 2: 4 cells where the header has 3"),
    (H + "1,A,2\nnever,A,3\n", "line 3: column 'time': 'never' is not a time; allowed is ISO 8601"),
    (H + "5,A,2\n4,A,3\n", "line 3: column 'time': '4' is earlier than line 2"),
    (H + "1,A B,2\n", "line 2: column 'symbol': 'trades.A B' is not a channel name"),
    (H + "1,,2\n", "line 2: column 'symbol': 'trades.' is not a channel name"),
    (H + '1,A,"2\n', "line 2: unexpected end of data"),
    (H + "1,A," + "x" * LINE_CHARS_MAX, f"line 2: longer than {LINE_CHARS_MAX} characters"),
    (H.encode() + b"1,A,\xff\n", "not UTF-8 text"),
]


@pytest.mark.parametrize(("text", "message"), BAD)
def test_bad_files(write: Write, text: str | bytes, message: str) -> None:
    """Each says the file, the line and the column, and what to do."""
    with pytest.raises(ReplayError, match=message) as error:
        list(rows(Replay(write(text))))
    assert "prices.csv" in str(error.value)


def test_missing_file(tmp_path: Path) -> None:
    """A file that is not there is one sentence."""
    with pytest.raises(ReplayError, match=r"none\.csv: No such file"):
        list(rows(Replay(tmp_path / "none.csv")))


@pytest.mark.parametrize(
    "template", ["{ticker}", "{}", "{symbol", "{symbol.x}", "{0}", "{symbol!z}"]
)
def test_bad_template(template: str) -> None:
    """Only {symbol} may stand in a template."""
    with pytest.raises(ReplayError, match=r"only \{symbol\}"):
        Replay(Path("x.csv"), template)


def test_asap_takes_the_files_order(write: Write) -> None:
    """Without a pace the times need no order: series one after another are fine."""
    path = write(H + "1,A,1\n2,A,2\n1,B,3\n")
    assert [row.channel for row in rows(Replay(path, speed=0))] == ["trades.A"] * 2 + ["trades.B"]


def test_rows_are_streamed(tmp_path: Path) -> None:
    """The file is read as its rows are taken, not before."""
    path = tmp_path / "prices.csv"
    path.write_text(H + "1,A,1\n" * 200_000 + "bad\n")
    stream = rows(Replay(path))
    assert next(stream).line == 2
    stream.close()  # type: ignore[attr-defined]


async def collect(replay: Replay, **limits: float) -> list[tuple[float, str, Message]]:
    clock = asyncio.get_running_loop().time
    begin, sent = clock(), list[tuple[float, str, Message]]()

    async def publish(feed: str, message: Message) -> None:
        sent.append((clock() - begin, feed, message))

    async with asyncio.timeout(DEADLINE_S):
        await run(publish, ROUTES, replay, **limits)  # type: ignore[arg-type]
    return sent


async def test_run_at_speed(write: Write) -> None:
    """Rows leave at their own distances, so many times as fast, never early."""
    path = write(H + "10,A,1\n10,A,2\n16,A,3\n22,B,4\n")
    sent = await collect(Replay(path, speed=60))
    assert [orjson.loads(message.body)["price"] for *_, message in sent] == ["1", "2", "3", "4"]
    assert [message.ts for *_, message in sent] == [10_000, 10_000, 16_000, 22_000]
    assert {feed for _, feed, _ in sent} == {"trades"}
    assert all(at >= due for (at, *_), due in zip(sent, [0, 0, 0.1, 0.2], strict=True))


async def test_run_limits(write: Write) -> None:
    """A count and a time end it early."""
    path = write(H + "".join(f"{second},A,1\n" for second in range(100)))
    assert len(await collect(Replay(path, speed=0), count=7)) == 7
    assert len(await collect(Replay(path, speed=100), seconds=0.1)) == 10


async def test_run_needs_a_feed(write: Write) -> None:
    """A row whose channel no feed covers is named by its line."""
    path = write(H + "1,A,1\n")
    with pytest.raises(ReplayError, match=r"line 2: no feed covers 'weather\.A'"):
        await collect(Replay(path, "weather.{symbol}"))
