"""Bytes in any pieces, lines out: what event streams and NDJSON both need.

Must not know what a line means.
"""

from __future__ import annotations

from tickfan_client.errors import ProtocolError

LINE_BYTES_MAX = 16 * 2**20
"""One line, at most: the greatest thing that a peer can make this client keep."""


class Lines:
    """Cuts a stream at CR, LF and CRLF, wherever the pieces happen to end."""

    def __init__(self, line_bytes_max: int = LINE_BYTES_MAX) -> None:
        self._line_bytes_max = line_bytes_max
        self._parts: list[bytes] = []
        self._size = 0
        self._after_cr = False

    def feed(self, piece: bytes) -> list[bytes]:
        """The lines that ``piece`` completes, without their ends.

        Raises :class:`ProtocolError` if a line outgrows the limit.
        """
        if self._after_cr and piece:
            # The LF of a CRLF that was cut in two: its line is out already.
            piece = piece.removeprefix(b"\n")
            self._after_cr = False
        lines = piece.splitlines()
        if not lines:
            return []
        whole = piece.endswith((b"\n", b"\r"))
        self._after_cr = piece.endswith(b"\r")
        rest = b"" if whole else lines.pop()
        if lines and self._parts:
            lines[0] = b"".join(self._parts) + lines[0]
            self._parts.clear()
            self._size = 0
        if rest:
            self._parts.append(rest)
            self._size += len(rest)
        if self._size > self._line_bytes_max or any(
            len(line) > self._line_bytes_max for line in lines
        ):
            raise ProtocolError(f"a line is longer than {self._line_bytes_max} bytes")
        return lines
