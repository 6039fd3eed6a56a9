"""Lines to rows: the delimiter, what stands before the table, the header, what is no row."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.updates import LAW
from tickfan.files.errors import BadRow, ReplayError
from tickfan.files.table import DELIMITERS, Table, check_delimiter, is_value, open_table
from tickfan.files.text import Text

ENDS = "\r\n\x00\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
"""What ``splitlines`` takes for the end of a line."""
CELLS = st.text(st.characters(codec="utf-8", exclude_characters=ENDS))

H = "time,symbol,price\n"
ROW = "1704205800,AAPL,1.5\n"


def table(text: str, delimiter: str | None = None, names: int | None = None) -> Table:
    return open_table(
        Text(iter(text.splitlines(keepends=True)), "prices.csv", []), delimiter, names, 40
    )


def cells(text: str, delimiter: str | None = None, names: int | None = None) -> list[list[str]]:
    return [record.cells for record in table(text, delimiter, names).rows]


@pytest.mark.parametrize(("delimiter", "word"), list(DELIMITERS.items())[:4])
def test_delimiters(delimiter: str, word: str) -> None:
    """Each of the four is told, and said."""
    found = table((H + ROW * 2).replace(",", delimiter))
    assert found.header == ["time", "symbol", "price"]
    assert [record.cells for record in found.rows] == [["1704205800", "AAPL", "1.5"]] * 2
    assert found.notes == [word]


def test_commas_of_decimals_are_no_delimiters() -> None:
    """A header has none of them, the names are so many, and each cell is a value."""
    rows = "02.01.2024 14:30;1,5;2,5\n02.01.2024 14:31;1,6;2,6\n"
    assert cells("Zeit;Kurs;Menge\n" + rows)[0] == ["02.01.2024 14:30", "1,5", "2,5"]
    assert cells(rows, names=3)[0] == ["02.01.2024 14:30", "1,5", "2,5"]
    assert cells(rows, ";")[0] == ["02.01.2024 14:30", "1,5", "2,5"]
    assert cells(rows)[0] == ["02.01.2024 14:30", "1,5", "2,5"]


def test_delimiters_that_both_would_do() -> None:
    """Nothing tells which one is meant: the option does."""
    with pytest.raises(ReplayError, match=r"commas as well as pipes .* say --delimiter"):
        table("AAPL|N,x\nMSFT|N,y\n")


def test_the_line_that_names_the_delimiter_is_no_header() -> None:
    """Cut by that delimiter it would be as wide as a table of two columns."""
    found = table("sep=;\nZeit;Kurs\n02.01.2024;1,5\n")
    assert found.header == ["Zeit", "Kurs"]
    assert [record.line for record in found.rows] == [3]


def test_spaces_part_cells_if_they_are_asked_to() -> None:
    """Several of them are one."""
    assert cells("20240102  093000 1.5\n", " ") == [["20240102", "093000", "1.5"]]


PREAMBLES = [
    "sep=;\n",
    "https://www.example.com\n",
    "# made by; somebody\n#\n",
    "\n\n  \n",
    "Symbol;SAP\n",
    "From;2024-01-02\n",
    "// a comment\n% another\n",
]


@pytest.mark.parametrize("preamble", PREAMBLES)
def test_what_stands_before_the_table_is_no_row(preamble: str) -> None:
    """Lines are counted with it."""
    found = table(preamble + "Zeit;Kurs;Menge\n" + "02.01.2024;1,5;2\n" * 2)
    assert found.header == ["Zeit", "Kurs", "Menge"]
    line = preamble.count("\n") + 2
    assert [record.line for record in found.rows] == [line, line + 1]


def test_a_header_may_begin_like_a_comment() -> None:
    """It has the rows' width, and values come below it."""
    assert table("#RIC,Date-Time,Price\nAAPL.OQ,2024-01-02T14:30:00Z,1\n").header == [
        "#RIC", "Date-Time", "Price",
    ]  # fmt: skip
    assert table("# by me, for you, now\n" + H + ROW).header == ["time", "symbol", "price"]


