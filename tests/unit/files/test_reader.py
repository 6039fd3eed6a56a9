"""Files to rows: each layout as it is, every row as it is written, bad ones by their place."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.layouts import SAMPLES, Sample, layouts
from tests.support.updates import LAW
from tickfan.files.columns import Layout
from tickfan.files.errors import BadRow, ReplayError
from tickfan.files.reader import Reader, Replay, Row

Write = Callable[[str | bytes], Path]
H = "time,symbol,price\n"
AT = 1_704_205_800_000  # 2024-01-02 14:30 UTC


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str | bytes) -> Path:
        path = tmp_path / "prices.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def read(replay: Replay) -> list[Row | BadRow]:
    with Reader(replay) as reader:
        return list(reader)


def good(replay: Replay) -> list[Row]:
    rows = read(replay)
    for row in rows:
        assert isinstance(row, Row), str(row)
    return rows  # type: ignore[return-value]


@pytest.mark.parametrize("sample", layouts(), ids=lambda sample: sample.file)
def test_each_layout(sample: Sample) -> None:
    """With its options all rows arrive, at their times, as they stand in the file."""
    assert [
        [row.ts, row.channel.removeprefix("trades."), row.data[sample.field]]
        for row in good(sample.replay())
    ] == sample.rows


def test_each_sample_is_in_the_table() -> None:
    """No file lies there unread."""
    files = {path.name for path in SAMPLES.iterdir()} - {"layouts.json"}
    assert {sample.file for sample in layouts()} == files


OTHERS = [
    # CryptoDataDownload: a URL above, an epoch beside a date
    ("https://example.com\nunix,date,symbol,close\n1704205800000,2024-01-02 14:30:00,A,1\n", {}),
    # Dukascopy, local time
    ("Local time,symbol,close\n02.01.2024 15:30:00.000 GMT+0100,A,1\n", {}),
    # Stooq, Finam
    ("<TICKER>,<PER>,<DATE>,<TIME>,close\nA,5,20240102,143000,1\n", {}),
    ("<TICKER>;<PER>;<DATE>;<TIME>;close\nA;1;20240102;143000;1\n", {}),
    # BitMEX, Bybit
    ("timestamp,symbol,close\n2024-01-02D14:30:00.000000000,A,1\n", {}),
    ("timestamp,symbol,close\n1704205800.0000,A,1\n", {}),
    # Polygon's trades
    ("ticker,close,participant_timestamp,sip_timestamp\nA,1,1,1704205800000000000\n",
     {"time": "sip_timestamp"}),
    # yfinance, with an index that has no name
    (",symbol,close\n2024-01-02 09:30:00-05:00,A,1\n", {}),
    # Sierra Chart: spaces after commas
    ("Date, Time, Symbol, close\n2024/1/2, 14:30:00, A, 1\n", {}),
    # AlgoSeek
    ("Date,Timestamp,Ticker,close\n20240102,09:30:00.000000000,A,1\n",
     {"tz": "America/New_York"}),
    # FirstRate Data
    ("2024-01-02 09:30:00,A,1\n",
     {"columns": ("time", "symbol", "close"), "tz": "America/New_York"}),
    # Tick Data
    ("01/02/2024 14:30:00.000,A,1\n",
     {"columns": ("time", "symbol", "close"), "time_format": "%m/%d/%Y %H:%M:%S.%f"}),
    # kdb+, SAS, FIX, e-mail
    ("time,sym,close\n2024.01.02D14:30:00.000000000,A,1\n", {}),
    ("DATE_TIME,SYMBOL,close\n02JAN2024:14:30:00,A,1\n", {}),
    ("TransactTime,Symbol,close\n20240102-14:30:00.000,A,1\n", {}),
    ('date,symbol,close\n"Tue, 02 Jan 2024 14:30:00 GMT",A,1\n', {}),
    # Numbers of a clock
    ("Date,Time,Symbol,close\n20240102,1430,A,1\n", {}),
    ("Date,Time,Symbol,close\n20240102,93000,A,1\n", {"tz": "America/New_York"}),
    ("Date,Time,Symbol,close\n20240102,52200000,A,1\n", {"time_unit": "ms"}),
    ("time,symbol,close\n20240102143000000,A,1\n", {}),
    # Another delimiter, another encoding, another end
    ("time|symbol|close|\n1704205800|A|1|\n", {}),
    ("time;symbol;close;Börse\n1704205800;A;1;Zürich\n".encode("cp1252"), {}),
    ("time\tsymbol\tclose\r\n1704205800\tA\t1\r\n".encode("utf-16"), {}),
    (gzip.compress(b"time,symbol,close\n1704205800,A,1\n", mtime=0), {}),
    ("時刻,銘柄,close\n1704205800,A,1\n".encode("shift_jis"),
     {"encoding": "shift_jis", "time": "時刻", "symbol_column": "銘柄"}),
    ("20240102 143000 A 1\n",
     {"columns": ("date", "time", "symbol", "close"), "delimiter": "space"}),
    ("when,symbol,close\n1704205800,A,1\n", {"columns": ("time", "symbol", "close")}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "layout"), OTHERS)
def test_layouts_of_the_same_kinds(write: Write, text: str | bytes, layout: dict[str, str]) -> None:
    """They need no sample to be read."""
    (row,) = good(Replay(write(text), layout=Layout(**layout)))  # type: ignore[arg-type]
    assert (row.ts, row.channel, row.data["close"]) == (AT, "trades.A", "1")


def test_rows_are_as_written(write: Write) -> None:
    """Values stay the strings of the file; time and symbol become ts and channel."""
    path = write(
        "\ufeffDate,Ticker, price ,note\r\n"
        '2026-11-20,AAPL,1.50,"a, ""b"""\r\n'
        "\r\n"
        "2026-11-20T00:00:01.250Z,EUR/USD,0001.2300,\r\n"
    )
    day = 1_795_132_800_000
    assert read(Replay(path)) == [
        Row(1, 2, day, "trades.AAPL", {"price": "1.50", "note": 'a, "b"'}),
        Row(2, 4, day + 1250, "trades.EUR/USD", {"price": "0001.2300", "note": ""}),
    ]


