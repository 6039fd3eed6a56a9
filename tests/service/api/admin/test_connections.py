"""Who is connected, as an operator sees it, and who is told to go."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from loadtest.rig.waiting import until
from tests.support.access import GUARDED, ISSUER, bearer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.fixtures import MakeLive
    from tests.support.live import Live, Reader

PATH = "/v1/admin/connections"


async def _get(service: Live, query: str = "") -> dict[str, Any]:
    answer = await service.admin.get(f"{PATH}{query}")
    assert answer.status == 200, await answer.text()
    found = await answer.json()
    assert isinstance(found, dict)
    return found


@asynccontextmanager
async def _crowd(make_live: MakeLive) -> AsyncIterator[tuple[Live, dict[str, Reader]]]:
    """Three clients, by name: two of alice's behind a proxy, and one without a token."""
    service = await make_live(
        **GUARDED, ACCESS__ANONYMOUS='["trades.#"]', HTTP__TRUSTED_PROXIES='["127.0.0.1"]'
    )
    reads = ["quotes.#", "trades.#"]
    async with AsyncExitStack() as stack:
        sse = await stack.enter_async_context(
            service.sse(
                "channels=quotes.A,quotes.B,trades.*,trades.x.y",
                headers={**bearer(channels=reads, jti="j1"), "X-Forwarded-For": "192.0.2.1"},
            )
        )
        talk = await stack.enter_async_context(
            service.ws(
                "tickfan.json.v1",
                headers={**bearer(channels=reads, jti="j2"), "X-Forwarded-For": "192.0.2.2"},
            )
        )
        plain = await stack.enter_async_context(
            service.ndjson("channels=trades.Z", headers={"X-Forwarded-For": "2001:db8::7"})
        )
        for reader in (sse, plain):
            await reader.read_until("snapshot_end")
        yield service, {"sse": sse, "talk": talk, "plain": plain}


async def test_each_is_shown_with_who_it_is_and_how_it_does(make_live: MakeLive) -> None:
    """In the order in which they came."""
    async with _crowd(make_live) as (service, _):
        found = await _get(service)
        epoch = service.service.connections.epoch
        assert found["next"] is None
        first, second, third = found["connections"]
        assert 0 <= first.pop("age_s") < 600
        assert first.pop("expires") > 1_700_000_000_000
        assert first == {
            "id": f"{epoch}-1", "subject": "alice", "issuer": ISSUER, "jti": "j1",
            "remote": "192.0.2.1", "transport": "sse", "channels": 4,
            "patterns": ["quotes.A", "quotes.B", "trades.*"],
            "backlog": {"updates": 0, "bytes": 0}, "phase": "shared",
        }  # fmt: skip
        assert (second["transport"], second["channels"]) == ("ws.json", 0)
        assert (third["subject"], third["issuer"], third["expires"]) == ("", "", None)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("subject=alice", [1, 2]), ("subject=", [3]), ("subject=nobody", []),
        (f"issuer={ISSUER}", [1, 2]), ("issuer=", [3]), ("jti=j2", [2]),
        ("remote=192.0.2.1", [1]), ("remote=192.0.2.0/24", [1, 2]), ("remote=192.0.2.9/24", [1, 2]),
        ("remote=2001:db8::/32", [3]), ("remote=2001:DB8:0::7", [3]), ("remote=10.0.0.0/8", []),
        ("pattern=trades.Z", [1, 3]), ("pattern=quotes.%23", [1]), ("pattern=trades.x.*", [1]),
        ("pattern=nowhere", []), ("subject=alice&remote=192.0.2.2", [2]),
        ("subject=alice&pattern=trades.Z", [1]),
    ],
)  # fmt: skip
async def test_filters_narrow_together(
    make_live: MakeLive, query: str, expected: list[int]
) -> None:
    """A pattern means those that can get something of it. DELETE means the same ones."""
    async with _crowd(make_live) as (service, clients):
        found = await _get(service, f"?{query}")
        numbers = [int(each["id"].rpartition("-")[2]) for each in found["connections"]]
        assert numbers == expected
        answer = await service.admin.delete(f"{PATH}?{query}")
        assert (answer.status, await answer.json()) == (
            200, {"ended": len(expected), "reason": "drain"},
        )  # fmt: skip
        for number, reader in enumerate(clients.values(), 1):
            if number in expected:
                last = (await reader.read_until("closing"))[-1]
                assert (last["reason"], last["code"]) == ("drain", 4003)
        await until(lambda: service.service.connected == 3 - len(expected))


