"""What a subscriber needs of the two that it stands between: its socket, and its audience.

Must not know either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from tickfan.core.bounded import BoundedQueue
    from tickfan.core.cursor import Trail
    from tickfan.core.feed import Channel, Feed
    from tickfan.core.update import Update


class Pipe(Protocol):
    """What a subscriber needs of its transport. A lost one raises :class:`OSError`."""

    @property
    def send(self) -> Callable[[bytes], int]:
        """Hands over what the kernel takes now, and returns how many bytes that is.

        Raises :class:`BlockingIOError` if that is none, or something waits before it.
        """

    def write(self, data: bytes) -> None:
        """Hand over all of it, without waiting."""

    def get_write_buffer_size(self) -> int:
        """Bytes handed over that the kernel has not taken."""

    def received_bytes(self) -> int:
        """Bytes that the client's machine has acknowledged."""


class Lossless(Protocol):
    """What a subscriber needs of its lossless audience."""

    pending: list[Update]
    channels: set[Channel]
    feeds: tuple[Feed, ...]

    def reached(self) -> Trail:
        """The places that its members on the shared path have reached."""

    def queue(self) -> BoundedQueue[Update]:
        """An empty queue for a member that falls behind, with the bounds of its feeds."""
