"""Keys that an issuer publishes, fetched from a real server by a running service."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from joserfc.jwk import ECKey
from structlog.testing import capture_logs

from loadtest.rig.waiting import until
from tests.support.access import ISSUER, standard_claims
from tickfan.access.issuing import sign
from tickfan.access.jwks import SET_BYTES_MAX
from tickfan.access.keys import key_from_jwk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.fixtures import MakeLive
    from tests.support.live import Live
    from tickfan.access.keys import Key


class Issuer:
    """A login service: it publishes what it is told to."""

    def __init__(self) -> None:
        self.keys: list[Key] = []
        self.response: web.Response | None = None
        self.asked = 0
        self.holds = asyncio.Event()
        self.holds.set()

    def make(self, key_id: str) -> Key:
        jwk = {**ECKey.generate_key("P-256").as_dict(private=True), "kid": key_id}
        return key_from_jwk(jwk, ISSUER, "ES256")

    async def answer(self, request: web.Request) -> web.Response:
        self.asked += 1
        assert "Authorization" not in request.headers
        assert request.headers["Accept-Encoding"] == "identity"
        await self.holds.wait()
        if self.response is not None:
            return self.response
        keys = [{**key.jose.as_dict(private=False), "kid": key.key_id} for key in self.keys]
        return web.json_response({"keys": keys})


@asynccontextmanager
async def issuing() -> AsyncIterator[tuple[Issuer, str]]:
    issuer = Issuer()
    app = web.Application()
    app.router.add_get("/keys", issuer.answer)
    async with TestServer(app) as server:
        yield issuer, str(server.make_url("/keys"))


async def served(make_live: MakeLive, url: str, **settings: str) -> Live:
    key = {"issuer": ISSUER, "algorithm": "ES256", "jwks_url": url}
    return await make_live(KEYS=json.dumps([key]), **settings)


async def status(live: Live, key: Key, **claims: Any) -> tuple[int, str]:
    token = sign(key, {**standard_claims(), "channels": ["quotes.#"], **claims})
    headers = {"Authorization": f"Bearer {token}"}
    async with live.session.get(live.url("/v1/channels"), headers=headers) as response:
        body = await response.json()
        return response.status, body.get("error", {}).get("code", "")


async def readiness(live: Live) -> tuple[int, Any]:
    async with live.admin.get("/readyz") as response:
        return response.status, await response.json()


async def metric(live: Live, name: str) -> float:
    async with live.admin.get("/metrics") as response:
        text = await response.text()
    [line] = [line for line in text.splitlines() if line.startswith(f"{name}{{")]
    assert f'issuer="{ISSUER}"' in line
    return float(line.rpartition(" ")[2])


async def test_keys_are_fetched_before_the_replica_is_ready(make_live: MakeLive) -> None:
    """Until then a token is neither good nor bad."""
    async with issuing() as (issuer, url):
        first = issuer.make("1")
        issuer.keys = [first]
        issuer.holds.clear()
        live = await served(make_live, url)
        await until(lambda: issuer.asked == 1, "the first fetch")
        code, body = await readiness(live)
        assert (code, body["keys_missing"]) == (503, [ISSUER])
        assert await status(live, first) == (503, "starting")
        issuer.holds.set()
        await until(lambda: not live.service.gate.missing, "the keys")
        assert await status(live, first) == (200, "")
        code, body = await readiness(live)
        assert (code, "keys_missing" in body) == (200, False)
        assert await metric(live, "tickfan_jwks_keys") == 1
        assert await status(live, issuer.make("1")) == (401, "bad_token")


async def test_a_new_key_is_fetched_when_a_token_names_it(
    make_live: MakeLive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A taken one is gone; and whoever sends unknown names makes no storm of fetches."""
    async with issuing() as (issuer, url):
        old, new = issuer.make("1"), issuer.make("2")
        issuer.keys = [old]
        live = await served(make_live, url)
        await until(lambda: not live.service.gate.missing, "the keys")
        issuer.keys = [new]
        # A moment ago it was asked: the first token with the new name comes too soon.
        assert await status(live, new) == (401, "bad_token")
        assert issuer.asked == 1
        await pass_the_pause(live)
        assert await status(live, new) == (200, "")
        assert await status(live, old) == (401, "bad_token")
        unknown = [issuer.make(f"x{number}") for number in range(5)]
        found = await asyncio.gather(*(status(live, key) for key in unknown))
        assert set(found) == {(401, "bad_token")}
        assert issuer.asked == 2


