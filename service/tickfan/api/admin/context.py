"""What the calls of an operator are given. Must not know who made it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from tickfan.access.revocationlist import RevocationList
    from tickfan.broker.base import Broker
    from tickfan.clock import Clock
    from tickfan.fanout.background import Background
    from tickfan.session.connections import Connections
    from tickfan.session.draining import Draining


@dataclass(slots=True)
class Admin:
    """The parts of the service that an operator looks at or changes.

    ``revocations`` None: there are no keys, and so no tokens. ``broker`` is the one that
    carries them to all replicas.
    """

    connections: Connections
    background: Background
    draining: Draining
    clock: Clock
    revocations: RevocationList | None
    broker: Broker | None


ADMIN = web.AppKey("admin", Admin)

NOTES = web.RequestKey("notes", dict[str, Any])
"""What the audit line of a call says beside its address: ``count`` of what it has found."""