BAD_ROWS = [
    ("1704205800,A\n", "line 3: 2 cells where there are 3 columns"),
    ("1704205800,A,2,3\n", "line 3: 4 cells where there are 3 columns"),
    ("never,A,3\n", "line 3, column 'time': 'never': it is no time"),
    ("01/02/2024,A,3\n", "line 3, column 'time': '01/02/2024': the month may be 01 or 02"),
    ("34440.123,A,3\n", "line 3, column 'time': '34440.123': .*--date DAY with --time-unit s"),
    ("1704205800,M&M,2\n", "line 3, column 'symbol': 'M&M': 'trades.M&M' is not a channel name"),
    ("1704205800,,2\n", "line 3, column 'symbol': '': 'trades.' is not a channel name"),
    ("END,20240102,1\n", "line 3: 'END' ends a file, and more follows"),
]


@pytest.mark.parametrize(("line", "what"), BAD_ROWS)
def test_bad_rows(write: Write, line: str, what: str) -> None:
    """Each is named by file, line, column and reason; those around it are read."""
    rows = read(Replay(write(H + "1704205800,A,1\n" + line + "1704205801,A,2\n")))
    assert [isinstance(row, BadRow) for row in rows] == [False, True, False]
    with pytest.raises(BadRow, match=rf"prices\.csv, {what}"):
        raise rows[1]  # type: ignore[misc]
    assert isinstance(rows[2], Row)
    assert rows[2].number == 3


def test_a_row_without_a_name_for_its_cell(write: Write) -> None:
    """A column without a name holds nothing, or is named."""
    good(Replay(write("time,symbol,,price\n1704205800,A,,1\n")))
    (row,) = read(Replay(write("time,symbol,,price\n1704205800,A,x,1\n")))
    assert "line 2: column 3 has no name and holds 'x'; say --columns" in str(row)


BAD_FILES = [
    ("", "no rows"),
    (H, "no rows below the header"),
    ("symbol,price\nA,1\n", r"no time column is known in \['symbol', 'price'\]; .*--time"),
    ("time,price\n1704205800,2\n", "no symbol column is known; say --symbol"),
    ("time,symbol\n1704205800,A\n", "no column is left for data"),
    ("1704205800000,A,1\n", "line 1: no header; .*one of them time, as in --columns time,c2,c3"),
    ("34200.12,1,206833312\n", "as in --columns c1,c2,c3"),
    (b"PAR1....", "a Parquet file"),
]


@pytest.mark.parametrize(("text", "what"), BAD_FILES)
def test_bad_files(write: Write, text: str | bytes, what: str) -> None:
    """Each says the file, and what to do."""
    with pytest.raises(ReplayError, match=rf"prices\.csv(, |: ).*{what}|prices\.csv, {what}"):
        read(Replay(write(text)))


def test_the_rows_of_one_symbol(write: Write) -> None:
    """--symbol on a file with a symbol column takes its rows alone; their numbers stay."""
    path = write(H + "1704205800,A,1\n1704205801,B,2\n1704205802,A,3\n")
    assert [row.number for row in good(Replay(path, symbol="A"))] == [1, 3]
    assert [row.channel for row in good(Replay(path, "quotes.x", "B"))] == ["quotes.x"]
    with pytest.raises(ReplayError, match="no row has the symbol 'ES'; there are 'A', 'B'"):
        read(Replay(path, symbol="ES"))


