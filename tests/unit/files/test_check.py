"""Which rows can be sent, and what is said of a file in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tickfan.config import Settings
from tickfan.files.check import moment, sendable, span, survey
from tickfan.files.columns import Layout
from tickfan.files.errors import BadRow, ReplayError
from tickfan.files.reader import Reader, Replay, Row
from tickfan.market.routes import Routes

if TYPE_CHECKING:
    from pathlib import Path

FEED_OF = Routes(Settings().feed_specs()).feed_of
H = "time,symbol,price\n"
AT = 1_704_205_800_000  # 2024-01-02 14:30 UTC


def look(
    path: Path, text: str, *, paced: bool = True, begin: int = 1, template: str = "trades.{symbol}"
) -> list[int | str]:
    """The numbers of the rows that can go, and what is said of each other."""
    path = path / "prices.csv"
    path.write_text(H + text)
    with Reader(Replay(path, template)) as reader:
        return [
            row.number if isinstance(row, Row) else str(row).partition("prices.csv, ")[2]
            for row in sendable(reader, FEED_OF, paced=paced, begin=begin)
        ]


def test_rows_go_forward_in_time(tmp_path: Path) -> None:
    """Where times set the pace, an earlier one is named with the row that it is behind."""
    text = "1704205805,A,1\n1704205804,A,2\n1704205806,A,3\n"
    with pytest.raises(ReplayError, match=r"prices\.csv, line 3: its time is earlier than .* 2;"):
        look(tmp_path, text)
    assert look(tmp_path, text, paced=False) == [1, 2, 3]
    assert look(tmp_path, "1704205805,A,1\n" * 2) == [1, 2]


def test_each_channel_needs_a_feed(tmp_path: Path) -> None:
    """A channel that no feed covers is named by its line."""
    (said,) = look(tmp_path, "1704205805,A,1\n", template="weather.{symbol}")
    assert str(said).startswith("line 2: no feed covers 'weather.A'")


def test_from_a_row_on(tmp_path: Path) -> None:
    """Rows before it are not looked at, and it has to be there."""
    text = "1704205805,A,1\nbad,A,2\n1704205804,A,3\n"
    assert look(tmp_path, text, begin=3) == [3]
    with pytest.raises(ReplayError, match="it has 3 rows, so none from 4 on"):
        look(tmp_path, text, begin=4)


def test_a_survey(tmp_path: Path) -> None:
    """One line: what was detected, how much it is, from when to when."""
    path = tmp_path / "prices.csv"
    path.write_text("1704205800000;A;1\n1704205860000;B;2\nx;A;2\n1704206040000;C;3\n")
    bad: list[BadRow] = []
    replay = Replay(path, layout=Layout(columns=("time", "symbol", "price")))
    with Reader(replay) as reader:
        line = survey(sendable(reader, FEED_OF, paced=True), bad.append).line(reader)
    assert line == (
        f"{path}: semicolons; no header; time: column 1, ms; 3 symbols; 3 rows; "
        "2024-01-02 14:30 to 14:34 UTC; 1 bad row"
    )
    assert len(bad) == 1


@pytest.mark.parametrize(
    ("first", "last", "said"),
    [
        (AT, AT + 240_000, "2024-01-02 14:30 to 14:34 UTC"),
        (AT, AT, "2024-01-02 14:30 UTC"),
        (AT, AT + 5_000, "2024-01-02 14:30:00 to 14:30:05 UTC"),
        (AT + 123, AT + 3_600_123, "2024-01-02 14:30 to 15:30 UTC"),
        (AT, AT + 86_400_000, "2024-01-02 14:30 to 2024-01-03 14:30 UTC"),
        (AT - 52_200_000, AT - 52_200_000 + 5 * 86_400_000, "2024-01-02 to 2024-01-07 UTC"),
    ],
)
def test_span(first: int, last: int, said: str) -> None:
    """No finer than it takes to tell begin from end."""
    assert span(first, last) == said


def test_moment() -> None:
    """A time for a person."""
    assert moment(AT + 999) == "2024-01-02 14:30:00 UTC"
