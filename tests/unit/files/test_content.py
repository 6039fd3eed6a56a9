"""A file's bytes: unpacked whatever its name is, and refused by name if they are no text."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
from typing import TYPE_CHECKING

import pytest

from tickfan.files.content import LAYERS_MAX, open_content, unpacked
from tickfan.files.errors import ReplayError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TEXT = b"time,symbol,price\n1704205800,AAPL,1\n"


def zipped(*names: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in names:
            # Without the time of now: tests have one name in each process.
            archive.writestr(zipfile.ZipInfo(name), TEXT)
    return packed.getvalue()


def read(data: bytes) -> tuple[bytes, list[str]]:
    content = unpacked(io.BytesIO(data), "prices.csv")
    return content.stream.read(), content.notes


@pytest.mark.parametrize(
    ("pack", "note"),
    [
        (lambda data: data, []),
        (gzip.compress, ["gzip"]),
        (bz2.compress, ["bzip2"]),
        (lzma.compress, ["xz"]),
        (lambda _: zipped("a/", "a/b.csv", "__MACOSX/a/._b.csv"), ["zip"]),
        (lambda data: gzip.compress(bz2.compress(data)), ["gzip", "bzip2"]),
        (lambda data: gzip.compress(data[:9]) + gzip.compress(data[9:]), ["gzip"]),
    ],
)
def test_packed(pack: Callable[[bytes], bytes], note: list[str]) -> None:
    """The first bytes say how it is packed, whatever its name is."""
    assert read(pack(TEXT)) == (TEXT, note)


def test_a_small_head_is_no_other_file() -> None:
    """An empty file, and one of a byte, are text."""
    assert read(b"") == (b"", [])
    assert read(b"P") == (b"P", [])


FOREIGN = [
    (b"PAR1\x15\x04", r"a Parquet file; instead: .*read_parquet.* \| tickfan publish --replay -"),
    (b"ARROW1\x00\x00", "Arrow"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1", "old Excel"),
    (zipped("[Content_Types].xml", "xl/workbook.xml"), r"xlsx.*read_excel\('prices.csv'\)"),
    (b"\x89HDF\r\n\x1a\n", "HDF5"),
    (b"SQLite format 3\x00", "sqlite3 -header -csv"),
    (b"\x28\xb5\x2f\xfd\x04", r"zstd -dc 'prices.csv' \| tickfan publish --replay -"),
    (b"DBN\x01", "Databento"),
    (b"%PDF-1.4", "PDF"),
    (b"\n<!DOCTYPE html><html>", "HTML"),
    (b"<html>", "HTML"),
    (b'{"t": 1}\n{"t": 2}\n', "JSON Lines.*lines=True"),
    (b'{\n  "t": 1}', "JSON"),
    (b"[[1, 2]]", "JSON"),
    (b"  [\n {}]", "JSON"),
    (gzip.compress(b"PAR1", mtime=0), "Parquet"),
    (zipped("a.csv", "b.csv"), r"a zip of 2 files \(a.csv, b.csv\).*unzip -p 'prices.csv' 'a.csv'"),
    (zipped(), "a zip of 0 files"),
]


@pytest.mark.parametrize(("data", "what"), FOREIGN)
def test_other_formats_are_named(data: bytes, what: str) -> None:
    """Each with a line that turns it into CSV."""
    with pytest.raises(ReplayError, match=what) as error:
        read(data)
    assert str(error.value).startswith("prices.csv: ")


def test_layers_are_bounded() -> None:
    """Packings inside each other without an end are refused."""
    data = TEXT
    for _ in range(LAYERS_MAX + 1):
        data = gzip.compress(data)
    with pytest.raises(ReplayError, match=f"packed more than {LAYERS_MAX} times"):
        read(data)


def test_a_damaged_head(tmp_path: Path) -> None:
    """Bytes that begin as packed ones and are not: one sentence."""
    path = tmp_path / "broken.gz"
    path.write_bytes(b"\x1f\x8b\x08\x00")
    with pytest.raises(ReplayError, match=r"broken\.gz: the packed bytes are damaged"):
        open_content(path)


def test_a_missing_file(tmp_path: Path) -> None:
    """A file that is not there, and a folder, are one sentence."""
    with pytest.raises(ReplayError, match=r"none\.csv: No such file"):
        open_content(tmp_path / "none.csv")
    with pytest.raises(ReplayError, match="Is a directory"):
        open_content(tmp_path)


def test_a_zip_in_a_pipe() -> None:
    """A zip's list of files is at its end, which a pipe has not reached."""

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    with pytest.raises(ReplayError, match="unzip -p"):
        unpacked(io.BufferedReader(Pipe(zipped("a.csv"))), "stdin")
