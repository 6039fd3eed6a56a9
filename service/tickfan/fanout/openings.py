"""The subscriptions of one client that wait for their answers and their snapshots.

However often a channel is subscribed, it is marked once. Its mark says which of the
openings it is still due in, and it stands in the first of them. When it has been sent
there, it goes to the next. So a client that does not read costs one mark a channel, and
each of its subscriptions a small constant.

Must not know how an opening is written, nor when.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from tickfan.core.feed import Channel
    from tickfan.core.update import Update

OPENINGS_MAX = 64
"""Subscriptions of one slow client that may wait for their snapshots."""


class Opening:
    """What one granted subscription is owed before anything live.

    The ``head`` comes first: the answer, and behind it a ``reset`` for each of ``resets``,
    which are its fields. Then come the snapshots, then ``snapshot_end``, whose fields
    ``end`` are. An event that must follow the head, and not wait for the snapshots, is
    appended to the head while the opening waits.

    ``channels`` are the conflated channels whose newest value is sent next. ``states`` are
    the last full states of lossless channels, each with every update since
    (``has_states``: there were some).
    """

    __slots__ = ("channels", "end", "has_states", "head", "place", "resets", "states")

    def __init__(
        self,
        head: list[bytes],
        end: Mapping[str, Any],
        states: Iterable[Update] = (),
        resets: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self.head = head
        self.end = end
        self.resets = resets
        self.channels: deque[Channel] = deque()
        # References to what the feed holds, one for each update. A channel's state waits in
        # one opening at most: of a channel that is read already no other is sent.
        self.states = deque(states)
        self.has_states = bool(self.states)
        self.place = 0  # its bit in the marks


class Openings(list[Opening]):
    """Those of one client, in their order; the first is being sent."""

    __slots__ = ("_due",)

    def __init__(self) -> None:
        super().__init__()
        # Each conflated channel that is due, with the openings that it is due in: a bit for
        # each place. Places go round, and the openings that wait have one after the other.
        self._due: dict[Channel, int] = {}

    @property
    def marks(self) -> int:
        """How many conflated channels are due."""
        return len(self._due)

    def add(self, opening: Opening, channels: Collection[Channel]) -> None:
        """Add an opening behind the others, with the ``channels`` of its snapshot.

        At most OPENINGS_MAX may wait.
        """
        opening.place = (self[-1].place + 1) % OPENINGS_MAX if self else 0
        self.append(opening)
        due, bit = self._due, 1 << opening.place
        if not due:  # nearly always: only one waits
            self._due = dict.fromkeys(channels, bit)
            opening.channels.extend(channels)
            return
        for channel in channels:
            mark = due.get(channel, 0)
            if not mark:
                opening.channels.append(channel)
            due[channel] = mark | bit

    def next(self, size_most: int) -> list[Update]:
        """The next updates of the first opening's snapshots, up to about ``size_most`` bytes.

        First the newest values, then the full states; none: all have been sent.
        """
        opening = self[0]
        updates: list[Update] = []
        channels, due, bit = opening.channels, self._due, 1 << opening.place
        while size_most > 0 and channels:
            channel = channels.popleft()
            mark = due.pop(channel) ^ bit
            if mark:
                due[channel] = mark
                self[_steps(mark, opening.place)].channels.append(channel)
            latest = channel.latest
            if latest is not None:
                updates.append(latest)
                size_most -= latest.size
        if updates:
            return updates
        states = opening.states
        while size_most > 0 and states:
            update = states.popleft()
            updates.append(update)
            size_most -= update.size
        return updates

    def retain(self, keep: Callable[[Channel], bool]) -> None:
        """Forget what waits of all other channels."""
        due = self._due
        gone = [channel for channel in due if not keep(channel)]
        for channel in gone:
            del due[channel]
        for opening in self:
            if gone and opening.channels:
                opening.channels = deque([one for one in opening.channels if one in due])
            if opening.states:
                opening.states = deque([one for one in opening.states if keep(one.channel)])

    def clear(self) -> None:
        """Forget all of them."""
        super().clear()
        self._due = {}


def _steps(mark: int, place: int) -> int:
    """How many openings after that of ``place`` the first one of a mark comes."""
    ahead = mark >> place
    if ahead:
        return (ahead & -ahead).bit_length() - 1
    return (mark & -mark).bit_length() - 1 + OPENINGS_MAX - place
