"""What a client receives: updates, and events about them.

Must not know which wire they came by.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from tickfan_client.errors import Closed, ProtocolError, Refused

DONE = "done"


class Update(NamedTuple):
    """One value of one channel.

    ``ts`` is the publisher's time in ms since 1970 UTC. ``prev`` is the ``seq``
    before this one on a lossless channel (None: the first, or a conflated
    channel). ``type`` is the publisher's name for it, usually ``update``.
    ``is_snapshot``: this was the state before the live updates began.
    """

    channel: str
    seq: int
    ts: int
    data: Any
    prev: int | None = None
    type: str = "update"
    is_snapshot: bool = False


class Event(NamedTuple):
    """Anything but an update, with its fields.

    ``subscribed``, ``snapshot_end``, ``status``, ``gap``, ``reset``,
    ``heartbeat``, ``closing``, ``error``, and whatever the service adds later.
    """

    name: str
    body: dict[str, Any]


class Received(NamedTuple):
    """One item as a transport hands it over, and the cursor just after it."""

    item: Update | Event
    cursor: str | None = None


def as_object(value: Any) -> dict[str, Any]:
    """``value`` if it is a JSON object; raises :class:`ProtocolError`."""
    if not isinstance(value, dict):
        raise ProtocolError(f"an object was expected, not {str(value)[:80]!r}")
    return value


def checked(  # noqa: PLR0913 - the fields of an update, in their order
    channel: Any,
    seq: Any,
    ts: Any,
    data: Any,
    prev: Any = None,
    kind: Any = "update",
    *,
    is_snapshot: bool = False,
) -> Update:
    """An update whose fields have the types they should; raises :class:`ProtocolError`."""
    if (
        type(channel) is str
        and type(seq) is int
        and type(ts) is int
        and (prev is None or type(prev) is int)
        and type(kind) is str
    ):
        return Update(channel, seq, ts, data, prev, kind, is_snapshot)
    raise ProtocolError(f"an update of the wrong types: {str((channel, seq, ts, prev, kind))[:80]}")


def update_of(body: dict[str, Any], kind: str | None = None) -> Update:
    """An update from its JSON object; raises :class:`ProtocolError`."""
    try:
        return checked(
            body["channel"],
            body["seq"],
            body["ts"],
            body["data"],
            body.get("prev"),
            kind or body.get("type", "update"),
            is_snapshot=body.get("snapshot") is True,
        )
    except KeyError as error:
        raise ProtocolError(f"an update without {error}: {str(body)[:80]!r}") from None


def refused_of(body: dict[str, Any], status: int | None = None) -> Refused:
    """The refusal that an ``error`` body tells; ``status`` is that of its HTTP answer."""
    return Refused(
        str(body.get("code", "unknown")), str(body.get("message", "")), body.get("item"), status
    )


def closed_of(body: dict[str, Any]) -> Closed:
    """The end that a ``closing`` body tells."""
    return Closed(
        str(body.get("reason", "unknown")),
        int(body.get("code", 0)),
        str(body.get("message", "")),
        body.get("retry_ms"),
    )
