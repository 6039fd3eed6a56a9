"""Revoking on one replica: who is put out, who is not, and what is answered."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from loadtest.rig.waiting import until
from tests.support.access import GUARDED, bearer, revocations_of, token
from tickfan.access.revocations import REVOCATIONS_MAX, Revocation
from tickfan.broker.base import Unconfirmed
from tickfan.broker.memory import MemoryBroker
from tickfan.core.feed import Upstream
from tickfan.parts import Parts

if TYPE_CHECKING:
    from tests.support.fixtures import MakeLive
    from tests.support.live import Live, Reader
    from tickfan.broker.base import Message, Sink
    from tickfan.config import Settings

PATH = "/v1/admin/revocations"
READS = ["trades.#", "quotes.#"]


async def _revoke(service: Live, *entries: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    answer = await service.admin.post(PATH, json={"revocations": entries})
    return answer.status, await answer.json()


async def _open(stack: AsyncExitStack, service: Live, wire: str, **claims: Any) -> Reader:
    """A client with a token, which has its snapshot."""
    headers = bearer(channels=READS, **claims)
    if wire == "ws":
        talk = await stack.enter_async_context(service.ws("tickfan.json.v1", headers=headers))
        await talk.say(op="subscribe", channels=["trades.A"])
        await talk.read_until("snapshot_end")
        return talk
    opened = {"sse": service.sse, "ndjson": service.ndjson}[wire]
    reader = await stack.enter_async_context(opened("channels=trades.A", headers=headers))
    await reader.read_until("snapshot_end")
    return reader


PEOPLE: dict[str, dict[str, Any]] = {
    "alice": {"sub": "alice"}, "bob": {"sub": "bob", "jti": "b1"},
    "bob again": {"sub": "bob", "jti": "b2"}, "new": {"sub": "carol"},
}  # fmt: skip
"""What the tokens of some clients say, by the clients' names."""


async def test_exactly_those_that_are_named_are_put_out(make_live: MakeLive) -> None:
    """On each wire, with forbidden and nothing behind it; the others miss nothing."""
    service = await make_live(**GUARDED)
    now = time.time()
    people = {**PEOPLE, "old": {"sub": "carol", "iat": now - 500}}
    steps: list[tuple[str, list[dict[str, Any]]]] = [
        ("alice", [{"subject": "alice"}, {"subject": "nobody"}]),
        ("bob", [{"jti": "b1"}]),
        ("old", [{"issued_before": int((now - 100) * 1000)}]),
    ]
    async with AsyncExitStack() as stack:
        clients = {
            f"{wire} {name}": await _open(stack, service, wire, **claims)
            for wire in ("sse", "ndjson", "ws")
            for name, claims in people.items()
        }
        left = set(clients)
        for named, entries in steps:
            gone = {name for name in left if name.partition(" ")[2] == named}
            status, said = await _revoke(service, *entries)
            assert (status, said["ended"], len(said["revoked"])) == (201, 3, len(entries))
            for name in gone:
                last = (await clients[name].read_until("closing"))[-1]
                assert (last["reason"], last["code"]) == ("forbidden", 4502)
                with pytest.raises(EOFError):
                    await clients[name].next()
            left -= gone
            await service.publish("trades.A", named)
            for name in left:
                assert [one["data"] for one in await clients[name].updates(1)] == [named]
        assert len(left) == 6
    await until(lambda: revocations_of(service).ended == 9)


async def test_a_revoked_token_stays_out_and_a_new_one_gets_in(make_live: MakeLive) -> None:
    """At each door: REST, streams, the handshake, a subprotocol, `auth`."""
    service = await make_live(**GUARDED)
    old, other = token(channels=READS), token(sub="bob", channels=READS)
    await service.publish("trades.A", 1)
    await _revoke(service, {"subject": "alice", "issuer": "https://login.test/"})
    new = token(channels=READS, iat=time.time() + 0.1)
    for text, expected in [(old, 401), (new, 200), (other, 200)]:
        headers = {"Authorization": f"Bearer {text}"}
        for path in ("/v1/channels/trades.A", "/v1/sse?channels=trades.A"):
            async with service.session.get(service.url(path), headers=headers) as answer:
                assert answer.status == expected
                if expected == 401:
                    error = (await answer.json())["error"]
                    assert error["code"] == "bad_token"
                    assert "revoked" in error["message"]
                    assert "invalid_token" in answer.headers["WWW-Authenticate"]
    async with service.session.ws_connect(
        service.url("/v1/ws"), protocols=["tickfan.json.v1", f"bearer.{old}"]
    ) as socket:
        assert orjson.loads((await socket.receive()).data)["reason"] == "forbidden"
    async with service.ws("tickfan.json.v1") as talk:
        await talk.say(op="auth", token=old)
        assert (await talk.next())["code"] == "bad_token"
        await talk.say(op="auth", token=new)
        assert (await talk.next())["event"] == "authenticated"


async def test_who_goes_on_with_another_token_is_known_by_that(make_live: MakeLive) -> None:
    """A revocation of the first one no longer concerns the connection."""
    service = await make_live(**GUARDED)
    async with service.ws("tickfan.json.v1", headers=bearer(jti="first", channels=READS)) as talk:
        await talk.say(op="auth", token=token(jti="second", channels=READS))
        await talk.read_until("authenticated")
        assert (await _revoke(service, {"jti": "first"}))[1]["ended"] == 0
        await talk.say(op="ping")
        await talk.read_until("pong")
        assert (await _revoke(service, {"jti": "second"}))[1]["ended"] == 1
        assert (await talk.read_until("closing"))[-1]["reason"] == "forbidden"


