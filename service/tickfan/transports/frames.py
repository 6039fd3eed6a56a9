"""Takes apart what a WebSocket client sends (RFC 6455, section 5); makes our control frames.

Must not know what a message says, nor the connection that it came from.
"""

from __future__ import annotations

from aiohttp import WebSocketError, WSCloseCode

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
_KINDS = frozenset((CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG))
_CODES = frozenset(WSCloseCode) - {WSCloseCode.ABNORMAL_CLOSURE}
_OWN_CODES = range(3000, 5000)
_CONTROL_BYTES_MAX = 125
_LENGTHS = {126: range(126, 2**16), 127: range(2**16, 2**63)}
"""What a length of 2 and of 8 bytes may say: the shortest must be used (section 5.2)."""
PIECES_MAX = 1024
"""Frames of one message. Empty frames have no size, and would hold the loop without an end."""


def control_frame(kind: int, body: bytes = b"") -> bytes:
    """An unmasked control frame of at most 125 bytes (section 5.5)."""
    return bytes((0x80 | kind, len(body))) + body


def close_code(body: bytes) -> int:
    """The code of a client's close frame, as it was checked; 1000 if it says none."""
    return int.from_bytes(body[:2], "big") if body else WSCloseCode.OK


def close_frame(code: int, why: str = "") -> bytes:
    """A close frame (section 5.5.1)."""
    return control_frame(CLOSE, code.to_bytes(2, "big") + why.encode())


class FrameReader:
    """Bytes in, whole messages and control frames out.

    It is small, as each connection has one. Between two messages it holds nothing.
    """

    __slots__ = ("_at", "_buffer", "_kind", "_message", "_pieces", "frames", "size_max")

    def __init__(self, size_max: int) -> None:
        """``size_max``: bytes of one message."""
        self.size_max = size_max
        # Frames that the last call of next took apart: pieces of a message, too.
        self.frames = 0
        self._buffer = b""
        self._at = 0  # up to here the buffer has been read
        # Of a message in several frames: TEXT or BINARY, and what has come of it.
        self._kind = CONTINUATION
        self._message: bytearray | None = None
        self._pieces = 0

    def __len__(self) -> int:
        """Bytes that wait to be taken apart."""
        return len(self._buffer) - self._at

    def add(self, data: bytes) -> None:
        """Take what came from the socket."""
        self._buffer = self._buffer[self._at :] + data if len(self) else data
        self._at = 0

    def next(self) -> tuple[int, bytes] | None:
        """The next message (TEXT, BINARY) or control frame; None if it is not all here.

        Raises :class:`aiohttp.WebSocketError` with the code to close with, for
        what breaks the protocol or is too long; nothing can be read after it.
        """
        self.frames = 0
        while (frame := self._frame()) is not None:
            self.frames += 1
            kind, is_last, body = frame
            if kind >= CLOSE:
                return kind, _checked(kind, body)
            if (kind == CONTINUATION) is (self._message is None):
                raise _broken("a continuation without a message, or a new message inside one")
            if kind != CONTINUATION:
                if is_last:  # nearly always
                    return kind, _checked(kind, body)
                self._kind, self._message, self._pieces = kind, bytearray(), 0
            assert self._message is not None
            self._message += body
            self._pieces += 1
            if is_last:
                body, self._message = bytes(self._message), None
                return self._kind, _checked(self._kind, body)
            if self._pieces >= PIECES_MAX:
                raise WebSocketError(
                    WSCloseCode.MESSAGE_TOO_BIG, f"a message in more than {PIECES_MAX} frames"
                )
        # What has been read is let go now: the rest of a frame may never come.
        self._buffer, self._at = self._buffer[self._at :], 0
        return None

    def _frame(self) -> tuple[int, bool, bytes] | None:
        buffer, at = self._buffer, self._at
        if len(buffer) < at + 2:
            return None
        first, second = buffer[at], buffer[at + 1]
        kind, size = first & 0x0F, second & 0x7F
        if first & 0x70 or kind not in _KINDS:
            raise _broken("reserved bits or a reserved opcode")
        if kind >= CLOSE and (size > _CONTROL_BYTES_MAX or not first & 0x80):
            raise _broken("a control frame that is too long, or in several frames")
        if not second & 0x80:
            raise _broken("a frame that is not masked")
        at += 2
        if size > _CONTROL_BYTES_MAX:
            end = at + (2 if size == 126 else 8)
            if len(buffer) < end:
                return None
            lengths = _LENGTHS[size]
            size = int.from_bytes(buffer[at:end], "big")
            if size not in lengths:
                raise _broken("a length that is not the shortest, or is 2^63 or more")
            at = end
        if kind < CLOSE and size + len(self._message or b"") > self.size_max:
            raise WebSocketError(
                WSCloseCode.MESSAGE_TOO_BIG, f"a message of more than {self.size_max} bytes"
            )
        start = at + 4
        if len(buffer) < start + size:
            return None
        end = start + size
        self._buffer, self._at = (buffer, end) if end < len(buffer) else (b"", 0)
        body = buffer[start:end]
        return kind, bool(first & 0x80), _unmasked(body, buffer[at:start])


def _unmasked(body: bytes, mask: bytes) -> bytes:
    """Section 5.3, as one number: some GB/s."""
    size = len(body)
    masks = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(body, "big") ^ int.from_bytes(masks, "big")).to_bytes(size, "big")


def _checked(kind: int, body: bytes) -> bytes:
    """Texts must be UTF-8, and close codes be some that may be sent (sections 5.6 and 7.4)."""
    if kind == CLOSE and body:
        code = int.from_bytes(body[:2], "big")
        if len(body) == 1 or (code not in _CODES and code not in _OWN_CODES):
            raise _broken("a close code that does not exist")
    if kind in (TEXT, CLOSE):
        try:
            (body[2:] if kind == CLOSE else body).decode()
        except UnicodeDecodeError:
            raise WebSocketError(WSCloseCode.INVALID_TEXT, "a text that is no UTF-8") from None
    return body


def _broken(what: str) -> WebSocketError:
    return WebSocketError(WSCloseCode.PROTOCOL_ERROR, what)
