"""Lines of text to rows of cells: the delimiter, what stands before the table, the header.

Must not know what a column means, nor how a time is written.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from itertools import chain, islice
from typing import TYPE_CHECKING, NamedTuple

from tickfan.files.errors import BadRow, ReplayError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tickfan.files.text import Text

DELIMITERS = {
    ",": "commas", ";": "semicolons", "\t": "tabs", "|": "pipes", " ": "spaces",
}  # fmt: skip
"""What may stand between two cells, and how it is called."""
GUESSED = ",;\t|"
"""The delimiters that are looked for; spaces stand in many cells, so they must be asked for."""
SAMPLE_LINES = 40
"""So many lines are looked at to tell the delimiter and the header."""

_WORDS = {"comma": ",", "semicolon": ";", "tab": "\t", "\\t": "\t", "pipe": "|", "space": " "}
_SEP_LINE = re.compile(r"sep=(.)\s*", re.IGNORECASE)
_VALUE = re.compile(r"[-+\u2212$€£<>]?[.,]?\d[\d.,:/ TZ+%-]*")
_COMMENT = ("#", "//", "%")


class Record(NamedTuple):
    """One row: the line that it ends in, from 1, and its cells."""

    line: int
    cells: list[str]


class Table(NamedTuple):
    """The names of the header (None: there is none), and the rows below it.

    ``notes`` are what was noticed; all of it is known after the last row.
    """

    header: list[str] | None
    rows: Iterator[Record]
    name: str
    notes: list[str]


class _Shape(NamedTuple):
    """How the sample looks if it is cut by one delimiter.

    ``share`` is that of rows which are as wide as the table; ``values`` that of cells which
    are a number or a time.
    """

    delimiter: str
    width: int
    start: int
    header: list[str] | None
    share: float
    values: float


def check_delimiter(text: str) -> str:
    """The delimiter that ``text`` names, by itself or by a word.

    Raises :class:`ReplayError`.
    """
    delimiter = _WORDS.get(text.lower(), text)
    if delimiter not in DELIMITERS:
        raise ReplayError(f"--delimiter {text!r}: one of , ; | or comma semicolon pipe tab space")
    return delimiter


def open_table(text: Text, delimiter: str | None, names: int | None, sample: int) -> Table:
    """Find the table in the text.

    ``names`` is the number of columns, if it is known. ``sample`` lines are looked at.
    Raises :class:`ReplayError` if there is no row, or no delimiter, or more than one would do.
    """
    head = list(islice(text.lines, sample))
    notes = [*text.notes]
    if head and (said := _SEP_LINE.fullmatch(head[0])) and said[1] in DELIMITERS:
        # Spreadsheets write and heed this line. It is no row.
        delimiter = delimiter or said[1]
        head[0] = "\n"
    if not any(line.strip() for line in head):
        raise ReplayError(f"{text.name}: no rows")
    shape = _shape(text.name, head, delimiter, names)
    notes.append(DELIMITERS[shape.delimiter])
    before = sum(1 for line in head[: shape.start] if line.strip())
    if before:
        notes.append(f"{before} line{'s' * (before > 1)} before the table left out")
    start = shape.start + (shape.header is not None)
    rows = _rows(text._replace(lines=chain(head[start:], text.lines), notes=notes), start, shape)
    return Table(shape.header, rows, text.name, notes)


def is_value(cell: str) -> bool:
    """Whether a cell is a number or a time by its characters, so that its row is no header."""
    return _VALUE.fullmatch(cell.strip()) is not None


def is_same_width(cells: int, width: int, last: str) -> bool:
    """Whether a row of so many ``cells`` has ``width`` columns; an empty one may follow."""
    return cells == width or (cells == width + 1 and not last.strip())


def cut(line: str, delimiter: str) -> list[str]:
    """The cells of one line."""
    return next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])


def _rows(text: Text, before: int, shape: _Shape) -> Iterator[Record]:
    reader = csv.reader(text.lines, delimiter=shape.delimiter, skipinitialspace=True, strict=True)
    comments = 0
    try:
        for cells in reader:
            # Cells without a character between them are no row.
            if not "".join(cells).strip():
                continue
            if cells[0].startswith(_COMMENT) and not is_same_width(
                len(cells), shape.width, cells[-1]
            ):
                comments += 1
                continue
            yield Record(before + reader.line_num, cells)
    except csv.Error as error:
        raise BadRow(
            f"{text.name}, line {before + reader.line_num}: {error}; is a quote not closed?"
        ) from error
    if comments:
        text.notes.append(f"{comments} comment{'s' * (comments > 1)} between the rows left out")


def _shape(name: str, head: list[str], delimiter: str | None, names: int | None) -> _Shape:
    guesses = delimiter or GUESSED
    shapes = [shape for each in guesses if (shape := _cut_by(head, each)) is not None]
    best = [shape for shape in shapes if shape.width > 1] or ([] if delimiter is None else shapes)
    # Each of these leaves those out that are less likely, unless it leaves none.
    likely = max((shape.share for shape in best), default=0.0)
    best = [shape for shape in best if names in (None, shape.width, shape.width - 1)] or best
    best = [shape for shape in best if shape.share == likely] or best
    best = [shape for shape in best if shape.header is not None] or best
    most = max((shape.values for shape in best), default=0.0)
    best = [shape for shape in best if shape.values == most]
    if not best:
        line = next(line for line in head if line.strip()).strip()
        raise ReplayError(
            f"{name}: one column only in {line[:60]!r}; cells are parted by one of "
            f"{', '.join(DELIMITERS[each] for each in GUESSED)}, or say --delimiter"
        )
    if len(best) > 1:
        both = " as well as ".join(DELIMITERS[shape.delimiter] for shape in best)
        raise ReplayError(f"{name}: {both} would part its rows evenly; say --delimiter")
    return best[0]


def _cut_by(head: list[str], delimiter: str) -> _Shape | None:
    """How the sample looks, if cut so; None if it has no row."""
    rows = []
    for number, line in enumerate(head):
        try:
            cells = cut(line, delimiter)
        except csv.Error:
            continue
        if "".join(cells).strip():
            rows.append((number, cells))
    if not rows:
        return None
    # The earlier one, of two that are as common: a header tells its rows what they lack.
    common = Counter(
        len(cells) for _, cells in rows if not cells[0].startswith(_COMMENT)
    ).most_common(1)
    width = common[0][0] if common else len(rows[0][1])
    at, header = _start(rows, width)
    if header is not None:
        width = len(header)
    table = rows[at + 1 :] if header is not None else rows[at:]
    fit = sum(1 for _, cells in table if is_same_width(len(cells), width, cells[-1]))
    share = fit / len(table) if table else 1.0
    below = [cell for _, cells in table for cell in cells]
    values = sum(map(is_value, below)) / len(below) if below else 0.0
    return _Shape(delimiter, width, rows[at][0], header, share, values)


def _start(rows: list[tuple[int, list[str]]], width: int) -> tuple[int, list[str] | None]:
    """Where the table begins, and its header.

    The header is the first row of the table's width in which nothing is a value. Without
    one the table begins at the first row that is no comment: one that has values, and
    another width, is a bad row and is named later.
    """
    fitting = [
        at
        for at, (_, cells) in enumerate(rows)
        if is_same_width(len(cells), width, cells[-1])
        # Each row ends with a delimiter, but not the header.
        or (len(cells) == width - 1 and at + 1 < len(rows) and not rows[at + 1][1][-1].strip())
    ]
    for at in fitting:
        cells = rows[at][1]
        if any(map(is_value, cells)):
            break
        below = rows[at + 1][1] if at + 1 < len(rows) else []
        if not cells[0].startswith(_COMMENT) or any(map(is_value, below)):
            return at, cells
    for at, (_, cells) in enumerate(rows):
        if any(map(is_value, cells)) and not cells[0].startswith(_COMMENT):
            return at, None
    return (fitting or [0])[0], None
