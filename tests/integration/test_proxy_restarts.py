"""Restarts behind nginx and HAProxy: nobody is without data for longer than it chose to wait.

Two replicas under load, in the configurations that we recommend. A client that was cut
waits for the delay that it was told. Then it asks the proxy once, and has data within
a second: whatever was restarted, and whichever transport it speaks.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import time
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import aiohttp
import pytest

from loadtest.rig.follower import Follower
from loadtest.rig.proxy import FaultProxy
from loadtest.rig.survival import Publisher
from loadtest.rig.waiting import DEADLINE_S, until
from tests.support.frontproxy import Ports
from tests.support.haproxy import Haproxy
from tests.support.nginx import Nginx
from tickfan.config import load
from tickfan.parts import build_broker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence
    from pathlib import Path

    from loadtest.rig.process import ServiceProcess
    from tests.integration.conftest import MakeService
    from tests.support.fixtures import MakeLive
    from tests.support.frontproxy import FrontProxy

WATCHERS = 30
"""Behind each proxy, a third of them on each transport."""

CHANNELS = ["trades.A", "trades.B", "trades.C"]
SCENE_S = 180
NO_TIMEOUT = aiohttp.ClientTimeout(total=None)
PACE_S = 0.05
"""Between two updates of a channel."""

RETRY_MS = 1000
"""What the replicas tell their clients, with the usual spread: half a second to one and a half."""

LATE_S = 0.1
"""How much later than the first replica the second hears of an update: who comes from the
first has a cursor that the second has not read yet."""

OWN_DELAY_S = 0.05
"""What a WebSocket client waits after a bare cut, where it is told nothing: its cursor is young."""

WITHIN_S = 1.0
"""After its delay a client has data within this time."""


class Absence(NamedTuple):
    """A client without data: for how long, how long it chose to wait, who sent it away then."""

    watcher: str
    seconds: float
    delay_s: float
    sent_away: list[str]

    @property
    def over_s(self) -> float:
        """What the client did not choose."""
        return self.seconds - self.delay_s


class Watcher(Follower):
    """Comes back after the delay that it was told, and notes how long it had no data."""

    def __init__(self, index: int, front: FrontProxy) -> None:
        transport = ("sse", "ws", "ndjson")[index % 3]
        name = f"{transport} {index} behind {type(front).__name__}"
        super().__init__(name, [front.url], CHANNELS, transport, rng=random.Random(index))
        self.absences: list[Absence] = []
        self.is_here = False
        self._delay_s = OWN_DELAY_S
        self._gone: tuple[float, float, int] | None = None

    async def run(self, done: Callable[[Follower], bool]) -> None:
        """Follow for ever; ``done`` is not asked."""
        async with aiohttp.ClientSession(timeout=NO_TIMEOUT) as self._session:
            while True:
                with contextlib.suppress(aiohttp.ClientError, OSError):
                    async for event in self._connect(self._urls[0]):
                        self._take(event)
                if self.is_here:
                    self._gone = time.monotonic(), self._delay_s, len(self.closings)
                    self.is_here = False
                await asyncio.sleep(self._delay_s)
                if self.transport == "ws":  # it is told nothing before a closing
                    self._delay_s = OWN_DELAY_S

    def _take(self, event: dict[str, Any]) -> None:
        super()._take(event)
        if event.get("retry_ms"):
            self._delay_s = event["retry_ms"] / 1000
        if event["event"] == "update" and not self.is_here:
            self.is_here = True
            if self._gone is not None:
                at, delay_s, closings = self._gone
                seconds = time.monotonic() - at
                self.absences.append(Absence(self.name, seconds, delay_s, self.closings[closings:]))


class Scene:
    """Who watches, through the proxies; and how fast it goes past them."""

    def __init__(self, fronts: Sequence[FrontProxy], replicas: Sequence[ServiceProcess]) -> None:
        self.watchers = [Watcher(index, front) for front in fronts for index in range(WATCHERS)]
        self.figures: list[str] = []
        self.late: list[Absence] = []
        self._replicas = replicas
        self._slowest_s = 0.0
        self._pause_s = 0.0
        self._published_at = 0.0

    def all_here(self) -> bool:
        """Whether everybody has data."""
        return all(watcher.is_here for watcher in self.watchers)

    @contextlib.asynccontextmanager
    async def fault(self, name: str) -> AsyncIterator[None]:
        """What is done inside cuts clients; then everybody comes back, in time."""
        before = [len(watcher.absences) for watcher in self.watchers]
        self._slowest_s = self._pause_s = 0.0
        yield
        # Who is cut notices it on its own: somebody has, and nobody is away any more.
        await until(lambda: self._since(before) and self.all_here(), f"{name}: all are back")
        found = self._since(before)
        worst = max(absence.over_s for absence in found)
        # How late a client's first update was at the same time without any proxy, how long
        # none was published, or a proxy's process took to start, is a busy machine's fault.
        self._note_pause()
        allowed = WITHIN_S + self._slowest_s + self._pause_s
        self.late += [each for each in found if each.over_s > allowed or each.sent_away]
        self.figures.append(f"{name}: {len(found)} cut, {worst:.2f} s (of {allowed:.2f})")

    def _since(self, before: list[int]) -> list[Absence]:
        pairs = zip(self.watchers, before, strict=True)
        return [each for watcher, count in pairs for each in watcher.absences[count:]]

    async def restart(self, front: FrontProxy) -> None:
        """Restart a proxy: as long as the machine takes to start it, nobody can come back."""
        began = time.monotonic()
        await asyncio.to_thread(front.restart)
        self._pause_s = max(self._pause_s, time.monotonic() - began)

    def _note_pause(self) -> None:
        self._pause_s = max(self._pause_s, time.monotonic() - self._published_at)

    async def publish(self, publisher: Publisher) -> None:
        """Publish at a pace, and note when it could not be kept."""
        self._published_at = time.monotonic()
        while True:
            await publisher.publish(len(CHANNELS))
            self._note_pause()
            self._published_at = time.monotonic()
            await asyncio.sleep(PACE_S)

    async def measure(self) -> None:
        """Again and again ask a replica itself: how long the first update takes."""
        async with aiohttp.ClientSession(timeout=NO_TIMEOUT) as session:
            while True:
                for replica in self._replicas:
                    began = time.monotonic()
                    with contextlib.suppress(aiohttp.ClientError, OSError):  # it is away
                        async with session.get(f"{replica.url}/v1/ndjson?channels=trades.A") as got:
                            async for line in got.content:
                                if line.startswith(b'{"channel"'):
                                    self._slowest_s = max(self._slowest_s, time.monotonic() - began)
                                    break
                await asyncio.sleep(0.2)


@pytest.fixture
async def link(amqp: dict[str, str]) -> AsyncIterator[FaultProxy]:
    """A way to RabbitMQ that can be slow."""
    url = urlsplit(amqp["BROKER__URL"])
    async with FaultProxy(url.port or 5672, url.hostname or "127.0.0.1") as proxy:
        yield proxy


async def test_nobody_is_without_data_for_longer_than_its_delay(
    make_service: MakeService,
    amqp: dict[str, str],
    link: FaultProxy,
    tmp_path: Path,
    figures: Callable[[str], None],
) -> None:
    """A replica is stopped, killed, stays away; the other one; the proxies themselves."""
    settings = {**amqp, "STOP__DRAIN_S": "0.5", "STREAM__RETRY_MS": str(RETRY_MS)}
    host = urlsplit(amqp["BROKER__URL"]).netloc.rpartition("@")[2]
    far = {"BROKER__URL": amqp["BROKER__URL"].replace(host, f"127.0.0.1:{link.port}")}
    first, second = make_service(settings), make_service({**settings, **far})
    await asyncio.gather(*(asyncio.to_thread(each.start) for each in (first, second)))
    broker = build_broker(load(None, {f"TICKFAN_{n}": v for n, v in amqp.items()}), None)
    with Nginx(tmp_path, [first, second]) as nginx, Haproxy(tmp_path, [first, second]) as haproxy:
        fronts = (nginx, haproxy)
        scene = Scene(fronts, [first, second])
        async with asyncio.timeout(SCENE_S), asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(each)
                for each in (
                    scene.publish(Publisher(broker, CHANNELS)),
                    scene.measure(),
                    *(watcher.run(lambda _: False) for watcher in scene.watchers),
                )
            ]
            await until(scene.all_here, "everybody has data")

            link.delay_s = LATE_S
            async with scene.fault("SIGTERM of one"):
                assert await asyncio.to_thread(first.stop) == 0
                await asyncio.to_thread(first.start)
            async with scene.fault("SIGKILL of the other"):
                second.kill()

            link.half_open()
            await asyncio.to_thread(second.start, wait_ready=False)
            async with scene.fault("restart of the proxies while a replica starts"):
                for front in fronts:
                    await scene.restart(front)
            assert second.ready_status() == 503
            link.resume()
            await until(lambda: second.ready_status() == 200, "the second replica is ready")

            connects = [watcher.connects for watcher in scene.watchers]
            for front in fronts:
                await _reload(front)
            async with scene.fault("SIGKILL of one that stays away"):
                assert connects == [watcher.connects for watcher in scene.watchers]
                first.kill()
            await asyncio.to_thread(first.start)
            async with scene.fault("SIGTERM of the other"):
                assert await asyncio.to_thread(second.stop) == 0
            for task in running:
                task.cancel()
    await broker.close()

    figures(f"without data, over the delay: {'; '.join(scene.figures)}")
    assert not scene.late, f"{scene.late}\n{scene.figures}"
    assert not [watcher.resets for watcher in scene.watchers if watcher.resets]


async def _reload(front: FrontProxy) -> None:
    workers = front.workers()
    front.reload()
    await until(lambda: front.workers() - workers, "the proxy has new workers")


@pytest.mark.parametrize("proxy", [Nginx, Haproxy], ids=["nginx", "haproxy"])
async def test_a_replica_whose_machine_is_gone_costs_no_newcomer_a_second(
    proxy: type[FrontProxy], make_live: MakeLive, tmp_path: Path
) -> None:
    """Nothing refuses the connection: the proxy gives up by itself, and asks the other one."""
    live = await make_live()
    here = Ports(live.client.port or 0, live.admin.port or 0)

    async with contextlib.AsyncExitStack() as open_:  # so that the gone one has the fewest streams
        await open_.enter_async_context(asyncio.timeout(2 * DEADLINE_S))
        session = await open_.enter_async_context(aiohttp.ClientSession(timeout=NO_TIMEOUT))
        port = open_.enter_context(_silent_port())
        front = open_.enter_context(proxy(tmp_path, [Ports(port, here.admin_port), here]))

        async def first_line(url: str) -> float:
            began = time.monotonic()
            answer = await open_.enter_async_context(
                session.get(f"{url}/v1/ndjson?channels=trades.A")
            )
            assert b"subscribed" in await answer.content.readline()
            return time.monotonic() - began

        for _ in range(6):
            # A busy machine is slower without any proxy, too.
            allowed = WITHIN_S + 3 * await first_line(live.url(""))
            assert await first_line(front.url) < allowed


@contextlib.contextmanager
def _silent_port() -> Iterator[int]:
    """A port that answers no connection: its queue of those to accept is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]