async def test_pages_bring_each_once(service: Live) -> None:
    """Those that came meanwhile, too; who has gone is on none."""
    async with AsyncExitStack() as stack:
        for _ in range(5):
            await stack.enter_async_context(service.ws())
        seen, query = [], ""
        while True:
            page = await _get(service, f"?limit=2{query}")
            seen += [each["id"] for each in page["connections"]]
            if page["next"] is None:
                break
            query = f"&after={page['next']}"
            if len(seen) == 2:
                await stack.enter_async_context(service.ws())
                gone = next(each for each in service.service.connections if each.number == 3)
                await service.admin.delete(f"{PATH}/{gone.id}")
        epoch = service.service.connections.epoch
        assert seen == [f"{epoch}-{number}" for number in (1, 2, 4, 5, 6)]


async def test_one_is_shown_with_all_that_it_is_granted(make_live: MakeLive) -> None:
    """And is ended by its name: one that must not come back, too."""
    async with _crowd(make_live) as (service, clients):
        one = (await _get(service))["connections"][0]["id"]
        shown = await _get(service, f"/{one}")
        assert shown["id"] == one
        assert shown["grants"] == [
            {"channel": "quotes.A", "feed": "quotes", "interval_ms": 100},
            {"channel": "quotes.B", "feed": "quotes", "interval_ms": 100},
            {"channel": "trades.*", "feed": "trades", "interval_ms": None},
            {"channel": "trades.x.y", "feed": "trades", "interval_ms": None},
        ]
        assert shown["may_read"] == ["quotes.#", "trades.#"]
        assert (shown["updates"], shown["conflated"]) == (0, 0)
        assert shown["heard_s"] >= 0

        answer = await service.admin.delete(f"{PATH}/{one}?reason=forbidden")
        assert await answer.json() == {"ended": 1, "reason": "forbidden"}
        last = (await clients["sse"].read_until("closing"))[-1]
        assert (last["reason"], last["code"]) == ("forbidden", 4502)
        for ask in (service.admin.get, service.admin.delete):
            gone = await ask(f"{PATH}/{one}")
            assert (gone.status, (await gone.json())["error"]["code"]) == (404, "no_connection")


async def test_what_waits_for_a_client_is_shown(service: Live) -> None:
    """The phase says that it is off the shared path."""
    async with service.session.get(service.url("/v1/ndjson?channels=trades.A")) as answer:
        await answer.content.readline()
        big = "x" * 100_000

        async def waits() -> bool:
            await service.publish("trades.A", big)
            found = (await _get(service))["connections"][0]
            return bool(found["phase"] == "backlog" and found["backlog"]["updates"])

        for _ in range(500):
            if await waits():
                break
        found = (await _get(service))["connections"][0]
        assert found["phase"] == "backlog"
        assert found["backlog"]["bytes"] >= 100_000


@pytest.mark.parametrize(
    ("method", "query", "item"),
    [
        ("GET", "?limit=0", "limit"), ("GET", "?limit=1001", "limit"), ("GET", "?sub=a", "sub"),
        ("GET", "?remote=here", "remote"), ("GET", "?remote=1.2.3.4/40", "remote"),
        ("GET", "?pattern=a..b", "a..b"), ("GET", "?after=other-1", "other-1"),
        ("GET", "?after=1", "1"), ("GET", "/nonsense", "nonsense"),
        ("DELETE", "", "query"), ("DELETE", "?reason=forbidden", "query"),
        ("DELETE", "?subject=a&reason=slow", "reason"), ("DELETE", "?subject=a&limit=1", "limit"),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_named(service: Live, method: str, query: str, item: str) -> None:
    """And nobody is told to go."""
    async with service.ws():
        answer = await service.admin.request(method, PATH + query)
        error = (await answer.json())["error"]
        assert 400 <= answer.status < 500
        assert error["item"] == item
        assert service.service.connected == 1
