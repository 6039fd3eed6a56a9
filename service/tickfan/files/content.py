"""A file's bytes: unpacked where it is packed, and refused by name where it is no text.

What is in the bytes is told by their first few, never by the file's name. Must not know
what text is in them.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import sys
import zipfile
import zlib
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, cast

from tickfan.files.errors import ReplayError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HEAD_BYTES = 65_536
"""What is looked at to tell what a file holds; also the buffer that it is read through."""
LAYERS_MAX = 3
"""So many packings inside each other are opened; more are no market data."""
STDIN = "-"
BROKEN = (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, gzip.BadGzipFile)
"""What reading raises if the bytes of a packed file are damaged or end too early."""

_PANDAS = 'python -c "import pandas, sys; {read}.to_csv(sys.stdout, index=False)"'
_PIPE = " | tickfan publish --replay -"


class Content(NamedTuple):
    """Bytes to read, the name that errors give them, what was noticed, and how to let go."""

    stream: io.BufferedReader
    name: str
    notes: list[str]
    close: Callable[[], None]


def _frame(read: str) -> str:
    return _PANDAS.replace("{read}", read) + _PIPE


FOREIGN: tuple[tuple[re.Pattern[bytes], str, str], ...] = (
    (re.compile(rb"PAR1"), "a Parquet file", _frame("pandas.read_parquet('{path}')")),
    (re.compile(rb"ARROW1"), "an Arrow (Feather) file", _frame("pandas.read_feather('{path}')")),
    (re.compile(rb"\xd0\xcf\x11\xe0"), "an old Excel file (xls)",
     _frame("pandas.read_excel('{path}')")),
    (re.compile(rb"\x89HDF\r\n"), "an HDF5 file", _frame("pandas.read_hdf('{path}')")),
    (re.compile(rb"SQLite format 3\x00"), "an SQLite database",
     "sqlite3 -header -csv '{path}' 'table trades'" + _PIPE),
    (re.compile(rb"\x28\xb5\x2f\xfd"), "packed by zstd", "zstd -dc '{path}'" + _PIPE),
    (re.compile(rb"\x04\x22\x4d\x18"), "packed by lz4", "lz4 -dc '{path}'" + _PIPE),
    (re.compile(rb"7z\xbc\xaf\x27\x1c"), "a 7-Zip archive", "7z x -so '{path}'" + _PIPE),
    (re.compile(rb"Rar!\x1a\x07"), "a RAR archive", "unrar p -inul '{path}'" + _PIPE),
    (re.compile(rb"DBN[\x01-\x09]"), "a Databento file (DBN)", "dbn '{path}' --csv -p" + _PIPE),
    (re.compile(rb"%PDF-"), "a PDF file", "save the table as CSV where it comes from"),
    (re.compile(rb"\s*<(?:!doctype html|html|head|body|table|\?xml|!--)", re.IGNORECASE),
     "an HTML or XML page, not a file of rows (a login or an error page?)",
     "look at it in a browser; a table in it: " + _frame("pandas.read_html('{path}')[0]")),
    (re.compile(rb"\s*\{\s*(?:\"[^\n]*\}\s*\r?\n\s*\{)"), "JSON Lines",
     _frame("pandas.read_json('{path}', lines=True, dtype=False)")),
    (re.compile(rb"\s*(?:\{\s*[\"}]|\[\s*[\[{])"), "JSON",
     _frame("pandas.read_json('{path}', dtype=False)")),
)  # fmt: skip
"""How other formats begin, what they are, and a line that turns one into CSV."""


def open_content(path: Path) -> Content:
    """Open a file, or stdin for ``-``, and unpack it.

    Raises :class:`ReplayError` for a file that cannot be opened, that is not text, or is
    an archive of several files.
    """
    if str(path) == STDIN:
        # Somebody else's to close; and a thread may be reading it.
        return unpacked(_stdin(), "stdin")._replace(close=lambda: None)
    try:
        file = path.open("rb", buffering=HEAD_BYTES)
    except OSError as error:
        raise ReplayError(f"{path}: {error.strerror or error}") from error
    try:
        return unpacked(file, str(path))
    except BaseException:
        file.close()
        raise


def unpacked(stream: BinaryIO, name: str) -> Content:
    """The content of what begins in ``stream``. Raises :class:`ReplayError`."""
    buffered = _buffered(stream)
    notes: list[str] = []
    try:
        while True:
            head = buffered.peek(HEAD_BYTES)[:HEAD_BYTES]
            packing = next((each for each in _PACKINGS if head.startswith(each[0])), None)
            if packing is None:
                break
            if len(notes) == LAYERS_MAX:
                raise ReplayError(f"{name}: packed more than {LAYERS_MAX} times; unpack it first")
            _, note, unpack = packing
            notes.append(note)
            buffered = _buffered(unpack(buffered, name))
    except BROKEN as error:
        raise ReplayError(f"{name}: {damaged(error)}") from error
    for magic, what, instead in FOREIGN:
        if magic.match(head):
            raise ReplayError(f"{name}: {what}; instead: {instead.replace('{path}', name)}")
    return Content(buffered, name, notes, stream.close)


def damaged(error: Exception) -> str:
    """What to say of a packed file that cannot be read on."""
    return f"the packed bytes are damaged or end too early ({error}); get the file again"


def _stdin() -> BinaryIO:
    """What comes on stdin, not through Python's own buffer.

    At its end Python takes that buffer's lock. A thread that still waits for a pipe would
    hold it, and Python would abort.
    """
    buffer = sys.stdin.buffer
    raw = getattr(buffer, "raw", None)
    return buffer if raw is None else io.BufferedReader(raw, HEAD_BYTES)


def _buffered(stream: BinaryIO) -> io.BufferedReader:
    if isinstance(stream, io.BufferedReader):
        return stream
    return io.BufferedReader(cast("io.RawIOBase", stream), HEAD_BYTES)


def _gunzip(stream: BinaryIO, _name: str) -> BinaryIO:
    return cast("BinaryIO", gzip.GzipFile(fileobj=stream, mode="rb"))


def _bunzip(stream: BinaryIO, _name: str) -> BinaryIO:
    return cast("BinaryIO", bz2.BZ2File(stream))


def _unxz(stream: BinaryIO, _name: str) -> BinaryIO:
    return cast("BinaryIO", lzma.LZMAFile(stream))


def _unzip(stream: BinaryIO, name: str) -> BinaryIO:
    if not stream.seekable():
        raise ReplayError(f"{name}: a zip file cannot be read from a pipe; instead: unzip -p FILE")
    archive = zipfile.ZipFile(stream)
    names = archive.namelist()
    if "[Content_Types].xml" in names:
        raise ReplayError(
            f"{name}: an Excel file (xlsx); instead: "
            + _frame("pandas.read_excel('{path}')").replace("{path}", name)
        )
    files = [each for each in names if not each.endswith("/") and not each.startswith("__MACOSX/")]
    if len(files) != 1:
        held = ", ".join(files[:5]) + (", ..." if len(files) > 5 else "")
        raise ReplayError(
            f"{name}: a zip of {len(files)} files ({held}); a replay is of one: "
            f"unzip -p '{name}' '{files[0] if files else 'NAME'}'{_PIPE}"
        )
    try:
        return cast("BinaryIO", archive.open(files[0]))
    except RuntimeError as error:  # what zipfile raises for a password
        raise ReplayError(f"{name}: the zip asks for a password; unpack it first") from error


_PACKINGS: tuple[tuple[bytes, str, Callable[[BinaryIO, str], BinaryIO]], ...] = (
    (b"\x1f\x8b", "gzip", _gunzip),
    (b"BZh", "bzip2", _bunzip),
    (b"\xfd7zXZ\x00", "xz", _unxz),
    (b"PK\x03\x04", "zip", _unzip),
    (b"PK\x05\x06", "zip", _unzip),  # one without a file in it
)
