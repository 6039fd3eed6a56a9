"""An update as a JSON object, which SSE and NDJSON share; and JSON that is kept.

Must not know lines, events or cursors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from tickfan.wire import events

if TYPE_CHECKING:
    from tickfan.core.update import Update
    from tickfan.wire.base import Encodings


def encode_object(update: Update, encodings: Encodings) -> bytes:
    """Encode and keep the update's JSON object.

    Callers look at ``update.as_json_object`` first, so that this call is made
    once an update.
    """
    encodings.json_objects += 1
    update.as_json_object = encoded = dumps_to_keep(events.update(update))
    return encoded


def dumps_to_keep(value: Any) -> bytes:
    """The JSON of a value, in no more memory than it needs.

    orjson does not give back the rest of the buffer that it wrote to: 4 KiB and more (seen
    with 3.13). A history of small updates would be thirty times its size. A join copies
    the bytes, which takes 0.1 us.
    """
    return b"".join((orjson.dumps(value), b""))