def test_no_header() -> None:
    """A row with a value in it is none."""
    found = table("# a comment\n" + ROW * 2)
    assert found.header is None
    assert [record.line for record in found.rows] == [2, 3]


def test_a_bad_first_row_is_not_taken_for_a_preamble() -> None:
    """It has values: it is a row, and who reads the rows names it."""
    assert cells("1704205800,AAPL\n" + ROW * 3)[0] == ["1704205800", "AAPL"]


def test_what_is_no_row() -> None:
    """Nothing but delimiters and spaces; a comment that is not as wide as a row."""
    text = H + ROW + "\n   \n,,\n , ,\n# a break\n" + ROW + "#AAPL,1704205800,1\n"
    found = table(text)
    assert [record.line for record in found.rows] == [2, 8, 9]
    assert found.notes == ["commas", "1 comment between the rows left out"]


def test_each_row_may_end_with_a_delimiter() -> None:
    """Also if its header does not."""
    assert table("time,symbol,price\n1704205800,A,1,\n1704205801,A,2,\n").header == [
        "time", "symbol", "price",
    ]  # fmt: skip


def test_quotes_and_spaces() -> None:
    """A cell in quotes may hold the delimiter and a line end; spaces after commas go."""
    assert cells('time, symbol, note\n1704205800, "A,B", "x\ny"\n1704205801, C, "d ""e"""\n') == [
        ["1704205800", "A,B", "x\ny"], ["1704205801", "C", 'd "e"'],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "no rows"),
        (" \n\n", "no rows"),
        ("prices\n1\n2\n", "one column only in 'prices'"),
    ],
)
def test_no_table(text: str, what: str) -> None:
    """One sentence each."""
    with pytest.raises(ReplayError, match=what):
        table(text)


def test_a_quote_that_is_not_closed() -> None:
    """It is named by the line where the reading ended."""
    with pytest.raises(BadRow, match=r"prices\.csv, line 4: unexpected end of data; is a quote"):
        cells(H + ROW + '1704205800,"A,1\n' + ROW)


def test_an_endless_cell_is_bounded() -> None:
    """A quote that is not closed does not take all of the file into memory."""
    with pytest.raises(BadRow, match="field larger than field limit"):
        cells(H + '1704205800,"A,1\n' + ROW * 10_000)


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [("comma", ","), ("TAB", "\t"), ("\\t", "\t"), ("|", "|"), ("space", " "), (";", ";")],
)
def test_check_delimiter(text: str, delimiter: str) -> None:
    """By itself, or by a word that a shell leaves alone."""
    assert check_delimiter(text) == delimiter
    with pytest.raises(ReplayError, match="--delimiter"):
        check_delimiter(text + "x")


@pytest.mark.parametrize(
    "cell",
    ["1", "-1.5", "\u221213.10", "$185.64", "1.130,50", "2024-01-02T14:30:00Z", "14:30", ".5",
     "<0.1", "-0.5%", "02.01.2024 14:30:00.000"],
)  # fmt: skip
def test_values(cell: str) -> None:
    """Numbers and times, as they are written anywhere."""
    assert is_value(cell)


@pytest.mark.parametrize("cell", ["time", "1. open", "<DATE>", "asks[0].price", "", "52 Week High"])
def test_names(cell: str) -> None:
    """What stands in a header, also with digits in it."""
    assert not is_value(cell)


@LAW
@given(
    delimiter=st.sampled_from(",;\t|"),
    rows=st.lists(st.lists(CELLS, min_size=2, max_size=2), min_size=1, max_size=5),
)
def test_what_is_quoted_comes_back(delimiter: str, rows: list[list[str]]) -> None:
    """Whatever text a cell holds, it is read as it was written."""
    quoted = [
        ["1704205800", *(f'"{cell.replace(chr(34), chr(34) * 2)}"' for cell in row)] for row in rows
    ]
    text = "".join(delimiter.join(row) + "\n" for row in [["time", "a", "b"], *quoted])
    assert cells(text, delimiter) == [["1704205800", *row] for row in rows]
