"""tickfan.transports.admission: the way in, the socket, and what one is told."""

from __future__ import annotations

import asyncio
import math
import socket
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import orjson
import pytest
from structlog.testing import capture_logs

from tests.service.transports.faults import on_kernel
from tests.service.transports.opened import KINDS, open_stream, transports
from tests.support.access import ANYBODY
from tests.support.calls import calls_of
from tests.support.fanout import RULES, Fanout, asked, skips_time
from tests.support.raw import TEXT, connect, request, upgrade
from tickfan.access.gate import Gate
from tickfan.config import Settings
from tickfan.core import closing
from tickfan.core.cursor import Trail, parse
from tickfan.core.pattern import Pattern
from tickfan.fanout.finding import LOOKS_AT_ONCE
from tickfan.parts import build_limiter
from tickfan.session.draining import Draining
from tickfan.session.grants import Planner
from tickfan.transports.admission import Admission, Limits
from tickfan.transports.budget import Allowance
from tickfan.transports.remotes import Remotes

if TYPE_CHECKING:
    from tests.support.fixtures import MakeLive
    from tests.support.live import Live
    from tickfan.transports.door import Limiter

LIMITS = Limits(
    connections_max=100, message_bytes_max=16_384, notsent_lowat_bytes=16_384, retry_ms=2_000,
    closing_timeout_s=2.0, snapshot=True, auth_timeout_s=10, allowance=Allowance(0, 0, 1),
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
async def test_the_kernel_holds_little_back_for_a_stream(make_live: MakeLive, kind: str) -> None:
    """TCP_NOTSENT_LOWAT is set; TCP_USER_TIMEOUT, which kills the living, is not."""
    service = await make_live(STREAM__NOTSENT_LOWAT_BYTES="12345")
    async with connect(service, KINDS[kind]) as wire:
        await open_stream(wire, kind)
        [transport] = transports(service)
        sock = transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == 12345
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 0
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("has", [None, 2**32 - 1], ids=["refuses", "takes another"])
async def test_without_its_bound_a_connection_is_not_served(
    make_live: MakeLive, kind: str, has: int | None
) -> None:
    """Megabytes of old prices would wait where nothing can replace them; the log says why."""
    service = await make_live(parts=on_kernel(has))
    with capture_logs() as logs:
        async with connect(service, KINDS[kind]) as wire:
            await wire.up_to(b'"reason":"internal","code":4008')
    assert not service.service.connected
    assert not service.service.tally.connects
    told = [line for line in logs if line["event"] != "turned away"]
    if has is None:
        assert [line["detail"] for line in told] == ["[Errno 92] Protocol not available"]
    else:
        assert [(line["log_level"], line["asked"], line["has"]) for line in told] == [
            ("error", 16_384, has)
        ]


async def test_a_delay_has_jitter(service: Live) -> None:
    """Half to one and a half of retry_ms: a cut brings no storm."""
    delays = {service.service.admission.retry_ms() for _ in range(500)}
    assert min(delays) >= 1000
    assert max(delays) <= 3000
    assert len(delays) > 100


async def test_who_may_come_in(make_live: MakeLive) -> None:
    """Draining before overload before starting; conflated does not wait for the start."""
    service = await make_live(BROKER__URL="amqp://guest:guest@127.0.0.1:1")
    admission = service.service.admission
    assert admission.refuses(ANYBODY, lossless=False) is None
    assert admission.refuses(ANYBODY, lossless=True) is closing.STARTING
    admission.limits = admission.limits._replace(connections_max=0)
    assert admission.refuses(ANYBODY, lossless=True) is closing.OVERLOAD
    admission.draining.refuse_new()
    assert admission.refuses(ANYBODY, lossless=True) is closing.DRAIN


@pytest.mark.parametrize("kind", KINDS)
async def test_a_proxy_that_can_ask_another_replica_gets_a_status(
    make_live: MakeLive, kind: str
) -> None:
    """503 with the code, where a client is told the same after a 200 or a 101."""
    service = await make_live(BROKER__URL="amqp://guest:guest@127.0.0.1:1")
    admission = service.service.admission
    asked = KINDS[kind].replace(b"Host: x", b"Host: x\r\nTickfan-Ask-Next: 1")

    async def answer(code: str) -> None:
        async with connect(service, asked) as wire:
            status, headers = await wire.head()
            body = orjson.loads(await wire.up_to(b"\n"))
        assert (status, body["error"]["code"]) == (503, code)
        assert body["error"]["message"]
        assert headers["content-type"].startswith("application/json")
        assert 1 <= int(headers["retry-after"]) <= 3

    await answer("starting")
    admission.limits = admission.limits._replace(connections_max=0)
    await answer("overload")
    admission.draining.refuse_new()
    await answer("drain")
    assert service.service.tally.refusals == {"starting": 1, "overload": 1, "drain": 1}
    assert not service.service.tally.closes
    async with connect(service, KINDS[kind]) as wire:
        status, _ = await wire.head()
        assert status != 503


@pytest.mark.parametrize("kind", ["sse", "ndjson"])
async def test_a_conflated_stream_is_served_before_the_start_also_behind_a_proxy(
    make_live: MakeLive, kind: str
) -> None:
    """The other replicas have no more to say than this one."""
    service = await make_live(BROKER__URL="amqp://guest:guest@127.0.0.1:1")
    asked = request(f"/v1/{kind}?channels=quotes.A", Tickfan_Ask_Next="1")
    async with connect(service, asked) as wire:
        await wire.up_to(b"snapshot_end")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_resume_is_taken_apart_once_and_planned_once(service: Live, kind: str) -> None:
    """From the door to its first update: the cursor, each pattern, and what is granted."""
    await service.publish("trades.A", "seen")
    cursor = Trail({"trades": service.service.feeds["trades"].place}).text()
    await service.publish("trades.A", "missed")
    channel = f"trades.*.{kind}.#"  # no other test asks for it
    wish = {"channels": [channel, "trades.A"], "cursor": cursor}
    wires = {
        "sse": request(f"/v1/sse?{urlencode(wish, doseq=True)}"),
        "ndjson": request(f"/v1/ndjson?{urlencode(wish, doseq=True)}"),
        "ws.json": upgrade(),
    }
    async with connect(service, wires[kind]) as wire:
        if kind == "ws.json":
            await wire.up_to(b"welcome")
        with calls_of(parse, Planner.plan, Pattern.__init__) as calls:
            if kind == "ws.json":
                wire.send_frame(TEXT, orjson.dumps({"op": "subscribe", **wish}))
            await wire.up_to(b"missed")
    assert (calls[parse], calls[Planner.plan]) == (1, 1)
    assert calls[Pattern.__init__] <= 2, "each text once; some are remembered"


def _limiter(fanout: Fanout) -> Limiter:
    return build_limiter(Settings(), Remotes(()), fanout.tally, fanout.clock)


class Leaving(asyncio.Transport):
    """The transport of a client that goes after some looks at it."""

    def __init__(self, looks: float) -> None:
        super().__init__()
        self.looks = looks

    def is_closing(self) -> bool:
        self.looks -= 1
        return self.looks < 0


@pytest.mark.parametrize(("looks", "is_whole"), [(math.inf, True), (10, False)])
@skips_time
async def test_a_search_ends_with_its_client(looks: float, *, is_whole: bool) -> None:
    """Who has gone costs no more steps; who stays gets all."""
    fanout = Fanout()
    for number in range(LOOKS_AT_ONCE + 500):
        fanout.publish(f"quotes.{number}")
    admission = Admission(
        fanout.loop, fanout.feeds, fanout.slices, fanout.background, fanout.tally, fanout.clock,
        connections=fanout.connections, subscriptions=fanout.subscriptions,
        formats=fanout.formats, rules=RULES, limits=LIMITS, gate=Gate(ANYBODY, None, ""),
        draining=Draining(
            fanout.connections, fanout.clock, lambda: None, delay_s=0, spread_s=0
        ),
        limiter=_limiter(fanout), remote_of=Remotes(()).of, audit=fanout.audit,
    )  # fmt: skip
    plan = fanout.subscriptions.plan(asked("#"), ANYBODY)
    prepared = fanout.subscriptions.prepare(plan, fanout.format("sse"))
    charged: list[float] = []
    await admission.ready(prepared, Leaving(looks), charged.append)
    assert prepared.is_large is not is_whole
    assert sum(charged) > 0
