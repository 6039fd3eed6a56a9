"""Which tickets have been used in this process, for as long as they would be good.

Must not know what is in a ticket.
"""

from __future__ import annotations

from tickfan.access.sealed import TICKET_S, UsedTicket
from tickfan.core.errors import Refusal

SPENT_MAX = 50_000
"""Used tickets that are remembered, some 10 MB. It is a rate of 1,600 a second, more than a
replica can open streams."""


class SpentTickets:
    """Lets each ticket be used once."""

    def __init__(self, most: int = SPENT_MAX) -> None:
        """``most`` are remembered."""
        self._most = most
        # Until when, in the order of use: so the first is the first to be forgotten.
        self._until: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._until)

    def spend(self, seal_id: str, now: float) -> None:
        """Use a ticket; ``now`` is in seconds since 1970 UTC.

        Raises :class:`Refusal`: ``bad_ticket`` if it is used already, and ``overload`` if as many
        as can be remembered are. To forget one early would be to let it in twice.
        """
        self._forget(now)
        if seal_id in self._until:
            raise UsedTicket("has been used, and counts once")
        if len(self._until) >= self._most:
            raise Refusal(
                "overload", f"{self._most} tickets were used within {TICKET_S:g} s; come back later"
            )
        self._until[seal_id] = now + TICKET_S

    def _forget(self, now: float) -> None:
        while self._until:
            first = next(iter(self._until))
            if self._until[first] > now:
                return
            del self._until[first]
