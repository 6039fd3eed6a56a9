"""What a transport puts around a body: HTTP chunks and WebSocket frames.

A frame is built once for a whole audience, so these are plain functions over bytes. Must
not know what is in a body.
"""

from __future__ import annotations

from struct import Struct

_FRAME_16 = Struct("!BBH").pack
_FRAME_64 = Struct("!BBQ").pack

TEXT = 0x1
BINARY = 0x2
PING_FRAME = b"\x89\x00"


def chunk(body: bytes) -> bytes:
    """One chunk of a chunked body (RFC 9112, section 7.1); an empty one would end it."""
    return b"%x\r\n%b\r\n" % (len(body), body)


def plain(body: bytes) -> bytes:
    """A body that ends with the connection (HTTP/1.0 knows no chunks)."""
    return body


def text_frame(body: bytes) -> bytes:
    """An unmasked, final text frame (RFC 6455, section 5.2)."""
    return _frame(0x80 | TEXT, body)


def binary_frame(body: bytes) -> bytes:
    """An unmasked, final binary frame (RFC 6455, section 5.2)."""
    return _frame(0x80 | BINARY, body)


def _frame(first: int, body: bytes) -> bytes:
    size = len(body)
    if size < 126:
        return bytes((first, size)) + body
    if size < 65536:
        return _FRAME_16(first, 126, size) + body
    return _FRAME_64(first, 127, size) + body