async def pass_the_pause(live: Live) -> None:
    """As if the last fetch were long ago."""
    key_sets = live.service.gate.key_sets
    assert key_sets is not None
    for each in key_sets.sets:
        each.tried_at = float("-inf")


async def test_a_websocket_waits_for_a_new_key(make_live: MakeLive) -> None:
    """Also in the command auth; the commands behind it wait."""
    async with issuing() as (issuer, url):
        old, new = issuer.make("1"), issuer.make("2")
        issuer.keys = [old]
        live = await served(make_live, url)
        await until(lambda: not live.service.gate.missing, "the keys")
        issuer.keys = [old, new]
        async with live.ws("tickfan.json.v1") as talk:
            token = sign(new, {**standard_claims(), "channels": ["quotes.#"]})
            await talk.say(op="auth", token=token, id=1)
            assert (await talk.next())["code"] == "bad_token"
            await pass_the_pause(live)
            issuer.holds.clear()
            await talk.say(op="auth", token=token, id=2)
            await talk.say(op="subscribe", channels=["quotes.A"], id=3)
            await until(lambda: issuer.asked == 2, "the fetch")
            issuer.holds.set()
            assert (await talk.next())["event"] == "authenticated"
            assert (await talk.next())["event"] == "subscribed"


@pytest.mark.parametrize(
    ("response", "why"),
    [
        (web.Response(status=500), "the status 500"),
        (web.Response(status=302, headers={"Location": "/keys2"}), "the status 302"),
        (web.Response(text="<html>"), "no JSON"),
        (web.Response(body=b"x" * (SET_BYTES_MAX + 1)), "more than 262144 bytes"),
        (web.json_response({"keys": []}), "no key for ES256"),
    ],
    ids=["status", "redirect", "no JSON", "oversize", "empty"],
)
async def test_the_last_good_keys_stay(
    make_live: MakeLive, response: web.Response, why: str
) -> None:
    """What is wrong is logged once, and counted."""
    async with issuing() as (issuer, url):
        key = issuer.make("1")
        issuer.keys = [key]
        live = await served(make_live, url)
        await until(lambda: not live.service.gate.missing, "the keys")
        issuer.response = response
        await pass_the_pause(live)
        with capture_logs() as logs:
            assert await status(live, issuer.make("2")) == (401, "bad_token")
            assert await status(live, key) == (200, "")
        [said] = [line for line in logs if "could not be fetched" in line["event"]]
        assert why in said["why"]
        assert (said["issuers"], said["kept"]) == ([ISSUER], 1)
        assert await metric(live, "tickfan_jwks_failures_total") == 1
        assert (await readiness(live))[0] == 200


async def test_an_issuer_that_does_not_answer_holds_nobody_for_long(make_live: MakeLive) -> None:
    """Its time is over after jwks_timeout_s; the service goes on and stops as ever."""
    async with issuing() as (issuer, url):
        issuer.holds.clear()
        live = await served(make_live, url, ACCESS__JWKS_TIMEOUT_S="0.2")
        key_sets = live.service.gate.key_sets
        assert key_sets is not None
        await until(lambda: key_sets.sets[0].failures == 1, "the end of its time")
        assert (await readiness(live))[1]["keys_missing"] == [ISSUER]
        issuer.holds.set()
