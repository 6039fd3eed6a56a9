"""Behind a real nginx, with the configuration that we recommend."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support import behind
from tests.support.nginx import Nginx

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.integration.conftest import MakeService
    from tests.support.behind import MakeProxy
    from tests.support.fixtures import MakeLive
    from tests.support.live import Live
    from tests.support.process import ServiceProcess

IDLE_TIMEOUT_S = 3


def _in(directory: Path) -> MakeProxy:
    def make(replicas: Sequence[ServiceProcess]) -> Nginx:
        return Nginx(directory, [replica.port for replica in replicas])

    return make


def _before(live: Live, directory: Path, *, idle_timeout_s: int | None = None) -> Nginx:
    """In front of one service, as if it were two."""
    port = live.client.port
    assert port is not None
    return Nginx(directory, [port, port], idle_timeout_s=idle_timeout_s)


async def test_a_rolling_restart_behind_nginx_loses_no_update(
    make_service: MakeService,
    amqp: dict[str, str],
    tmp_path: Path,
    figures: Callable[[str], None],
) -> None:
    """Two replicas restarted in turn under load: every follower gets every update once."""
    settings = {**amqp, "STOP__DRAIN_S": "1", "STREAM__RETRY_MS": "200"}
    replicas = [make_service(settings) for _ in range(2)]
    await behind.rolling_restart(replicas, _in(tmp_path), amqp, figures)


async def test_an_eventsource_outlives_the_absence_of_every_replica(
    make_service: MakeService, amqp: dict[str, str], tmp_path: Path
) -> None:
    """In a real browser: all replicas go and come back, and each update is seen once."""
    settings = {**amqp, "STOP__DRAIN_S": "0", "STREAM__RETRY_MS": "200"}
    await behind.absence_of_every_replica(make_service(settings), _in(tmp_path), amqp)


async def test_nothing_is_held_back_and_no_quiet_stream_is_cut(
    make_live: MakeLive, tmp_path: Path
) -> None:
    """SSE, NDJSON and WebSocket, with the proxy's time-outs shortened as much as our beats."""
    live = await make_live(STREAM__HEARTBEAT_S="1", STREAM__PING_S="1")
    proxy = _before(live, tmp_path, idle_timeout_s=IDLE_TIMEOUT_S)
    await behind.nothing_is_held_back_or_cut(live, proxy, IDLE_TIMEOUT_S)


async def test_a_client_that_goes_is_gone(make_live: MakeLive, tmp_path: Path) -> None:
    """Closed or cut: the service hears of it at once."""
    live = await make_live()
    await behind.who_has_gone_is_gone(live, _before(live, tmp_path))


async def test_a_stalled_client_holds_a_bounded_amount_of_old_data(
    make_live: MakeLive, tmp_path: Path
) -> None:
    """Of 20 MB that went by; without a bound for send buffers it is more than 4 MiB."""
    live = await make_live(STREAM__HEARTBEAT_S="1")
    proxy = _before(live, tmp_path)
    assert await behind.old_data_of_a_stalled_client(live, proxy) < 512 * 1024
