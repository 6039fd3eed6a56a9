"""Tickets and cookies over all transports, through real sockets. In Chromium: tests/integration."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from loadtest.rig.process import ServiceProcess
from tests.support.access import token
from tests.support.raw import CLOSE, TEXT, connect, request, upgrade
from tests.support.tickets import SEALING, TICKETS, ask, cookie, ticket

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.support.fixtures import MakeLive
    from tests.support.live import Live
    from tests.support.raw import Wire

STREAMS = ("/v1/sse", "/v1/ndjson")
QUERY = "channels=quotes.A"
OWN, FOREIGN = "http://x", "https://evil.test"
LISTED, ALSO = "https://a.example", "https://b.example"
FORGED = "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..AAAA.AAAA.AAAA"


@pytest.fixture
async def live(make_live: MakeLive) -> Live:
    """A replica behind a proxy that it trusts, with two pages elsewhere that may ask."""
    service = await make_live(
        **SEALING,
        HTTP__ALLOWED_ORIGINS=orjson.dumps([LISTED, ALSO]).decode(),
        HTTP__TRUSTED_PROXIES='["127.0.0.1"]',
    )
    await service.publish("trades.A", "1")
    return service


@asynccontextmanager
async def socket(
    live: Live, query: str = "", offered: str = "tickfan.json.v1", **headers: str
) -> AsyncIterator[Wire]:
    """A WebSocket whose handshake has succeeded."""
    sent = upgrade(offered, **headers).replace(b"/v1/ws", f"/v1/ws{query}".encode())
    async with connect(live, sent) as wire:
        status, found = await wire.head()
        assert status == 101
        assert "set-cookie" not in found
        yield wire


async def said(wire: Wire) -> tuple[str, int]:
    """What a WebSocket is told first, and the code that it is closed with (0: it is not)."""
    first = orjson.loads((await wire.frame()).body)
    if first["t"] == "welcome":
        return "welcome", 0
    end = await wire.frame()
    assert end.opcode == CLOSE
    return first["reason"], end.code


async def told(wire: Wire, event: str) -> dict[str, Any]:
    """The first message of that kind."""
    while True:
        message: dict[str, Any] = orjson.loads((await wire.frame()).body)
        if message["t"] == event:
            return message


@pytest.mark.parametrize("path", STREAMS)
async def test_a_ticket_opens_one_stream_and_then_its_cookie_does(live: Live, path: str) -> None:
    """As EventSource comes back by itself: with the same URL, and the cookie."""
    text = await ticket(live)
    address = f"{path}?{QUERY}&ticket={text}"
    first = await ask(live, address)
    assert first.status == 200
    assert "no-store" in first.headers["cache-control"]
    made = first.cookie
    assert made is not None
    assert text not in made.values()
    assert 590 <= int(made["Max-Age"]) <= 600
    assert made == {
        "tickfan": made["tickfan"], "Max-Age": made["Max-Age"], "Path": "/", "HttpOnly": "",
        "SameSite": "Lax",
    }  # fmt: skip

    alone = await ask(live, address)
    assert (alone.status, alone.error["code"]) == (401, "bad_ticket")
    assert "POST /v1/tickets" in alone.error["message"]
    assert alone.headers["www-authenticate"].startswith("Bearer")
    assert live.service.tally.refusals["bad_ticket"] == 1

    again = await ask(live, address, Cookie=f"other=1; {first.sent}")
    assert again.status == 200
    assert again.cookie is None


async def test_a_cookie_opens_all_that_reads_and_no_more_than_its_token(live: Live) -> None:
    """Streams, REST and WebSockets, and the page comes with any."""
    sent = await cookie(live, channels=["trades.A"])
    for path in ("/v1/sse?channels=trades.A", "/v1/ndjson?channels=trades.A", "/v1/channels",
                 "/v1/channels/trades.A", "/v1/channels/trades.A/history"):  # fmt: skip
        assert (await ask(live, path, Cookie=sent)).status == 200, path
        assert (await ask(live, path)).status == (200 if path == "/v1/channels" else 401)
    for path in ("/v1/sse?channels=trades.B", "/v1/channels/quotes.A"):
        assert (await ask(live, path, Cookie=sent)).error["code"] == "forbidden"
    async with socket(live, Cookie=sent) as wire:
        assert await said(wire) == ("welcome", 0)
        wire.send_frame(TEXT, b'{"op": "subscribe", "channels": ["trades.A", "trades.B"]}')
        assert [one["channel"] for one in (await told(wire, "subscribed"))["channels"]] == [
            "trades.A"
        ]


async def test_a_websocket_takes_a_ticket_and_is_told_by_its_close(live: Live) -> None:
    """A script sees no status. After a used one it may come back, with another."""
    query = f"?ticket={await ticket(live)}"
    for expected in (("welcome", 0), ("expired", 4004)):
        async with socket(live, query) as wire:
            assert await said(wire) == expected
    for wrong in (FORGED, "", "%FF"):
        async with socket(live, f"?ticket={wrong}") as wire:
            assert await said(wire) == ("bad_token", 4500)
    # With a cookie beside it, as on the streams.
    async with socket(live, query, Cookie=await cookie(live)) as wire:
        assert await said(wire) == ("welcome", 0)
    async with socket(live, Cookie=f"tickfan={FORGED}") as wire:
        assert await said(wire) == ("bad_token", 4500)
    # Without the handshake it is no WebSocket, whatever is in the address.
    assert (await ask(live, f"/v1/ws?ticket={FORGED}")).status == 426


@pytest.mark.parametrize("origin", [FOREIGN, "null", "http://x:81"])
async def test_a_page_that_is_not_listed_gets_nothing_by_a_cookie_or_a_ticket(
    live: Live, origin: str
) -> None:
    """Its browser sends the cookie along. No handshake is made, and no ticket is used up."""
    sent, text = await cookie(live), await ticket(live)
    for path in (
        f"/v1/sse?{QUERY}",
        f"/v1/ndjson?{QUERY}",
        "/v1/channels",
        "/v1/channels/trades.A",
    ):
        refused = await ask(live, path, Cookie=sent, Origin=origin)
        assert (refused.status, refused.error["code"]) == (403, "origin_forbidden"), path
        assert (await ask(live, path, Cookie=sent, Origin=OWN)).status == 200
        assert (await ask(live, path, Cookie=sent, Origin=LISTED)).status == 200
        # An image or a script of any page says no Origin.
        refused = await ask(live, path, Cookie=sent, Sec_Fetch_Mode="no-cors")
        assert (refused.status, refused.error["code"]) == (403, "origin_forbidden")
    async with connect(live, upgrade(Cookie=sent, Origin=origin)) as wire:
        assert (await wire.head())[0] == 403
    for method in ("POST", "DELETE"):
        refused = await ask(live, "/v1/tickets", method=method, Cookie=sent, Origin=origin)
        assert refused.error["code"] == "origin_forbidden"
    address = f"/v1/sse?{QUERY}&ticket={text}"
    assert (await ask(live, address, Origin=origin)).error["code"] == "origin_forbidden"
    assert (await ask(live, address)).status == 200


async def test_by_a_cookie_only_a_page_that_says_so_publishes(live: Live) -> None:
    """A form of another page would send the cookie, too."""
    sent = await cookie(live, publish=["trades.A"])
    path = live.url("/v1/channels/trades.A")

    async def publish(**headers: str) -> tuple[int, str]:
        async with live.session.post(path, json=1, headers={"Host": "x", **headers}) as answer:
            return answer.status, (await answer.json()).get("error", {}).get("code", "")

    assert await publish(Cookie=sent) == (403, "origin_forbidden")
    assert await publish(Cookie=sent, Origin=FOREIGN) == (403, "origin_forbidden")
    assert await publish(Cookie=sent, Origin=OWN) == (201, "")
    assert await publish(Cookie=await cookie(live), Origin=OWN) == (403, "publish_forbidden")
    assert await publish() == (401, "publish_unauthorized")


@pytest.mark.parametrize(
    ("asked", "used", "is_taken"),
    [
        (LISTED, {"Origin": LISTED}, True),
        (LISTED, {"Origin": ALSO}, False),
        (LISTED, {"Origin": OWN}, False),
        (LISTED, {}, False),
        (LISTED, {"Sec_Fetch_Site": "cross-site"}, False),
        (OWN, {"Origin": OWN}, True),
        (OWN, {"Origin": LISTED}, False),
        # A browser says no Origin where a page reads from its own address.
        (OWN, {}, True),
        (OWN, {"Sec_Fetch_Site": "same-origin"}, True),
        (OWN, {"Sec_Fetch_Site": "same-site"}, False),
        (OWN, {"X_Forwarded_Host": "another.example"}, False),
        # No page has asked for it: a server did, and gave it to its page.
        ("", {"Origin": LISTED}, True),
        ("", {}, True),
    ],
)
async def test_a_ticket_is_for_the_page_that_asked_for_it(
    live: Live, asked: str, used: dict[str, str], *, is_taken: bool
) -> None:
    """A page of another origin cannot use one that it has seen, and does not use it up."""
    text = await ticket(live, origin=asked)
    address = f"/v1/sse?{QUERY}&ticket={text}"
    answer = await ask(live, address, **used)
    if is_taken:
        assert answer.status == 200
        return
    assert answer.error == {
        "code": "bad_ticket", "message": "the ticket was made for a page of another origin",
    }  # fmt: skip
    assert (await ask(live, address, Origin=asked)).status == 200


@pytest.mark.parametrize(
    ("headers", "is_secure", "samesite"),
    [
        ({"Origin": OWN}, False, "Lax"),
        ({"Sec_Fetch_Site": "same-origin", "Sec_Fetch_Mode": "cors"}, False, "Lax"),
        ({"X_Forwarded_Proto": "https"}, True, "Lax"),
        ({"Forwarded": "proto=https;host=x"}, True, "Lax"),
        ({"X_Forwarded_Proto": "https", "Origin": "https://x"}, True, "Lax"),
        ({"X_Forwarded_Proto": "https", "Origin": LISTED}, True, "None"),
        (
            {"X_Forwarded_Proto": "https", "Origin": LISTED, "Sec_Fetch_Site": "cross-site"},
            True, "None",
        ),
        # Another origin of the same site: its cookie need not go to other sites.
        (
            {"X_Forwarded_Proto": "https", "Origin": LISTED, "Sec_Fetch_Site": "same-site"},
            True, "Lax",
        ),
        # Browsers take SameSite=None with Secure only, and that by HTTPS only.
        ({"Origin": LISTED, "Sec_Fetch_Site": "cross-site"}, False, "Lax"),
        # What a link or an image brings is no script's: it would make a reader somebody else.
        ({"Sec_Fetch_Mode": "navigate"}, False, None),
        ({"Sec_Fetch_Mode": "no-cors", "Sec_Fetch_Site": "cross-site"}, False, None),
    ],
)  # fmt: skip
async def test_the_cookie_goes_no_further_than_it_must(
    live: Live, headers: dict[str, str], samesite: str | None, *, is_secure: bool
) -> None:
    """Over HTTPS alone if the page came by it, and to other sites for a listed page alone."""
    path = f"/v1/sse?{QUERY}&ticket={await ticket(live)}"
    answer = await ask(live, path, **headers)
    assert answer.status == 200
    if samesite is None:
        assert answer.cookie is None
        return
    made = answer.cookie
    assert made is not None
    assert "HttpOnly" in made
    assert ("Secure" in made, made["SameSite"]) == (is_secure, samesite)
    # Browsers that keep no cookies of other sites keep those that they give to one site alone.
    assert ("Partitioned" in made) == (samesite == "None")
    # It is dropped as it was set, or the browser would keep it.
    dropped = await ask(live, "/v1/tickets", method="DELETE", Cookie=answer.sent, **headers)
    assert (dropped.status, dropped.headers["cache-control"]) == (204, "no-store")
    assert dropped.cookie == {**made, "tickfan": "", "Max-Age": "0"}


async def test_who_is_no_trusted_proxy_says_nothing_of_https(make_live: MakeLive) -> None:
    """Else a cookie would be kept back from the page that needs it."""
    live = await make_live(**SEALING)
    path = f"/v1/sse?{QUERY}&ticket={await ticket(live)}"
    made = (await ask(live, path, X_Forwarded_Proto="https")).cookie
    assert made is not None
    assert "Secure" not in made


async def test_what_a_client_means_comes_first(live: Live) -> None:
    """The header, then the subprotocol, then the ticket, then the cookie."""
    text, wide = await ticket(live), await cookie(live)
    narrow = token(channels=["trades.#"])
    path = f"/v1/sse?{QUERY}"
    refused = await ask(
        live, f"{path}&ticket={text}", Cookie=wide, Authorization=f"Bearer {narrow}"
    )
    assert refused.error["code"] == "forbidden"
    offered = f"tickfan.json.v1, bearer.{narrow}"
    async with socket(live, f"?ticket={text}", offered, Cookie=wide) as wire:
        assert (await said(wire))[0] == "welcome"
        wire.send_frame(TEXT, b'{"op": "subscribe", "channels": ["quotes.A"]}')
        assert (await told(wire, "error"))["code"] == "forbidden"
    # Neither has used the ticket. A cookie that counts no longer does not stand in its way.
    assert (await ask(live, f"{path}&ticket={text}", Cookie=f"tickfan={FORGED}")).status == 200
    refused = await ask(live, f"{path}&ticket={text}", Cookie=f"tickfan={FORGED}")
    assert refused.error["code"] == "bad_token"
    assert (await ask(live, path, Cookie=f"tickfan={FORGED}")).error["code"] == "bad_token"
    # The page and the way to drop it need none that counts.
    assert (await ask(live, "/", Cookie=f"tickfan={FORGED}")).status == 200
    dropped = await ask(live, "/v1/tickets", method="DELETE", Cookie=f"tickfan={FORGED}")
    assert dropped.status == 204


async def test_a_new_ticket_replaces_the_cookie(live: Live) -> None:
    """A browser has one: it is whoever came last. A cookie gets a ticket, too, for a WebSocket."""
    before = await cookie(live)
    path = f"/v1/sse?channels=trades.A&ticket={await ticket(live, channels=['trades.A'])}"
    after = await ask(live, path, Cookie=before)
    assert after.status == 200
    assert after.sent != before
    assert (await ask(live, f"/v1/sse?{QUERY}", Cookie=after.sent)).error["code"] == "forbidden"

    made = await ask(live, TICKETS, method="POST", Cookie=before, Origin=OWN)
    async with socket(live, f"?ticket={made.body['ticket']}", Origin=OWN) as wire:
        assert (await said(wire))[0] == "welcome"


async def test_any_replica_takes_them(make_live: MakeLive) -> None:
    """A ticket of one is used at another; each lets it in once. The cookie counts at both."""
    one, another = await make_live(**SEALING), await make_live(**SEALING)
    path = f"/v1/sse?{QUERY}&ticket={await ticket(one)}"
    used = await ask(another, path)
    assert used.status == 200
    assert (await ask(another, path)).error["code"] == "bad_ticket"
    for replica in (one, another):
        assert (await ask(replica, f"/v1/sse?{QUERY}", Cookie=used.sent)).status == 200
    # A replica with another secret takes neither, and one with both takes both.
    other = await make_live(**{**SEALING, "ACCESS__SECRET": "o" * 32})
    fresh = f"/v1/sse?{QUERY}&ticket={await ticket(one)}"
    assert (await ask(other, fresh)).error["code"] == "bad_ticket"
    both = f"{'o' * 32} {SEALING['ACCESS__SECRET']}"
    turning = await make_live(**{**SEALING, "ACCESS__SECRET": both})
    assert (await ask(turning, fresh)).status == 200
    assert (await ask(turning, f"/v1/sse?{QUERY}", Cookie=used.sent)).status == 200
    turned = await ask(other, f"/v1/sse?{QUERY}&ticket={await ticket(turning)}")
    assert turned.status == 200


async def test_a_cookie_ends_with_its_token(live: Live) -> None:
    """The stream is told, and what comes back with the cookie is told the same, by name."""
    path = f"/v1/ndjson?{QUERY}&ticket={await ticket(live, exp=time.time() + 6.5)}"
    async with connect(live, request(path, version="1.0")) as wire:
        _, headers = await wire.head()
        sent = headers["set-cookie"].partition(";")[0]
        assert orjson.loads((await wire.rest()).splitlines()[-1])["reason"] == "expired"
    refused = await ask(live, path, Cookie=sent)
    assert (refused.status, refused.error["code"]) == (401, "expired")
    async with socket(live, Cookie=sent) as wire:
        assert await said(wire) == ("expired", 4004)
    # With a new token it goes on.
    fresh = f"/v1/ndjson?{QUERY}&ticket={await ticket(live)}"
    assert (await ask(live, fresh, Cookie=sent)).status == 200


async def test_neither_is_ever_told_to_anybody(tmp_path: Path) -> None:
    """Neither the log, also that of aiohttp and asyncio, nor an answer, an event or a metric."""
    settings = {**SEALING, "LOG__LEVEL": "debug", "LOG__FORMAT": "json"}
    heard = b""
    with ServiceProcess(tmp_path, settings, environ={"PYTHONASYNCIODEBUG": "1"}) as service:
        port = service.port
        tickets = [await ticket(port) for _ in range(3)]
        address = f"/v1/sse?{QUERY}&ticket={tickets[0]}"
        sent = (await ask(port, address)).sent
        socket_by = upgrade(Cookie=sent).replace(b"/v1/ws", f"/v1/ws?ticket={tickets[2]}".encode())
        asked = (
            request(address, Cookie=sent),
            request(address),
            request(address, Cookie=sent, Origin=FOREIGN),
            request(f"/v1/sse?ticket={tickets[1]}"),
            request(f"/v1/sse?{QUERY}&nonsense=1&ticket={tickets[1]}"),
            request(f"/v1/channels?ticket={tickets[1]}", Cookie=sent),
            request(f"/v1/nowhere?ticket={tickets[1]}", Cookie=sent),
            request(f"/v1/tickets?ticket={tickets[1]}", method="POST", Cookie=sent, Origin=OWN),
            # What cannot be read, or not as it was meant.
            request(address, Cookie=f"{sent}\0"),
            request(address, Cookie=f"{sent[8:]}; =; {sent}é"),
            request(f"{address}{'x' * 9000}", Cookie=sent),
            request(address, Cookie=sent + "x" * 9000),
            request(address, Cookie=sent, Content_Length="-1"),
            socket_by,
            socket_by,
            socket_by.replace(tickets[2].encode(), tickets[2].encode() + b"x"),
        )
        for each in asked:
            async with connect(port, each) as wire:
                heard += await wire.up_to(b"\r\n\r\n")
                heard += await wire.up_to(b"}")
        for path in ("/metrics", "/v1/stats"):
            async with connect(service.admin_port, request(path, version="1.0")) as wire:
                heard += await wire.rest()
        assert service.stop() == 0
        logged = service.output
    assert logged.count("connection ended") >= 3
    assert '"level":"debug"' in logged
    told = heard.decode(errors="replace") + logged
    for secret in (*tickets, sent.partition("=")[2]):
        for part in secret.split(".")[2:]:
            assert part not in told
