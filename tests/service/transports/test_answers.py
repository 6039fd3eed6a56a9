"""Answers of REST that clients read slowly, or not at all."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from loadtest.rig.waiting import until
from tests.support.raw import connect, request
from tickfan.core.errors import Refusal
from tickfan.transports.answers import TAKEN_BYTES_MIN

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.fixtures import MakeLive
    from tests.support.live import Live
    from tests.support.raw import Wire
    from tickfan.transports.answers import Answers, Pending

HISTORY = "/v1/channels/trades.A/history"
UPDATE_BYTES = 200_000
UPDATES = 5
ANSWER_BYTES = UPDATES * UPDATE_BYTES
"""More than the kernel takes of an answer whose client does not read."""
PLAIN = {"Accept-Encoding": "identity"}
SMALL = 2048
"""A receive buffer that fills at once."""


async def fill(service: Live) -> None:
    """A history whose answer is larger than ANSWER_BYTES."""
    for number in range(UPDATES):
        await service.publish("trades.A", f"{number}" * UPDATE_BYTES)


def public(service: Live) -> Answers:
    return service.service.answers["public"]


@contextlib.asynccontextmanager
async def unread(service: Live, count: int = 1, path: str = HISTORY) -> AsyncIterator[list[Wire]]:
    """Clients that ask for the history and do not read it."""
    async with contextlib.AsyncExitStack() as stack:
        asked = request(path)
        wires = [
            await stack.enter_async_context(connect(service, asked, receive_bytes=SMALL))
            for _ in range(count)
        ]
        await until(lambda: len(public(service)) == count)
        yield wires


async def metrics(service: Live) -> str:
    async with service.admin.get("/metrics") as answer:
        assert answer.status == 200
        return await answer.text()


def is_in_time(pending: Pending, now: float) -> bool:
    return not pending.is_late(now, 28)


async def body(wire: Wire, size: int) -> bytes:
    found = b""
    while len(found) < size:
        found += await wire.some(size - len(found))
    return found


async def test_a_client_that_does_not_read_is_cut(make_live: MakeLive) -> None:
    """Counted, logged with what it took, and a healthy client beside it misses nothing."""
    service = await make_live(HTTP__ANSWER_TIMEOUT_S="1")
    await fill(service)
    async with service.sse("channels=trades.B") as healthy:
        await healthy.read_until("snapshot_end")
        with capture_logs() as logs:
            async with unread(service, 20):
                assert public(service).held > 20 * ANSWER_BYTES / 2
                assert 'tickfan_answers{listener="public"} 20.0' in await metrics(service)
                for number in range(50):
                    await service.publish("trades.B", number)
                await until(lambda: not public(service))
        assert [each["data"] for each in await healthy.updates(50)] == list(range(50))
    lines = [line for line in logs if line["event"] == "answer cut"]
    assert len(lines) == 20
    for line in lines:
        assert (line["reason"], line["path"]) == ("stalled", HISTORY)
        assert 0 < line["taken_bytes"] < ANSWER_BYTES
        assert line["waiting_bytes"] > ANSWER_BYTES / 2
    shown = await metrics(service)
    for text in (
        'tickfan_answers_cut_total{listener="public",reason="stalled"} 20.0',
        'tickfan_answers_cut_total{listener="admin",reason="stalled"} 0.0',
        'tickfan_answers_bytes{listener="public"} 0.0',
        'tickfan_answers{listener="public"} 0.0',
    ):
        assert text in shown


async def test_a_slow_client_that_reads_is_not_cut(make_live: MakeLive) -> None:
    """It has its time again whenever it has taken enough; and gets all of it."""
    service = await make_live(HTTP__ANSWER_TIMEOUT_S="3600")
    await fill(service)
    loop = asyncio.get_running_loop()
    async with unread(service) as [wire]:
        [pending] = public(service)
        assert not pending.is_late(loop.time(), 30)
        begun = loop.time() + 100
        assert pending.is_late(begun, 30)
        status, headers = await wire.head()
        assert status == 200
        left = int(headers["content-length"])
        now = begun
        for _ in range(3):
            # So little that the kernel, which holds more, takes nothing new from the service.
            read = await body(wire, TAKEN_BYTES_MIN + 4 * SMALL)
            left -= len(read)
            now += 29
            # The kernels have to tell each other.
            await until(partial(is_in_time, pending, now))
            assert not pending.is_late(now + 28, 28)
            assert pending.is_late(now + 29, 28), "it has taken nothing since"
        rest = await body(wire, left)
        assert rest.endswith(b"]}\n")
        await until(lambda: not public(service))
        assert public(service).held == 0
        assert sum(public(service).cut.values()) == 0
        wire.send(request("/v1/channels"))  # and the connection goes on
        assert (await wire.head())[0] == 200


async def test_over_the_budget_large_answers_are_refused(make_live: MakeLive) -> None:
    """With a delay; small ones come, and the other listener has a budget of its own."""
    service = await make_live(HTTP__ANSWERS_BYTES_MAX=str(2 * ANSWER_BYTES))
    await fill(service)
    large = service.url(HISTORY)
    async with unread(service) as [wire]:
        async with service.session.get(large, headers=PLAIN) as answer:
            assert answer.status == 503
            error = (await answer.json())["error"]
            assert error["code"] == "overload"
            assert "http.answers_bytes_max" in error["message"]
            assert 1 <= int(answer.headers["Retry-After"]) <= 3
        async with service.session.get(service.url("/v1/channels")) as answer:
            assert answer.status == 200
        held = public(service).held
        for path in ("/livez", "/readyz", "/metrics", "/v1/stats"):
            async with service.admin.get(path) as answer:
                assert answer.status == 200
        assert service.service.answers["admin"].held == 0
        assert public(service).held == held > ANSWER_BYTES / 2
        status, headers = await wire.head()
        assert status == 200
        await body(wire, int(headers["content-length"]))
        await until(lambda: not public(service).held)
        async with service.session.get(large, headers=PLAIN) as answer:
            assert answer.status == 200
            assert len((await answer.json())["updates"]) == UPDATES
    shown = await metrics(service)
    assert 'tickfan_answers_refused_total{listener="public"} 1.0' in shown
    assert 'tickfan_refusals_total{code="overload"} 1.0' in shown
    async with service.admin.get("/v1/stats") as answer:
        assert (await answer.json())["answers"]["public"] == {
            "writing": 0, "bytes": 0, "refused": 1, "cut": {"stalled": 0, "drain": 0},
        }  # fmt: skip


async def test_one_value_that_is_made_at_once_is_in_the_budget_too(make_live: MakeLive) -> None:
    """It may be larger than all of it: then it comes if nobody else has any."""
    service = await make_live(
        HTTP__ANSWERS_BYTES_MAX=str(2**20), BROKER__MESSAGE_BYTES_MAX=str(2**22)
    )
    await service.publish("trades.A", "x" * 2**21)
    path = "/v1/channels/trades.A"
    async with unread(service, path=path):
        assert public(service).held == 2**20
        async with service.session.get(service.url(path)) as answer:
            assert answer.status == 503
            assert "Retry-After" in answer.headers
        assert service.service.tally.refusals == {"overload": 1}
    await until(lambda: not public(service).held)
    async with service.session.get(service.url(path)) as answer:
        assert len((await answer.json())["data"]) == 2**21


async def test_an_answer_that_is_larger_than_the_budget_says_so(make_live: MakeLive) -> None:
    """To come back later would not help; and nothing stays charged."""
    service = await make_live(HTTP__ANSWERS_BYTES_MAX=str(2**20))
    await fill(service)
    await fill(service)
    for format_ in ("json", "ndjson", "csv"):
        async with service.session.get(
            service.url(f"{HISTORY}?format={format_}"), headers=PLAIN
        ) as answer:
            assert answer.status == 400
            error = (await answer.json())["error"]
            assert (error["code"], error["item"]) == ("bad_field", "limit")
    assert public(service).held == 0
    async with service.session.get(service.url(f"{HISTORY}?limit=3")) as answer:
        assert answer.status == 200


async def test_a_client_that_leaves_gives_its_bytes_back(service: Live) -> None:
    """In the middle of its answer, whatever it was: large, compressed, or for HEAD."""
    await fill(service)
    async with unread(service, 3) as wires:
        assert public(service).held
        for wire in wires:
            wire.cut()
        await until(lambda: not public(service))
    assert public(service).held == 0
    async with service.session.head(service.url(HISTORY), headers=PLAIN) as answer:
        assert int(answer.headers["Content-Length"]) > ANSWER_BYTES
        assert await answer.read() == b""
    headers = {"Accept-Encoding": "gzip"}
    async with service.session.get(service.url(HISTORY), headers=headers) as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
        assert int(answer.headers["Content-Length"]) < ANSWER_BYTES / 10
        assert len((await answer.json())["updates"]) == UPDATES
    await until(lambda: not public(service))
    assert public(service).held == 0


async def test_refusals_wait_for_their_client_no_longer_either(make_live: MakeLive) -> None:
    """Behind an answer that fills the kernel, each small one waits, too."""
    service = await make_live(HTTP__ANSWER_TIMEOUT_S="1")
    await fill(service)
    asked = request(f"{HISTORY}?limit=1") * 20 + request("/v1/none") * 1000
    async with connect(service, asked, receive_bytes=SMALL) as wire:
        await until(lambda: public(service).cut["stalled"])
        with contextlib.suppress(ConnectionError):
            assert (await wire.rest()).count(b"not_found") < 1000


async def test_a_charge_is_all_or_nothing(service: Live) -> None:
    """What is refused is not held."""
    await fill(service)
    async with unread(service):
        [pending] = public(service)
        before = (pending.held, public(service).held)
        room = public(service).bytes_max - pending.held
        with pytest.raises(Refusal):
            pending.charge(room + 1)
        assert (pending.held, public(service).held) == before
