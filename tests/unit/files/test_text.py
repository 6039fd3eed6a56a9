"""Bytes to lines: the encoding is told or refused, and every line end is one."""

from __future__ import annotations

import gzip
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.updates import LAW
from tickfan.files.content import unpacked
from tickfan.files.errors import BadRow, ReplayError
from tickfan.files.text import LINE_CHARS_MAX, check_encoding, open_text


def lines(data: bytes, encoding: str | None = None) -> tuple[list[str], list[str]]:
    text = open_text(unpacked(io.BytesIO(data), "prices.csv"), encoding)
    return list(text.lines), text.notes


ROW = "Zürich;4 €;é\n"


@pytest.mark.parametrize(
    ("data", "note"),
    [
        (ROW.encode(), []),
        (ROW.encode("utf-8-sig"), []),
        (ROW.encode("utf-16"), ["UTF-16"]),
        (("\ufeff" + ROW).encode("utf-16-be"), ["UTF-16"]),
        (ROW.encode("utf-16-le"), ["UTF-16"]),
        (ROW.encode("utf-16-be"), ["UTF-16"]),
        (ROW.encode("utf-32"), ["UTF-32"]),
        (ROW.encode("cp1252"), ["cp1252"]),
    ],
)
def test_the_encoding_is_told(data: bytes, note: list[str]) -> None:
    """By a BOM, by zeros, by being UTF-8; else it is Windows', if that can be."""
    assert lines(data) == ([ROW], note)


@pytest.mark.parametrize("encoding", ["shift_jis", "cp1251", "gb18030", "koi8-r", "big5"])
def test_what_cannot_be_told_is_refused(encoding: str) -> None:
    """Text of another script would be read as nonsense of Western letters."""
    text = "Цена,Время\n" if encoding in ("cp1251", "koi8-r") else "時間,価格\n"
    data = text.encode(encoding, errors="replace")
    with pytest.raises(ReplayError, match=r"prices\.csv: not UTF-8.* say --encoding"):
        lines(data)
    assert lines(data, encoding)[0] == [data.decode(encoding)]


def test_binary_is_no_text() -> None:
    """Zeros without an order are no text at all."""
    with pytest.raises(ReplayError, match="binary data"):
        lines(b"\x00\x00\x01\x02abc\x00\x00\x00")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends(end: str) -> None:
    """Unix, Windows and old Macs."""
    assert lines(f"a{end}b{end}c".encode())[0] == [f"a{end}", f"b{end}", "c"]


def test_a_line_is_bounded() -> None:
    """An endless line is named and not read to its end."""
    with pytest.raises(BadRow, match=f"line 2: longer than {LINE_CHARS_MAX} characters"):
        lines(b"a\n" + b"x" * (LINE_CHARS_MAX + 1))


def test_another_encoding_further_down() -> None:
    """What was UTF-8 for long, and then is not, is named by where it is."""
    with pytest.raises(ReplayError, match=r"after line .*: not utf-8 text .*say --encoding"):
        lines(b"a,b\n" * 50_000 + b"Z\xfcrich,1\n")


def test_a_packed_file_that_ends_too_early() -> None:
    """The rows before are not taken for all of it."""
    data = gzip.compress(b"".join(b"%d,A,1\n" % n for n in range(100_000)))
    with pytest.raises(ReplayError, match=r"after line \d+: the packed bytes are damaged"):
        lines(data[:-20_000])


@pytest.mark.parametrize("encoding", ["none", "base64", "rot13", "hex"])
def test_check_encoding(encoding: str) -> None:
    """Only what names text is an encoding."""
    with pytest.raises(ReplayError, match="--encoding"):
        check_encoding(encoding)
    assert check_encoding("UTF8") == "utf-8-sig"
    assert check_encoding("cp1252") == "cp1252"


@LAW
@given(
    st.text(alphabet=st.characters(exclude_characters="\r\n\x00\ufeff", codec="utf-8"), min_size=1)
)
def test_utf8_is_read_as_it_is(text: str) -> None:
    """Whatever is in it."""
    assert lines(f"time,{text}\n".encode())[0] == [f"time,{text}\n"]
