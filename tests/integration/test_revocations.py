"""Revoking on one replica puts out at all of them, through a real RabbitMQ."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import aio_pika
import pytest

from loadtest.rig.waiting import until
from tests.support.access import GUARDED, bearer, revocations_of
from tests.support.amqp import delete, proxied, proxy_to
from tickfan.access.revocationlist import encode
from tickfan.access.revocations import Revocation

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.conftest import Rabbit
    from tests.support.fixtures import MakeLive
    from tests.support.live import Live, Reader

PROBES = {"BROKER__PROBE_INTERVAL_S": "0.2", "BROKER__BACKOFF_MAX_S": "0.5"}


@pytest.fixture
async def settings(rabbitmq: Rabbit, amqp: dict[str, str]) -> AsyncIterator[dict[str, str]]:
    """Those of replicas that share a broker and keys; the list is deleted after the test."""
    yield {**amqp, **GUARDED, **PROBES}
    await delete(rabbitmq.url, _queue(amqp))


def _queue(amqp: dict[str, str]) -> str:
    return f"{amqp['BROKER__QUEUE_PREFIX']}access.revocations"


async def _replica(make_live: MakeLive, settings: dict[str, str]) -> Live:
    live = await make_live(**settings)
    await until(lambda: _is_ready(live), "ready")
    return live


def _is_ready(live: Live) -> bool:
    return revocations_of(live).known.are_known and not live.service.feeds.is_starting


async def _client(stack: AsyncExitStack, live: Live, wire: str, **claims: Any) -> Reader:
    headers = bearer(channels=["trades.#"], **claims)
    if wire == "ws":
        talk = await stack.enter_async_context(live.ws("tickfan.json.v1", headers=headers))
        await talk.say(op="subscribe", channels=["trades.A"])
        await talk.read_until("snapshot_end")
        return talk
    reader = await stack.enter_async_context(live.sse("channels=trades.A", headers=headers))
    await reader.read_until("snapshot_end")
    return reader


async def _revoke(live: Live, *entries: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    answer = await live.admin.post("/v1/admin/revocations", json={"revocations": entries})
    return answer.status, await answer.json()


async def _status(live: Live, **claims: Any) -> int:
    async with live.session.get(
        live.url("/v1/channels"), headers=bearer(channels=["trades.#"], **claims)
    ) as answer:
        return answer.status


async def test_all_replicas_put_out_at_once_and_a_later_one_knows(
    make_live: MakeLive, settings: dict[str, str]
) -> None:
    """Clients beside them miss nothing; who starts later refuses those tokens, too."""
    replicas = [await _replica(make_live, settings) for _ in range(2)]
    async with AsyncExitStack() as stack:
        named, healthy = [], []
        for live in replicas:
            for wire in ("sse", "ws"):
                named.append(await _client(stack, live, wire))
                healthy.append(await _client(stack, live, wire, sub="bob"))

        async def publish() -> None:
            for number in range(100):
                await replicas[1].publish("trades.A", number)

        publishing = asyncio.create_task(publish())
        before = {"iat": time.time() - 1}
        status, said = await _revoke(replicas[0], {"subject": "alice"})
        assert (status, said["ended"]) == (201, 2)
        for reader in named:
            last = (await reader.read_until("closing"))[-1]
            assert (last["reason"], last["code"]) == ("forbidden", 4502)
            with pytest.raises(EOFError):
                await reader.next()
        for reader in healthy:
            assert [one["data"] for one in await reader.updates(100)] == list(range(100))
        await publishing
        assert [live.service.connected for live in replicas] == [2, 2]

        third = await _replica(make_live, settings)
        for live in (*replicas, third):
            assert await _status(live, **before) == 401
            assert await _status(live, sub="bob", **before) == 200
            assert await _status(live) == 200  # alice has signed in anew
    answer = await third.admin.get("/v1/admin/revocations")
    assert (await answer.json())["revocations"] == said["revoked"]
    assert third.service.feeds.keys() == {"quotes", "trades", "book", "tokens"}


async def test_an_outage_takes_nothing_back_and_brings_what_was_missed(
    make_live: MakeLive, rabbitmq: Rabbit, settings: dict[str, str]
) -> None:
    """One replica is cut off. It is told when it comes back, and it does not revoke meanwhile."""
    other = await _replica(make_live, settings)
    before = {"iat": time.time() - 1}
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(proxy_to(rabbitmq.url))
        through = {**settings, "BROKER__URL": proxied(rabbitmq.url, proxy)}
        cut_off = await _replica(make_live, through)
        revocations = revocations_of(cut_off)
        await _revoke(other, {"subject": "carol"})
        await until(lambda: len(revocations.known) == 1)
        reader = await _client(stack, cut_off, "ws", **before)
        await proxy.cut(refuse=True)
        await until(lambda: revocations.unread_s > 0)
        status, said = await _revoke(cut_off, {"subject": "bob"})
        assert (status, said["error"]["code"]) == (503, "broker_down")
        assert await _status(cut_off, sub="carol", **before) == 401
        assert await _status(cut_off, sub="bob", **before) == 200
        assert (await cut_off.admin.get("/readyz")).status == 200

        assert (await _revoke(other, {"subject": "alice"}))[1]["ended"] == 0
        proxy.resume()
        assert (await reader.read_until("closing"))[-1]["reason"] == "forbidden"
        assert await _status(cut_off, **before) == 401
        await until(lambda: revocations.unread_s == 0)


async def test_a_list_that_is_deleted_takes_nothing_back(
    make_live: MakeLive, rabbitmq: Rabbit, amqp: dict[str, str], settings: dict[str, str]
) -> None:
    """It is made again; what comes next is read, junk in it too, and counted."""
    live = await _replica(make_live, settings)
    before = {"iat": time.time() - 1}
    await _revoke(live, {"subject": "alice"})
    revocations = revocations_of(live)
    await until(lambda: revocations.received == 1)
    await delete(rabbitmq.url, _queue(amqp))
    await until(lambda: revocations.unread_s > 0)
    await until(lambda: revocations.unread_s == 0)
    assert await _status(live, **before) == 401

    connection = await aio_pika.connect(rabbitmq.url)
    async with connection, connection.channel() as channel:
        # Who may publish prices cannot revoke: this is bound to another exchange.
        prices = await channel.get_exchange(amqp["BROKER__EXCHANGE"])
        body = encode("x", [Revocation("bob", "", "", int(time.time() * 1000))])
        await prices.publish(aio_pika.Message(body), "revocations", mandatory=False)
        own = await channel.get_exchange(f"{amqp['BROKER__QUEUE_PREFIX']}access")
        for junk in (b"", b"junk", b'{"v":1}', body[:-1]):
            await own.publish(aio_pika.Message(junk), "revocations")
    await until(lambda: revocations.malformed == 4)
    assert await _status(live, sub="bob", **before) == 200
    assert (await _revoke(live, {"subject": "bob"}))[0] == 201
    assert await _status(live, sub="bob", **before) == 401
