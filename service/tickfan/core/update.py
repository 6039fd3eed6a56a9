"""One update, as it travels from the hub to the wires.

Must not know how it is encoded. The wires leave their bytes here, so that each encoding
is made at most once; only the wires read them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tickfan.core.cursor import place

if TYPE_CHECKING:
    from tickfan.core.feed import Channel

UPDATE = "update"
SNAPSHOT = "snapshot"
GAP = "gap"

MESSAGE_UPDATES_MAX = 1024
"""Updates in one broker message: ``seq`` = offset x 1024 + place in the message."""


class Update:
    """One value for one channel.

    ``seq`` orders the channel. On a lossless feed it is made from the stream's
    offset, the same on every replica, with holes; on a conflated feed it
    counts the updates received since the process began. ``ts`` is the
    publisher's time in milliseconds since 1970 UTC. ``prev`` is the ``seq``
    before this one on a lossless channel (None: none since history began).
    In bytes, ``size`` is what the update counts for where it waits to be sent,
    and ``held`` what its data takes in memory where it is kept.

    ``fingerprint`` is that of its message (None on a conflated feed).
    """

    __slots__ = (
        "_place",
        "as_json_object",
        "as_json_row",
        "as_msgpack_row",
        "channel",
        "data",
        "fingerprint",
        "held",
        "prev",
        "seq",
        "size",
        "ts",
        "type",
    )

    def __init__(  # noqa: PLR0913 - a record
        self,
        channel: Channel,
        seq: int,
        ts: int,
        data: Any,
        type: str = UPDATE,  # noqa: A002 - the protocol's word
        prev: int | None = None,
        fingerprint: str | None = None,
        size: int = 0,
        held: int = 0,
    ) -> None:
        self.channel = channel
        self.seq = seq
        self.ts = ts
        self.data = data
        self.type = type
        self.prev = prev
        self.fingerprint = fingerprint
        self.size = size
        self.held = held
        # Encoded forms, each filled by its own wire module on first need.
        self.as_json_object: bytes | None = None
        self.as_json_row: bytes | None = None
        self.as_msgpack_row: bytes | None = None
        self._place: str | None = None

    def __repr__(self) -> str:
        return f"<Update {self.channel.name} {self.seq}>"

    @property
    def place(self) -> str | None:
        """The feed's part of a cursor just after this update; None on a conflated feed.

        Made when it is asked for: of a batch only the last one's is.
        """
        if self._place is None and self.fingerprint is not None:
            self._place = place(self.channel.feed.name, self.seq, self.fingerprint)
        return self._place

    @property
    def is_gap(self) -> bool:
        """Whether this stands for a message that could not be delivered.

        A gap takes its place in the chain (``seq``, ``prev``), so that a
        reader who missed even the gap sees a broken chain; ``data`` is its
        reason.
        """
        return self.type == GAP
