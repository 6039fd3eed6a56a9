"""A schedule of faults from a seed, and the stage on which they happen.

Must not know what is published, nor who verifies.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from typing import TYPE_CHECKING, NamedTuple, Self

from loadtest.rig.process import ServiceProcess
from loadtest.rig.proxy import FaultProxy

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path
    from types import TracebackType

    from loadtest.rig.follower import Follower
    from loadtest.rig.rabbitmq import RabbitNode


class Fault(NamedTuple):
    """One fault: its kind, the replica it hits, and how long it lasts."""

    kind: str
    replica: int
    seconds: float


KINDS = {
    # kind: how likely, shortest and longest in seconds
    "cut_broker_link": (4, 0.0, 1.0),
    "half_open_broker_link": (2, 1.0, 6.0),
    "slow_broker_link": (2, 0.5, 2.0),
    "kill_replica": (3, 0.2, 1.0),
    "restart_replica": (3, 0.0, 0.5),
    "kill_broker": (1, 0.2, 1.0),
    "freeze_broker": (1, 1.0, 4.0),
    "cut_clients": (4, 0.0, 0.0),
}


def schedule(seed: int, count: int, replicas: int) -> list[Fault]:
    """``count`` faults, the same for the same seed; each kind comes at least once if it fits."""
    rng = random.Random(seed)
    kinds = list(KINDS)
    rng.shuffle(kinds)
    weights = [KINDS[kind][0] for kind in kinds]
    kinds = (kinds + rng.choices(kinds, weights, k=count))[:count]
    rng.shuffle(kinds)
    return [Fault(kind, rng.randrange(replicas), rng.uniform(*KINDS[kind][1:])) for kind in kinds]


class Stage:
    """A RabbitMQ node, replicas that reach it through proxies, and followers."""

    def __init__(
        self, node: RabbitNode, directory: Path, settings: Mapping[str, str], replicas: int = 2
    ) -> None:
        self.node = node
        self.proxies = [FaultProxy(node.port) for _ in range(replicas)]
        self.replicas: list[ServiceProcess] = []
        self.followers: list[Follower] = []
        self.done: list[str] = []
        self._directory = directory
        self._settings = settings
        self._stack = contextlib.AsyncExitStack()

    @property
    def urls(self) -> list[str]:
        """Where the replicas are, in their order."""
        return [replica.url for replica in self.replicas]

    async def __aenter__(self) -> Self:
        for proxy in self.proxies:
            await self._stack.enter_async_context(proxy)
            url = f"amqp://guest:guest@127.0.0.1:{proxy.port}/"
            replica = ServiceProcess(self._directory, {**self._settings, "BROKER__URL": url})
            self._stack.callback(replica.kill)
            self.replicas.append(replica)
        await asyncio.gather(*(asyncio.to_thread(replica.start) for replica in self.replicas))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def play(self, fault: Fault) -> None:
        """Let one fault happen and mend it again."""
        begin = time.monotonic()
        acts: dict[str, Callable[[Fault], Awaitable[None]]] = {
            "cut_broker_link": self._cut_link,
            "half_open_broker_link": self._half_open,
            "slow_broker_link": self._slow,
            "kill_replica": self._kill_replica,
            "restart_replica": self._restart_replica,
            "kill_broker": self._kill_broker,
            "freeze_broker": self._freeze_broker,
            "cut_clients": self._cut_clients,
        }
        await acts[fault.kind](fault)
        self.done.append(
            f"{fault.kind} (replica {fault.replica}, {time.monotonic() - begin:.1f} s)"
        )

    async def _cut_link(self, fault: Fault) -> None:
        proxy = self.proxies[fault.replica]
        await proxy.cut(refuse=True)
        await asyncio.sleep(fault.seconds)
        proxy.resume()

    async def _half_open(self, fault: Fault) -> None:
        proxy = self.proxies[fault.replica]
        proxy.half_open()
        await asyncio.sleep(fault.seconds)
        proxy.resume()

    async def _slow(self, fault: Fault) -> None:
        proxy = self.proxies[fault.replica]
        proxy.delay_s = 0.05
        await asyncio.sleep(fault.seconds)
        proxy.delay_s = 0.0

    async def _kill_replica(self, fault: Fault) -> None:
        replica = self.replicas[fault.replica]
        replica.kill()
        await asyncio.sleep(fault.seconds)
        await asyncio.to_thread(replica.start)

    async def _restart_replica(self, fault: Fault) -> None:
        replica = self.replicas[fault.replica]
        status = await asyncio.to_thread(replica.stop)
        assert status == 0, replica.output[-3000:]
        await asyncio.sleep(fault.seconds)
        await asyncio.to_thread(replica.start)

    async def _kill_broker(self, fault: Fault) -> None:
        await asyncio.to_thread(self.node.kill)
        await asyncio.sleep(fault.seconds)
        await asyncio.to_thread(self.node.start)

    async def _freeze_broker(self, fault: Fault) -> None:
        self.node.pause()
        try:
            await asyncio.sleep(fault.seconds)
        finally:
            self.node.resume()

    async def _cut_clients(self, fault: Fault) -> None:
        del fault
        for follower in self.followers[::3]:
            follower.cut()