async def test_those_without_a_token_and_publish_token_stay(make_live: MakeLive) -> None:
    """`issued_before` now is every token there is, and no more than that."""
    publisher = "correct-horse-battery-staple"
    service = await make_live(**GUARDED, PUBLISH__TOKEN=publisher, ACCESS__ANONYMOUS='["trades.#"]')
    async with service.sse("channels=trades.A") as stream:
        await stream.read_until("snapshot_end")
        now_ms = int(time.time() * 1000) + 1000
        assert (await _revoke(service, {"issued_before": now_ms}))[1]["ended"] == 0
        async with service.session.post(
            service.url("/v1/channels/trades.A"), json=7,
            headers={"Authorization": f"Bearer {publisher}"},
        ) as answer:  # fmt: skip
            assert answer.status == 201
        assert [one["data"] for one in await stream.updates(1)] == [7]


async def test_they_are_listed_in_pages(make_live: MakeLive) -> None:
    """With the words in which they were given, and until when they hold."""
    service = await make_live(**GUARDED)
    now_ms = int(time.time() * 1000)
    given: list[dict[str, Any]] = [
        {"subject": "a", "before": now_ms}, {"subject": "a", "before": now_ms, "issuer": "i"},
        {"issued_before": now_ms - 1000}, {"jti": "x"},
    ]  # fmt: skip
    await _revoke(service, *given)
    await _revoke(service, {"jti": "x"})  # again: it is one
    found: list[dict[str, Any]] = []
    after: int | None = 0
    while after is not None:
        page = await (await service.admin.get(f"{PATH}?limit=3&after={after}")).json()
        found += page["revocations"]
        after = page["next"]
    assert [{k: v for k, v in each.items() if k != "expires"} for each in found] == given
    age_ms = (86_400 + 10) * 1000
    assert found[0]["expires"] == now_ms + age_ms
    assert abs(found[3]["expires"] - now_ms - age_ms) < 60_000
    assert (page["count"], page["upstream"]) == (4, "live")
    for query in ("limit=0", "limit=1001", "after=x", "subject=a"):
        assert (await service.admin.get(f"{PATH}?{query}")).status == 400


async def test_there_is_a_limit(make_live: MakeLive) -> None:
    """Beyond it none is taken; those that are over do not count."""
    service = await make_live(**GUARDED)
    known = revocations_of(service).known
    long_ago = int((time.time() - 10**6) * 1000)
    status, said = await _revoke(service, {"subject": "a", "before": long_ago})
    assert (status, said["error"]["code"]) == (400, "bad_field")
    assert "expired" in said["error"]["message"]
    known.add(Revocation(f"s{n}", "", "", long_ago) for n in range(50))
    now_ms = int(time.time() * 1000)
    known.add(Revocation(f"s{n}", "", "", now_ms) for n in range(REVOCATIONS_MAX - 1))
    assert (await _revoke(service, {"jti": "last"}))[0] == 201
    status, said = await _revoke(service, {"jti": "one more"})
    assert (status, said["error"]["code"]) == (409, "too_many_revocations")
    assert str(REVOCATIONS_MAX) in said["error"]["message"]


class Silent(MemoryBroker):
    """Says nothing of its sources, and confirms nothing."""

    async def publish(self, feed: str, message: Message) -> None:
        raise Unconfirmed("the broker is silent")


def _silent(_settings: Settings, sink: Sink) -> MemoryBroker:
    return Silent((), sink)


async def test_while_it_is_not_known_who_is_revoked_nobody_with_a_token_comes_in(
    make_live: MakeLive,
) -> None:
    """Not ready; a stream is told to come back, as EventSource never does after a 503."""
    service = await make_live(
        parts=Parts(revocation_broker=_silent), **GUARDED, ACCESS__ANONYMOUS='["trades.#"]'
    )
    assert (await service.admin.get("/livez")).status == 200
    ready = await service.admin.get("/readyz")
    body = await ready.json()
    assert (ready.status, body["ready"], body["revocations"]["upstream"]) == (
        503, False, "starting",
    )  # fmt: skip
    headers = bearer(channels=["quotes.#"])
    async with service.session.get(service.url("/v1/channels"), headers=headers) as answer:
        assert (answer.status, (await answer.json())["error"]["code"]) == (503, "starting")
    async with service.sse("channels=quotes.A", headers=headers) as stream:
        assert (await stream.read_until("closing"))[-1]["reason"] == "starting"
    async with service.session.ws_connect(
        service.url("/v1/ws"), protocols=["tickfan.json.v1"], headers=headers
    ) as socket:
        assert orjson.loads((await socket.receive()).data)["reason"] == "starting"
    async with service.ws("tickfan.json.v1") as talk:
        await talk.say(op="auth", token=token())
        assert (await talk.next())["code"] == "starting"
        await talk.say(op="subscribe", channels=["trades.A"])  # without a token it may
        assert (await talk.next())["event"] == "subscribed"

    revocations = revocations_of(service)
    revocations.upstream("revocations", Upstream.LIVE, "")
    assert (await service.admin.get("/readyz")).status == 200
    async with service.sse("channels=quotes.A", headers=headers) as stream:
        assert (await stream.next())["event"] == "subscribed"
        # In an outage what is known holds, and who comes is looked up in it.
        revocations.upstream("revocations", Upstream.STALE, "cut")
        ready = await service.admin.get("/readyz")
        assert (ready.status, (await ready.json())["revocations"]["why"]) == (200, "cut")
        async with service.session.get(service.url("/v1/channels"), headers=headers) as answer:
            assert answer.status == 200
        # What the broker has not confirmed does not hold, and is answered so.
        status, said = await _revoke(service, {"subject": "alice"})
        assert (status, said["error"]["code"]) == (504, "unconfirmed")
        async with service.session.get(service.url("/v1/channels"), headers=headers) as answer:
            assert answer.status == 200
