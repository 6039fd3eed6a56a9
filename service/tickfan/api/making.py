"""Makes a large answer in small steps, so that it never holds the loop.

Its parts are joined to pieces, and compressed for who takes that, while they come. So one
copy of the answer is held, and the budget of answers knows of each piece when it is made. Must
not know what the parts say.
"""

from __future__ import annotations

import zlib
from collections import deque
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import hdrs

from tickfan.api.compression import COMPRESS_BYTES, takes_gzip
from tickfan.api.context import CONTEXT
from tickfan.transports.answers import PENDING, in_pieces
from tickfan.transports.pace import PAYER

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from aiohttp import web

    from tickfan.transports.answers import Pending, Pieces

PIECE_BYTES = 64 * 1024
"""From this size on parts become a piece, which is one write."""

PACKED_AT_ONCE = 16 * 1024
"""Bytes that are compressed in one step: it takes 0.5 ms."""

GZIP = zlib.MAX_WBITS + 16
"""What zlib calls a header and a trailer of gzip."""


async def made(request: web.Request, parts: Iterator[bytes], content_type: str) -> Pieces:
    """The answer of these parts; an empty one is a pause on the way to the next.

    Raises what ``parts`` raises, and :class:`Refusal` if the answer is too large:
    see :meth:`.answers.Pending.charge`.
    """
    pending = request[PENDING]
    pieces: deque[bytes] = deque()
    is_packed = takes_gzip(request.headers.get(hdrs.ACCEPT_ENCODING, ""))
    packer = Packer(pieces, pending, is_wanted=is_packed)
    await request.app[CONTEXT].background.run(packer.steps(parts), request.get(PAYER))
    response = in_pieces(pieces, pending)
    response.headers.update(
        {
            hdrs.CONTENT_TYPE: content_type,
            hdrs.CACHE_CONTROL: "no-store",
            hdrs.VARY: hdrs.ACCEPT_ENCODING,
        }
    )
    if packer.has_packed:
        response.headers[hdrs.CONTENT_ENCODING] = "gzip"
    return response


def json_list(
    before: dict[str, Any], name: str, items: Iterable[bytes], after: dict[str, Any]
) -> Iterator[bytes]:
    """The parts of a JSON object: the fields before, a list of encoded items, the fields after.

    An item may be several, joined by commas. With a line end, for terminals.
    """
    yield orjson.dumps({**before, name: []})[:-2]
    comma = b""
    for item in items:
        if item:
            yield comma + item
            comma = b","
        else:
            yield b""
    yield b"]}\n" if not after else b"]," + orjson.dumps(after)[1:] + b"\n"


class Packer:
    """Makes pieces of parts, compressed if that is wanted and worth it."""

    def __init__(self, pieces: deque[bytes], pending: Pending, *, is_wanted: bool) -> None:
        self._pieces = pieces
        self._pending = pending
        self._is_wanted = is_wanted
        self._zipper = zlib.compressobj(wbits=GZIP)
        self.has_packed = False

    def steps(self, parts: Iterable[bytes]) -> Iterator[None]:
        """Take all parts, with pauses."""
        waiting: list[bytes] = []
        size = 0
        for part in parts:
            if part:
                waiting.append(part)
                size += len(part)
                if size >= PIECE_BYTES:
                    yield from self._take(b"".join(waiting))
                    waiting.clear()
                    size = 0
            yield
        rest = b"".join(waiting)
        self._is_wanted = self.has_packed or (self._is_wanted and size >= COMPRESS_BYTES)
        yield from self._take(rest)
        if self.has_packed:
            self._add(self._zipper.flush())

    def _take(self, data: bytes) -> Iterator[None]:
        if not self._is_wanted:
            self._add(data)
            return
        self.has_packed = True
        view = memoryview(data)
        for at in range(0, len(view), PACKED_AT_ONCE):
            self._add(self._zipper.compress(view[at : at + PACKED_AT_ONCE]))
            yield

    def _add(self, piece: bytes) -> None:
        if piece:
            self._pending.charge(len(piece))
            self._pieces.append(piece)
