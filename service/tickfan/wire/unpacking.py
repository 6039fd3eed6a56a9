"""MessagePack to a value, at a cost in proportion to its bytes, whatever they are.

Must not know which values are refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgpack

from tickfan.core.errors import Poison

if TYPE_CHECKING:
    from collections.abc import Sequence


def unpack(body: bytes) -> Any:
    """The value. A map with a key that is no text has that key alone, to be refused by name.

    Raises :class:`Poison` (``bad_msgpack``).
    """
    try:
        # A container is made as long as its header says before an element is read: nested
        # false headers would cost tens of milliseconds. A skip makes nothing, so it refuses
        # for free a body that ends too early.
        unpacker = msgpack.Unpacker(max_buffer_size=len(body))
        unpacker.feed(body)
        unpacker.skip()
        try:
            return msgpack.unpackb(body)
        except ValueError:  # for such a key, or for what it raises once more
            return msgpack.unpackb(body, strict_map_key=False, object_pairs_hook=_map)
    except (ValueError, TypeError, msgpack.UnpackException, RecursionError) as error:
        raise Poison("bad_msgpack", f"{type(error).__name__}: {error}") from None


def _map(pairs: Sequence[tuple[Any, Any]]) -> dict[Any, Any]:
    """No dict is made of other keys than texts: only the hashes of texts cannot be foreseen.

    A megabyte of timestamps that all have one hash would hold the loop for minutes.
    """
    for key, _ in pairs:
        if type(key) is not str:
            return {key: None}
    return dict(pairs)
