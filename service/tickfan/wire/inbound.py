"""A broker message's body to the updates in it, or a named refusal.

All that leaves here can be said exactly in JSON and in MessagePack. So no batch of many
updates can fail later because of one of them. Must not know which broker a message came
from, nor what becomes of it.
"""

from __future__ import annotations

import json
import math
import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from typing import TYPE_CHECKING, Any, NamedTuple

import msgpack
import orjson

from tickfan.core.errors import Poison
from tickfan.core.pattern import ALLOWED, is_channel_name
from tickfan.core.times import MS_MAX, SECONDS_MAX, as_ms
from tickfan.core.update import MESSAGE_UPDATES_MAX, SNAPSHOT, UPDATE
from tickfan.wire.unpacking import unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Sequence

    Check = Callable[["Any", int], None]
    Loaded = tuple["Any", Check | None]
    """A body's value, and what there is still to check of the data in it."""
    Load = Callable[[bytes], Loaded]

DEPTH_MAX = 64
INTEGER_MAX = 2**53
"""Beyond it JavaScript's numbers (IEEE 754 doubles) have holes."""

RESERVED_TYPES = frozenset({
    "authenticated", "closing", "error", "gap", "heartbeat", "message", "open", "pong", "reset",
    "snapshot_end", "status", "subscribed", "unsubscribed", "updates", "welcome",
})  # fmt: skip
"""Our own event names, and those that EventSource uses itself."""

_TYPE = re.compile(r"[a-z0-9_]{1,32}")
DIGITS_MAX = 17
"""No double is told from its neighbours by more significant digits (IEEE 754)."""
FLOAT_CHARS_MAX = 40
"""A longer text with more digits than that is not even taken for a time."""

PROTO = "__proto__"
"""A key that JavaScript has for itself.

@msgpack/msgpack 3 decodes no message that has it, msgpackr renames it, and others lose it.
"""
_PROTO, _ESCAPED = PROTO.encode(), b"\\u00"  # each of its characters may be escaped, too

# What may need a closer look, in classes: a digit or a point becomes 0, a bracket [, an
# underscore or a backslash _, and all else a space. A plain search then finds a run of
# digits, ten times as fast as a regular expression.
_CLASSES = bytes.maketrans(b"123456789.{\\", b"0000000000[_").translate(
    bytes(byte if byte in b"0[_" else 32 for byte in range(256))
)
_DIGITS = bytes(48 if chr(byte) in "0123456789" else 32 for byte in range(256))
_LONG_INTEGER = b"0" * 16
_LONG_FLOAT = b"0" * (DIGITS_MAX + 2)  # one digit too many, and the point


class LongFloat(float):
    """A number of more digits than a double keeps: no value of ours, but it may be a time."""


def _double(text: str) -> float:
    """A number with a point or an exponent. To read a megabyte of digits would take too long."""
    if len(text) > DIGITS_MAX:
        mantissa = text.lower().partition("e")[0].replace(".", "")
        if len(mantissa.lstrip("-0").rstrip("0")) > DIGITS_MAX:
            return LongFloat(text if len(text) <= FLOAT_CHARS_MAX else "nan")
    return float(text)


# 20 characters tell an integer beyond 2^53 from others, are cheap to convert however long the
# text is, and hold all of a time in nanoseconds.
_EXACT = json.JSONDecoder(parse_int=lambda digits: int(digits[:20]), parse_float=_double)
_PLAIN = frozenset(("identity", "utf-8", "utf8", "us-ascii", "8bit", "binary"))
"""What some publishers say of a body that is not encoded at all."""
_CONTAINERS = frozenset((dict, list))

ALIKE = 4
"""An entry of a batch may be so many times as long as the mean, and still count as the others."""


class Item(NamedTuple):
    """One update as it was published. ``ts`` in ms since 1970 UTC, if given."""

    channel: str
    data: Any
    ts: int | None


def decode(  # noqa: PLR0913 - the parts of a message
    routing_key: str,
    body: bytes,
    content_type: str | None,
    *,
    batch: bool,
    known: Container[str] = (),
    encoding: str | None = None,
) -> Sequence[Item | Poison]:
    """The updates in one message, in order. Channels that are ``known`` have good names.

    A body is never unpacked: ``encoding``, as its publisher calls it, helps to say what is
    wrong.

    A batch of which only some parts are bad yields the good ones, and a
    :class:`Poison` in the place of each bad one. Raises :class:`Poison` when
    nothing of the message can be used.
    """
    try:
        value, check = _loader(content_type)(body)
    except Poison as poison:
        raise Poison(poison.reason, poison.detail + _hint(body, encoding)) from None
    if not batch:
        if routing_key not in known and not is_channel_name(routing_key):
            raise Poison("bad_channel", f"the routing key is not {ALLOWED}", routing_key[:160])
        if check is not None:
            check(value, DEPTH_MAX)
        return (Item(routing_key, value, None),)
    if not isinstance(value, list):
        raise Poison("bad_batch", "the header batch is true, and the body is not an array")
    if len(value) > MESSAGE_UPDATES_MAX:
        raise Poison(
            "bad_batch",
            f"{len(value)} updates in one message; at most {MESSAGE_UPDATES_MAX} are allowed",
        )
    return [_item(entry, check, known) for entry in value]


