"""What publishers send, right and wrong: the same over AMQP and over REST.

Must not know how it is sent.
"""

from __future__ import annotations

import gzip
from typing import Any, NamedTuple

import msgpack

MS = 1_763_596_800_123


class Sent(NamedTuple):
    """A body with what goes with it, and what is said of it: its data, or why it is refused."""

    body: bytes
    content_type: str | None = "application/json"
    type: str | None = None
    ts: str | None = None
    data: Any = None
    why: str | None = None
    ts_ms: int | None = None


_GOOD = b'{"price": "1.5"}'
_READ = {"price": "1.5"}
_PACKED = msgpack.packb(_READ)


def _refused(why: str, body: bytes, content_type: str | None = "application/json") -> Sent:
    return Sent(body, content_type, why=why)


SENT = [
    # Content types: JSON's, MessagePack's, others.
    *(Sent(_GOOD, kind, data=_READ) for kind in (
        None, "", "application/json", "Application/JSON; charset=utf-8", "text/json",
        "text/plain", "text/plain; charset=iso-8859-1", "application/octet-stream",
        "application/vnd.acme.trade+json", "application/json; charset=utf-16",
    )),
    *(Sent(_PACKED, kind, data=_READ) for kind in (
        "application/msgpack", "application/x-msgpack", "application/vnd.msgpack; v=1",
    )),
    *(_refused("bad_content_type", _GOOD, kind) for kind in (
        "application/x-www-form-urlencoded", "application/xml", "text/csv", "json", "text",
        "application/cbor", "multipart/form-data; boundary=x", "+json+x", ";",
    )),
    # Text that is JSON, and text that is not.
    Sent(b"67123.5", "text/plain", data=67123.5),
    Sent(b"null", "text/plain", data=None),
    Sent(b"\xef\xbb\xbf" + _GOOD, "text/plain", data=_READ),
    *(_refused("bad_json", body, "text/plain") for body in (
        b"", b"AAPL", b"1,5", b"1.5 1.6", b"NaN", b"-Infinity", b"{'price': 1}", b"{",
        _GOOD.decode().encode("utf-16"), _GOOD.decode().encode("utf-16-le"),
        _GOOD.decode().encode("utf-16-be"), b'"gr\xfc\xdfe"', gzip.compress(_GOOD, mtime=0),
        b"\xef\xbb\xbf\xef\xbb\xbf1", b'"\\ud800"', _PACKED,
    )),
    _refused("bad_json", _GOOD.decode().encode("utf-16"), "application/json; charset=utf-16"),
    _refused("bad_msgpack", _GOOD, "application/msgpack"),
    # Values that not every decoder keeps.
    _refused("bad_number", b"9007199254740993"),
    _refused("bad_number", b"123456789.123456789"),
    _refused("bad_number", msgpack.packb(float("nan")), "application/msgpack"),
    _refused("bad_value", msgpack.packb(b"x"), "application/msgpack"),
    _refused("bad_value", msgpack.packb(msgpack.Timestamp(1, 0)), "application/msgpack"),
    _refused("bad_key", b'{"__proto__": 1}'),
    _refused("bad_key", msgpack.packb({1: 1}), "application/msgpack"),
    _refused("too_deep", b"[" * 65 + b"]" * 65),
    # Types and times.
    Sent(b"1", type="", data=1),
    Sent(b"1", type="done", data=1),
    Sent(b"1", type="snapshot", data=1),
    Sent(b"1", type="closing", why="bad_type"),
    Sent(b"1", type="Bad", why="bad_type"),
    *(Sent(b"1", ts=ts, data=1, ts_ms=MS) for ts in (
        str(MS), f"{MS}000", f" {MS} ", "1763596800.123", "2025-11-20T00:00:00.123Z",
        "2025-11-20T01:00:00.123+01:00",
    )),
    Sent(b"1", ts="0", data=1),
    *(Sent(b"1", ts=ts, why="bad_ts") for ts in (
        "", "yesterday", "20251120", "-5", "NaN", "2025-11-20T00:00:00",
    )),
]  # fmt: skip
