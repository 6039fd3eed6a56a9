"""Reads lines of the audit log out of files, in the order of time over all of them.

The files may hold other lines, too, and may be packed by gzip. It keeps one line of each
file. Must not know what is counted.
"""

from __future__ import annotations

import gzip
import heapq
import shutil
import tempfile
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

import orjson

from tickfan.commands.positions import epoch_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LOGGER = "tickfan.audit"

LINE_BYTES_MAX = 2**20
"""A longer line is malformed: the service writes none."""

LATE_S = 1.0
"""A line that is older by more than one before it, in its file, is told: figures may be wrong."""

Line = tuple[float, dict[str, Any]]
"""When it was written, in seconds since 1970 UTC, and what it says."""

_GZIP = b"\x1f\x8b"


class AuditLines:
    """The lines of some files. To be closed by ``with``."""

    def __init__(self, paths: Sequence[str], stdin: IO[bytes]) -> None:
        """``-`` is ``stdin``, which is copied to a temporary file: all is read twice."""
        self.malformed = 0
        self.late = 0
        self._paths = paths
        self._stdin = stdin
        self._copy: IO[bytes] | None = None

    def __enter__(self) -> Self:
        """Copy stdin, if it is to be read. Raises :class:`OSError`."""
        if "-" in self._paths:
            self._copy = tempfile.NamedTemporaryFile()
            shutil.copyfileobj(self._stdin, self._copy)
            self._copy.flush()
        return self

    def __exit__(self, *_error: object) -> None:
        """Remove the copy."""
        if self._copy is not None:
            self._copy.close()

    def alive_until(self) -> dict[str, float]:
        """When each process wrote its last line, by its epoch. It reads all files.

        Raises :class:`OSError` and :class:`EOFError` for a file that cannot be read.
        """
        last: dict[str, float] = {}
        for path in self._paths:
            for time, line in self._read(path):
                named = line.get("connection")
                epoch = epoch_of(named) if isinstance(named, str) else line.get("epoch")
                if epoch and isinstance(epoch, str):
                    last[epoch] = max(time, last.get(epoch, time))
        self.malformed = self.late = 0  # they are found once more
        return last

    def in_order(self) -> Iterator[Line]:
        """All lines, the oldest first, if each file is in order by itself. Raises as above."""
        return heapq.merge(*map(self._read, self._paths), key=lambda line: line[0])

    def _read(self, path: str) -> Iterator[Line]:
        latest = 0.0
        if path == "-":
            assert self._copy is not None
            path = self._copy.name
        with _open(path) as file:
            for text in _lines(file):
                found = self._parse(text)
                if found is not None:
                    self.late += found[0] < latest - LATE_S
                    latest = max(latest, found[0])
                    yield found

    def _parse(self, text: bytes) -> Line | None:
        """The line, if it is one of the audit log."""
        # What collects logs may write something before each line: a time, a name.
        start = text.find(b"{")
        if start < 0 and not text.strip():
            return None
        try:
            line = orjson.loads(text[max(start, 0) :])
        except orjson.JSONDecodeError:
            self.malformed += 1
            return None
        if not isinstance(line, dict) or line.get("logger") != LOGGER:
            return None
        try:
            return datetime.fromisoformat(line["time"]).timestamp(), line
        except (KeyError, TypeError, ValueError, OverflowError):
            self.malformed += 1
            return None


def _open(path: str) -> IO[bytes] | gzip.GzipFile:
    with Path(path).open("rb") as file:
        is_packed = file.read(2) == _GZIP
    return gzip.open(path) if is_packed else Path(path).open("rb")


def _lines(file: IO[bytes] | gzip.GzipFile) -> Iterator[bytes]:
    """The lines; of one that is too long what no JSON begins with."""
    while text := file.readline(LINE_BYTES_MAX):
        if len(text) == LINE_BYTES_MAX and not text.endswith(b"\n"):
            while text and not text.endswith(b"\n"):
                text = file.readline(LINE_BYTES_MAX)
            text = b"(too long)"
        yield text
