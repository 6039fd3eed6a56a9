"""What one connection's commands may take a second: so many frames, so much of the loop's time.

Counts do not bound a cost: the same wildcards take a thousand times as long where there are
a thousand times as many channels. So the time is measured, and charged afterwards. Must not
know what a command says, nor how its connection waits.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, NamedTuple

from tickfan.transports.addresses import Bucket

if TYPE_CHECKING:
    from tickfan.transports.addresses import Address

COMMANDS, CONNECTION_COST, ADDRESS_COST = "commands", "connection_cost", "address_cost"
REASONS = (ADDRESS_COST, COMMANDS, CONNECTION_COST)
"""Why a command has to wait; see :meth:`Budget.wait`."""

SPELL_S = 1.0
"""Without a wait for so long, the next wait begins a new spell of them."""


class Allowance(NamedTuple):
    """The operator's limits. Names end with their unit; 0: there is no such limit."""

    commands_per_s_max: int
    cost_ms_per_s_max: int
    throttled_timeout_s: float


class Budget:
    """What one connection has used."""

    __slots__ = ("_commands", "_cost", "_since", "_until")

    def __init__(self) -> None:
        self._commands = Bucket()
        self._cost = Bucket()
        # The spell of waits without a break: when it began, and the end of its last wait.
        self._since = self._until = -inf

    def charge(self, allowance: Allowance, now: float, frames: int, cost_s: float) -> None:
        """Take what a command has used. ``now`` and ``cost_s`` in seconds."""
        commands, cost_ms, _ = allowance
        if commands and frames:
            self._commands.charge(now, frames, commands)
        if cost_ms:
            self._cost.charge(now, cost_s, cost_ms / 1000)

    def wait(self, address: Address | None, now: float) -> tuple[str, float]:
        """The seconds that the next command has to wait, and why: the longest of the waits."""
        waits = (
            (COMMANDS, self._commands.wait_s(now)),
            (CONNECTION_COST, self._cost.wait_s(now)),
            (ADDRESS_COST, 0.0 if address is None else address.owes()),
        )
        return max(waits, key=_seconds)

    def lasts(self, now: float, until: float) -> float:
        """Note a wait that begins; for how many seconds commands have had to wait by now."""
        if now > self._until + SPELL_S:
            self._since = now
        self._until = until
        return now - self._since


def _seconds(wait: tuple[str, float]) -> float:
    return wait[1]
