"""Parts of a service that fail, or wait, where a test needs it.

Must not know what is tested.
"""

from __future__ import annotations

import asyncio
import errno
from typing import TYPE_CHECKING, Any, NoReturn

from tickfan.fanout.slices import Slices
from tickfan.parts import Parts
from tickfan.session.connections import Connections
from tickfan.session.subscribe import Subscriptions
from tickfan.transports.admission import Admission

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable


def fail(*_: object, **__: object) -> NoReturn:
    """Raise what nobody expects."""
    raise ZeroDivisionError("deep")


class NoConnections(Connections):
    """Nobody can be taken in."""

    connect = fail


class NoSubscriptions(Subscriptions):
    """Nobody gets what is asked for."""

    subscribe = fail


class NoTurns(Slices):
    """Whoever waits for a job waits for a failure."""

    run = fail


class NoTune(Admission):
    """No socket can be looked at."""

    tune = fail


class NoLastWords(Admission):
    """Nobody can be told why it ends."""

    closing_event = fail


NO_CONNECTIONS = Parts(connections=NoConnections)
NO_SUBSCRIPTIONS = Parts(subscriptions=NoSubscriptions)
NO_TURNS = Parts(slices=NoTurns)
NO_TUNE = Parts(admission=NoTune)
NO_LAST_WORDS = Parts(admission=NoLastWords)


class HeldBack(Slices):
    """Counts the jobs, and holds them back from :meth:`hold` to :meth:`release`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, stopwatch: Callable[[], float]) -> None:
        super().__init__(loop, stopwatch)
        self.added = 0
        self.held: list[Callable[[], None]] = []
        self._holds = False

    def add(self, job: Callable[[], None]) -> None:
        """Count it; run it as the base, or later."""
        self.added += 1
        if self._holds:
            self.held.append(job)
        else:
            super().add(job)

    def hold(self) -> None:
        """Let no job run that comes from now on."""
        self._holds = True

    def release(self) -> None:
        """Let run what was held, and what comes."""
        self._holds = False
        held, self.held = self.held, []
        for job in held:
            super().add(job)


class _Socket:
    """A socket of a kernel without TCP_NOTSENT_LOWAT, or with one of its own."""

    def __init__(self, sock: socket.socket, has: int | None) -> None:
        self._has = has
        self.family = sock.family

    def setsockopt(self, *_: object) -> None:
        if self._has is None:
            raise OSError(errno.ENOPROTOOPT, "Protocol not available")

    def getsockopt(self, *_: object) -> int | None:
        return self._has


class _Transport(asyncio.Transport):
    def __init__(self, transport: asyncio.Transport, has: int | None) -> None:
        super().__init__()
        self._transport = transport
        self._has = has

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        found = self._transport.get_extra_info(name, default)
        return _Socket(found, self._has) if name == "socket" else found

    def is_closing(self) -> bool:
        return self._transport.is_closing()


def on_kernel(has: int | None) -> Parts:
    """On a kernel that takes this for any TCP_NOTSENT_LOWAT; None: it does not know it.

    No kernel that the tests run on is such a one.
    """

    class OnKernel(Admission):
        def tune(self, transport: asyncio.Transport) -> bool:
            return super().tune(_Transport(transport, has))

    return Parts(admission=OnKernel)