def weigh(text: bytes) -> int:
    """What values count for on a wire, in bytes, by their JSON: as much as MessagePack takes.

    A float of three characters has nine bytes there. A text has at most one value more
    than it has commas.
    """
    return len(text) + 6 * text.count(b",") + 6


def footprint(text: bytes) -> int:
    """What values count for in memory, in bytes, by their JSON, with their encodings.

    The text counts once as values (in CPython up to four bytes a character if it is not
    ASCII), and once in each of three encodings. CPython's own objects come on top: 50 and
    more bytes for each text and number, and more for a list or a dict. Order books take
    ten times their text.
    """
    return _footprint(text, text.count(b","), text.count(b"["), text.count(b"{"))


def _footprint(text: bytes, commas: int, lists: int, dicts: int) -> int:
    return (4 if text.isascii() else 7) * len(text) + 64 * commas + 72 * lists + 168 * dicts


def measures(body: bytes, items: Sequence[Item | Poison]) -> Sequence[tuple[int, int]]:
    """What each entry of a batch counts for on a wire and in memory, in their order."""
    if alike := _if_alike(body, len(items)):
        return (alike,) * len(items)
    texts = [orjson.dumps(item.data) if isinstance(item, Item) else b"" for item in items]
    return [(weigh(text), footprint(text)) for text in texts]


def _if_alike(body: bytes, entries: int) -> tuple[int, int] | None:
    """What each entry counts for, if they are JSON, flat, and of about one length.

    This takes a third of the time of a look at each. It says nothing where a large entry's
    bytes could hide in the mean of many small ones.
    """
    commas, lists, dicts = body.count(b","), body.count(b"["), body.count(b"{")
    parts = body.split(b'"channel"')
    if (
        not entries
        or not body.startswith(b"[")  # MessagePack does not begin so
        or lists != 1
        or not entries <= dicts <= 2 * entries
        or len(parts) != entries + 1
        or max(map(len, parts)) * entries > ALIKE * len(body)
    ):
        return None
    # What an entry has around its data is not kept: two commas and a dict.
    held = _footprint(body, commas - 2 * entries, 0, dicts - entries)
    return (len(body) + 6 * commas + 6) // entries, held // entries


def is_messagepack(content_type: str | None) -> bool:
    """Whether a body is MessagePack. Raises :class:`Poison` (``bad_content_type``)."""
    return _loader(content_type) is _load_msgpack


def check_type(type_: str | None) -> str:
    """The update's type from the AMQP property ``type``.

    Raises :class:`Poison` (``bad_type``).
    """
    if type_ is None or type_ == UPDATE:
        return UPDATE
    if type_ == SNAPSHOT:
        return SNAPSHOT
    if _TYPE.fullmatch(type_) is None or type_ in RESERVED_TYPES:
        raise Poison(
            "bad_type",
            f"type {type_[:64]!r} is reserved, or does not match [a-z0-9_]{{1,32}}",
        )
    return type_


def _item(entry: Any, check: Check | None, known: Container[str]) -> Item | Poison:
    if not isinstance(entry, dict) or "channel" not in entry or "data" not in entry:
        return Poison("bad_batch", "an entry is not an object with channel and data")
    channel, data, ts = entry["channel"], entry["data"], entry.get("ts")
    if not isinstance(channel, str):
        return Poison("bad_channel", "a channel in a batch is not a string")
    if channel not in known and not is_channel_name(channel):
        return Poison("bad_channel", f"a channel in a batch is not {ALLOWED}", channel[:160])
    try:
        if ts is not None and (type(ts) is not int or not SECONDS_MAX < ts <= MS_MAX):
            ts = as_ms(ts.to_unix() if type(ts) is msgpack.Timestamp else ts)
        if check is not None:
            check(data, DEPTH_MAX)
    except Poison as poison:
        return Poison(poison.reason, poison.detail, channel)
    return Item(channel, data, ts)


