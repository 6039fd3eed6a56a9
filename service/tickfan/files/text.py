"""Bytes to lines of text: which encoding they are in, and where a line ends.

A line ends at LF, CRLF or CR. Must not know what stands in a line.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import re
from typing import TYPE_CHECKING, NamedTuple

from tickfan.files.content import BROKEN, damaged
from tickfan.files.errors import BadRow, ReplayError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tickfan.files.content import Content

LINE_CHARS_MAX = 65_536
"""A longer line is refused: it is a wrong file or a missing quote, not a price."""

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig", ""),
    (codecs.BOM_UTF32_LE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF32_BE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16"),
)
_WESTERN = re.compile(
    rb"(?:[\x00-\x7f]|"
    # Alone between ASCII: letters of Western Europe, and signs that stand in tables. In
    # texts of other encodings bytes beyond ASCII come in runs.
    rb"(?<![\x80-\xff])[\x80\x91-\x97\xa0\xa3\xa5\xa7\xa9\xae\xb0\xb2\xb5\xbd\xc0-\xff]"
    rb"(?![\x80-\xff]))*"
)


class Text(NamedTuple):
    """Lines to read, each with its end, and what was noticed."""

    lines: Iterator[str]
    name: str
    notes: list[str]


def open_text(content: Content, encoding: str | None = None) -> Text:
    """The lines of the content.

    ``encoding`` is the name of a codec; without it the first bytes tell: UTF-8, UTF-16,
    UTF-32, or Windows' cp1252. Raises :class:`ReplayError` if they do not.
    """
    if encoding is None:
        codec, note = _detect(content)
    else:
        codec, note = encoding, encoding
    stream = io.TextIOWrapper(content.stream, encoding=codec, newline="")
    notes = [*content.notes, note] if note else [*content.notes]
    return Text(_lines(stream, content.name), content.name, notes)


def check_encoding(encoding: str) -> str:
    """Return ``encoding`` if it names a codec for text. Raises :class:`ReplayError`."""
    try:
        "".encode(encoding)
    except (LookupError, ValueError):
        raise ReplayError(
            f"--encoding {encoding!r}: not known; such as utf-8, utf-16, cp1252, shift_jis, gb18030"
        ) from None
    # A file's BOM is no part of its first name.
    return "utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding


def _detect(content: Content) -> tuple[str, str]:
    """The codec's name, and how to say it; UTF-8 goes without saying."""
    head = content.stream.peek(1)
    for bom, codec, note in _BOMS:
        if head.startswith(bom):
            return codec, note
    even, odd = head[:4096:2], head[1:4096:2]
    if odd.count(0) > len(odd) // 2 and even.count(0) == 0:
        return "utf-16-le", "UTF-16"
    if even.count(0) > len(even) // 2 and odd.count(0) == 0:
        return "utf-16-be", "UTF-16"
    if b"\x00" in head:
        raise ReplayError(f"{content.name}: binary data, not text; turn it into CSV first")
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        if _WESTERN.fullmatch(head):
            return "cp1252", "cp1252"
        raise ReplayError(
            f"{content.name}: not UTF-8, and the bytes do not tell what else; say --encoding, "
            "such as cp1252, cp1251, shift_jis or gb18030"
        ) from None
    return "utf-8", ""


def _lines(stream: io.TextIOWrapper, name: str) -> Iterator[str]:
    number = 0
    try:
        while line := stream.readline(LINE_CHARS_MAX + 1):
            number += 1
            if len(line) > LINE_CHARS_MAX:
                raise BadRow(
                    f"{name}, line {number}: longer than {LINE_CHARS_MAX} characters; "
                    "is a quote not closed, or is it another kind of file?"
                )
            yield line
    except UnicodeError as error:
        # The decoder is a buffer ahead of the lines.
        reason = getattr(error, "reason", error)
        raise ReplayError(
            f"{name}, after line {number}: not {stream.encoding} text ({reason}); "
            "say --encoding, such as cp1252"
        ) from error
    except BROKEN as error:
        raise ReplayError(f"{name}, after line {number}: {damaged(error)}") from error
    except OSError as error:
        raise ReplayError(f"{name}, after line {number}: {error.strerror or error}") from error
    finally:
        # The bytes are another's to close, and may be closed.
        with contextlib.suppress(ValueError):
            stream.detach()
