"""What a WebSocket client may send: decodes it within limits, checks it, names what is wrong.

Must not know the connection that it came from.
"""

from __future__ import annotations

from typing import Any

import msgpack
import orjson

from tickfan.core.errors import Refusal
from tickfan.core.pattern import Pattern
from tickfan.session.grants import REQUEST_FIELDS
from tickfan.transports.requests import check_names
from tickfan.wire.formats import JSON_V1

OPS = {
    "subscribe": ("op", "id", *(name for name in REQUEST_FIELDS if name != "until")),
    "unsubscribe": ("op", "id", "channels"),
    "ping": ("op", "id"),
    "auth": ("op", "id", "token"),
}
ID_CHARS_MAX = 64
_ARRAY_MAX = 4096
_ARRAYS_MAX = 8
"""Long arrays in one command; a good command needs one.

Each header is given the memory for ``_ARRAY_MAX`` entries before they are read: 3 KB of
nested headers took 33 MB and 7 ms."""
_MAP_MAX = 16


def decode_msgpack(data: bytes) -> Any:
    """One command in MessagePack. Raises :class:`Refusal` (``bad_message``).

    The limits stop a few bytes of headers from asking for megabytes.
    """
    # Array 16 and array 32 of the MessagePack specification.
    if data.count(b"\xdc") + data.count(b"\xdd") > _ARRAYS_MAX:
        raise Refusal("bad_message", f"more than {_ARRAYS_MAX} long arrays in one command")
    try:
        return msgpack.unpackb(
            data, strict_map_key=True, max_array_len=_ARRAY_MAX, max_map_len=_MAP_MAX,
            max_ext_len=0, max_bin_len=0, max_str_len=len(data),
        )  # fmt: skip
    except (ValueError, TypeError, msgpack.UnpackException, RecursionError) as error:
        why = f"not MessagePack: {type(error).__name__}: {error}"
        if data.lstrip()[:1] in (b"{", b"["):
            why = f"this is JSON, not MessagePack; to send JSON ask for the subprotocol {JSON_V1}"
        raise Refusal("bad_message", why) from None


def decode_json(data: str | bytes) -> Any:
    """One command in JSON (UTF-8). Raises :class:`Refusal` (``bad_message``)."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise Refusal("bad_message", f"not JSON: {error}") from None


def command_id(message: Any) -> str | int | None:
    """The client's own id of a command, given back in the answer."""
    value = message.get("id") if isinstance(message, dict) else None
    if isinstance(value, str) and len(value) <= ID_CHARS_MAX:
        return value
    return value if type(value) is int and -(2**53) <= value <= 2**53 else None


def check_command(message: Any) -> str:
    """The op of a well-formed command. Raises :class:`Refusal` that names what is not."""
    if not isinstance(message, dict):
        raise Refusal(
            "bad_message", 'a command is a map, as in {"op": "subscribe", "channels": ["quotes.#"]}'
        )
    op = message.get("op")
    if not isinstance(op, str) or op not in OPS:
        raise Refusal("unknown_op", f"op must be one of {', '.join(OPS)}, not {op!r:.60}", "op")
    check_names({str(name): value for name, value in message.items()}, OPS[op])
    if message.get("id") is not None and command_id(message) is None:
        raise Refusal(
            "bad_field", f"id must be a whole number or at most {ID_CHARS_MAX} characters", "id"
        )
    return op


def patterns_of(message: dict[str, Any]) -> list[Pattern]:
    """The patterns of an ``unsubscribe``. Raises :class:`Refusal`."""
    channels = message.get("channels")
    if not isinstance(channels, list) or not all(isinstance(entry, str) for entry in channels):
        raise Refusal(
            "bad_field", "channels must be a list of channel names or patterns", "channels"
        )
    return [Pattern(text) for text in channels]


def token_of(message: dict[str, Any]) -> str:
    """The token of an ``auth``. Raises :class:`Refusal`, which does not repeat it."""
    token = message.get("token")
    if not isinstance(token, str) or not token:
        raise Refusal("bad_field", "token must be a text, without Bearer before it", "token")
    return token