def _loader(content_type: str | None) -> Load:
    """What decodes a body of this content type, whatever its parameters."""
    load = _LOADERS.get(content_type)  # nearly always
    if load is None:
        kind = (content_type or "").partition(";")[0].strip().lower()
        load = _LOADERS.get(kind) if kind else None
        if load is None and kind.endswith("+json"):  # RFC 6839, section 3.1
            load = _load_json
    if load is None:
        raise Poison(
            "bad_content_type",
            f"{content_type!r:.80} is neither JSON nor MessagePack: send application/json or "
            "application/msgpack",
        )
    return load


def _hint(body: bytes, encoding: str | None) -> str:
    """What may be wrong with a body that cannot be decoded, and what to send instead."""
    if encoding and encoding.lower() not in _PLAIN:
        return f"; content_encoding is {encoding[:40]!r}: send the body without it, in UTF-8"
    if body.startswith(b"\x1f\x8b"):
        return "; it looks like gzip: send the body uncompressed"
    if b"\0" in body[:2] or body.startswith((BOM_UTF16_BE, BOM_UTF16_LE)):
        return "; it looks like UTF-16: send UTF-8"
    return ""


def _load_json(body: bytes) -> Loaded:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        # .NET writes it, and RFC 8259, section 8.1, lets a parser skip it. One, not many.
        if body.startswith(BOM_UTF8) and not body.startswith(BOM_UTF8 * 2):
            return _load_json(body[len(BOM_UTF8) :])
        raise Poison("bad_json", str(error)) from None
    # The parser guarantees string keys and finite numbers. All else is walked for only when
    # the text can hold it: some scans in C instead of a walk in Python for nearly every
    # message. (A find takes half of the time of an "in".)
    classes = body.translate(_CLASSES)
    if classes.find(_LONG_INTEGER) >= 0 and (
        classes.find(_LONG_FLOAT) >= 0 or body.translate(_DIGITS).find(_LONG_INTEGER) >= 0
    ):
        # orjson rounds integers beyond 64 bits to floats, which no walk can
        # tell from a float that was written as one: read again, exactly.
        try:
            return _EXACT.decode(body.decode()), _check
        except RecursionError:
            raise Poison("too_deep", f"nested more than {DEPTH_MAX} levels deep") from None
    if classes.find(b"_") >= 0 and (body.find(_PROTO) >= 0 or body.find(_ESCAPED) >= 0):
        return value, _check
    return value, None if classes.count(b"[") <= DEPTH_MAX else _check_depth


def _load_msgpack(body: bytes) -> Loaded:
    return unpack(body), _check


def _check_depth(value: Any, depth: int) -> None:
    """Raise :class:`Poison` for what is nested deeper than ``depth``."""
    if type(value) is dict:
        value = value.values()
    elif type(value) is not list:
        return
    if depth == 0:
        raise Poison("too_deep", f"nested more than {DEPTH_MAX} levels deep")
    if not _CONTAINERS.isdisjoint(map(type, value)):  # in C; nearly always they are
        for entry in value:
            _check_depth(entry, depth - 1)


def _check(value: Any, depth: int) -> None:  # noqa: C901, PLR0912 - one case a type
    """Raise :class:`Poison` for what JSON and MessagePack do not share."""
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return
    if kind is int or kind is LongFloat:
        if kind is LongFloat or not -INTEGER_MAX <= value <= INTEGER_MAX:
            raise Poison(
                "bad_number",
                f"an integer beyond 2^53, or a number of more than {DIGITS_MAX} digits, which no "
                "double keeps: send it as a string",
            )
    elif kind is float:
        if not math.isfinite(value):
            raise Poison("bad_number", "NaN or infinity, which JSON does not have")
    elif depth == 0:
        raise Poison("too_deep", f"nested more than {DEPTH_MAX} levels deep")
    elif kind is list:
        for entry in value:
            _check(entry, depth - 1)
    elif kind is dict:
        if PROTO in value:
            raise Poison("bad_key", f"the key {PROTO}, which JavaScript uses itself: rename it")
        for key, entry in value.items():
            if type(key) is not str:
                raise Poison("bad_key", f"a key of type {type(key).__name__}; keys are strings")
            _check(entry, depth - 1)
    else:
        what, instead = _FOREIGN[kind]
        raise Poison("bad_value", f"MessagePack's {what}, which JSON does not have: send {instead}")


_FOREIGN = {
    bytes: ("binary", "text, such as base64"),
    msgpack.Timestamp: ("timestamp", "a number of ms, or a text"),
    msgpack.ExtType: ("extension", "text or numbers"),
}
_LOADERS: dict[str | None, Load] = {
    **dict.fromkeys((None, "", "application/json", "text/json", "text/plain"), _load_json),
    "application/octet-stream": _load_json,
    **dict.fromkeys(
        ("application/msgpack", "application/x-msgpack", "application/vnd.msgpack"), _load_msgpack
    ),
}