def test_a_symbol_in_two_columns(write: Write) -> None:
    """BRK.A and BRK.B are two symbols; both used to be BRK."""
    path = write(
        "DATE,TIME_M,SYM_ROOT,SYM_SUFFIX,PRICE\n20240102,9:30:00.1,BRK,A,1\n"
        "20240102,9:30:00.2,BRK,B,2\n20240102,9:30:00.3,AAPL,,3\n"
    )
    rows = good(Replay(path))
    assert [row.channel for row in rows] == ["trades.BRK.A", "trades.BRK.B", "trades.AAPL"]
    assert rows[0].data == {"PRICE": "1"}
    assert [row.number for row in good(Replay(path, symbol="BRK.B"))] == [2]


def test_one_series_without_a_symbol_column(write: Write) -> None:
    """--symbol names the series; a template without braces is a channel by itself."""
    path = write("time,value\n1704205800,5\n")
    assert good(Replay(path, "quotes.{symbol}", "SPX"))[0].channel == "quotes.SPX"
    assert good(Replay(path, "quotes.fixed"))[0].channel == "quotes.fixed"
    with pytest.raises(ReplayError, match="--symbol would have no effect"):
        read(Replay(path, "quotes.fixed", "SPX"))


def test_several_symbols_for_one_channel(write: Write) -> None:
    """A template without {symbol} would mix them: it is refused, or one is chosen."""
    with pytest.raises(ReplayError, match=r"'symbol' has symbols, .*put \{symbol\} into it"):
        read(Replay(write(H + "1704205800,A,1\n"), "quotes.fixed"))


@pytest.mark.parametrize(
    "template", ["{ticker}", "{}", "{symbol", "{symbol.x}", "{0}", "{symbol!z}"]
)
def test_bad_template(template: str) -> None:
    """Only {symbol} may stand in a template."""
    with pytest.raises(ReplayError, match=r"only \{symbol\}"):
        Replay(Path("x.csv"), template)


@pytest.mark.parametrize(
    "layout", [{"tz": "CST"}, {"delimiter": "x"}, {"encoding": "none"}, {"time_unit": "min"}]
)
def test_bad_options(layout: dict[str, str]) -> None:
    """An option that cannot be meant is refused before the file is opened."""
    with pytest.raises(ReplayError, match="--"):
        Replay(Path("none.csv"), layout=Layout(**layout))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "layout", "said"),
    [
        (H + "1704205800,A,1\n", {}, "commas; time: 'time', s"),
        ("1704205800000;1\n", {"columns": ("time", "a")},
         "semicolons; no header; time: column 1, ms"),
        (gzip.compress(H.encode() + b"2024-01-02,A,1\nEND,A,\n", mtime=0), {},
         "gzip; commas; the last row left out (END); time: 'time', text, no zone, so UTC"),
        ("# x\nDate;Time;a\n2024-01-02;14:30;1\n", {"tz": "Asia/Tokyo"},
         "semicolons; 1 line before the table left out; time: 'Date' and 'Time', text, Asia/Tokyo"),
        (H + "1704205800,A,1\n", {"columns": ("time", "symbol", "x")},
         "commas; header replaced by --columns; time: 'time', s"),
    ],
)  # fmt: skip
def test_what_was_found(write: Write, text: str | bytes, layout: dict[str, str], said: str) -> None:
    """In a few words, in the order of the stages."""
    with Reader(Replay(write(text), symbol="A", layout=Layout(**layout))) as reader:  # type: ignore[arg-type]
        list(reader)
        assert "; ".join(reader.layout_found()) == said


def test_rows_are_read_as_they_are_taken(write: Write) -> None:
    """What is wrong further down is not met before."""
    path = write(H + "1704205800,A,1\n" * 200_000 + "bad,A,1\n")
    with Reader(Replay(path)) as reader:
        assert next(iter(reader)) == Row(1, 2, AT, "trades.A", {"price": "1"})


@LAW
@given(data=st.binary(max_size=200), begin=st.sampled_from([b"", H.encode(), b"a;b\n1;2\n"]))
def test_whatever_a_file_holds(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, begin: bytes
) -> None:
    """It is read or refused by name; nothing else comes out, and no time beyond 2099."""
    path = tmp_path_factory.mktemp("any") / "prices.csv"
    path.write_bytes(begin + data)
    try:
        rows = read(Replay(path, symbol="A"))
    except ReplayError as error:
        assert "prices.csv" in str(error)  # noqa: PT017 - most files are refused
        return
    assert all(isinstance(row, BadRow) or 0 <= row.ts < 4_102_444_800_000 for row in rows)
