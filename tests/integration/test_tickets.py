"""Tickets and cookies in a real Chromium: the browser comes back by itself."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from loadtest.rig.waiting import until
from tests.support.access import token
from tests.support.browser import Browser
from tests.support.frontproxy import FrontProxy, Ports
from tests.support.programs import require
from tests.support.tickets import READS, SEALING
from tests.support.tls import make_certificates
from tickfan.core import closing
from tickfan.transports.line import Line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support.fixtures import MakeLive
    from tests.support.frontproxy import Replica
    from tests.support.live import Live, MakeClient

ROOT = Path(__file__).parents[2]
QUICK = {**SEALING, "STREAM__RETRY_MS": "100"}

PROGRAM = next(
    code
    for code in re.findall(
        r"```js\n(.*?)```", (ROOT / "docs" / "clients.md").read_text(), re.DOTALL
    )
    if "/v1/tickets" in code
)
"""That of docs/clients.md, as it stands there."""
# What its EventSource is told is kept, too.
WATCHED = """
    Object.assign(window, {seen: [], told: [], opened: 0, sources: []});
    const Source = EventSource;
    window.EventSource = class extends Source {
        constructor(...words) {
            super(...words);
            sources.push(this);
            this.addEventListener('open', () => { window.opened += 1; });
            for (const event of ['closing', 'reset', 'gap']) {
                this.addEventListener(event, ({data}) => told.push(JSON.parse(data).reason));
            }
        }
    };
"""


async def listen(browser: Browser, url: str, *tokens: str) -> None:
    """Let the page listen with a ticket of each token, one after the other."""
    words = json.dumps([url, list(tokens)])
    start = "listen(url, () => tokens.shift() ?? fail(), (data) => seen.push(data))"
    await browser.run(f"{{ {WATCHED}; {PROGRAM}; const [url, tokens] = {words}; {start} }}")
    await browser.until("opened == 1")


def cut(service: Live) -> None:
    """End all connections as a network does: without a word."""
    for connection in service.service.connections:
        pipe = connection.subscriber.pipe
        assert isinstance(pipe, Line)
        pipe.abort()


async def test_an_eventsource_with_a_used_ticket_comes_back_and_misses_nothing(
    make_live: MakeLive,
) -> None:
    """By its cookie, with the id of the last event; after a goodbye, and after a cut."""
    service = await make_live(**QUICK)
    connections = service.service.connections
    async with Browser() as browser:
        await browser.visit(service.url("/"))
        await listen(browser, service.url(""), token(**READS))
        for number in range(9):
            if number == 3:
                for connection in connections:
                    connection.subscriber.end(closing.MAX_AGE)
            elif number == 6:
                cut(service)
            await service.publish("trades.A", number)
            await browser.until(f"opened == {1 + number // 3}")
        await browser.until("seen.length >= 9")
        assert await browser.run("seen") == list(range(9))
        assert await browser.run("told") == ["max_age"]
        assert await browser.run("document.cookie") == ""

        # Whoever has dropped the cookie does not come back.
        await browser.run("fetch('/v1/tickets', {method: 'DELETE'}).then((one) => one.status)")
        cut(service)
        await browser.until("sources[0].readyState == EventSource.CLOSED")
        assert service.service.tally.refusals["bad_ticket"] == 1


async def test_a_listed_page_elsewhere_comes_back_too(
    make_live: MakeLive, aiohttp_client: MakeClient
) -> None:
    """If it asks with credentials; another page cannot use what the browser holds."""
    app = web.Application()
    pages = [await aiohttp_client(app), await aiohttp_client(web.Application())]
    listed, other = (str(page.make_url("/")).rstrip("/") for page in pages)
    service = await make_live(**QUICK, HTTP__ALLOWED_ORIGINS=json.dumps([listed]))
    async with Browser() as browser:
        await browser.visit(listed)
        await listen(browser, service.url(""), token(**READS))
        cut(service)
        await service.publish("trades.A", 1)
        await browser.until("opened == 2 && seen.length == 1")
        await until(lambda: service.service.connected == 1)

        await browser.visit(other)
        script = """new Promise((done) => {
            const source = new EventSource(URL, {withCredentials: true});
            source.onopen = () => done('open');
            source.onerror = () => done(source.readyState);
        })""".replace("URL", json.dumps(service.url("/v1/sse?channels=trades.A")))
        assert await browser.run(script) == 2
        assert service.service.tally.refusals["origin_forbidden"] == 1


class Https(FrontProxy):
    """HAProxy that ends TLS in front of one replica, and says so to it."""

    def prepare(self, replicas: Sequence[Replica], idle_timeout_s: int | None) -> list[str]:
        certificates = make_certificates(self._directory)
        pem, config = self._directory / "https.pem", self._directory / "https.cfg"
        pem.write_text(
            Path(certificates.server_cert).read_text() + Path(certificates.server_key).read_text()
        )
        config.write_text(f"""
            defaults
                mode http
                timeout connect 5s
                timeout client {idle_timeout_s}s
                timeout server {idle_timeout_s}s
            listen tickfan
                bind 127.0.0.1:{self.port} ssl crt {pem}
                http-request set-header X-Forwarded-Proto https
                server replica 127.0.0.1:{replicas[0].port}
        \n""")
        return [require("haproxy"), "-W", "-db", "-f", str(config)]


async def test_a_page_of_another_site_comes_back_by_https(
    make_live: MakeLive, aiohttp_client: MakeClient, tmp_path: Path
) -> None:
    """With SameSite=None and Secure; the cookie is not sent to it by plain HTTP."""
    elsewhere = await aiohttp_client(web.Application())
    listed = f"http://localhost:{elsewhere.port}"
    service = await make_live(
        **QUICK,
        HTTP__ALLOWED_ORIGINS=json.dumps([listed]),
        HTTP__TRUSTED_PROXIES='["127.0.0.1"]',
    )
    assert service.client.port is not None
    replica = Ports(service.client.port, 0)
    with Https(tmp_path, [replica], idle_timeout_s=120) as proxy:
        async with Browser("--ignore-certificate-errors") as browser:
            await browser.visit(listed)
            await listen(browser, f"https://127.0.0.1:{proxy.port}", token(**READS))
            cut(service)
            await service.publish("trades.A", 1)
            await browser.until("opened == 2 && seen.length == 1")
            assert not service.service.tally.refusals["bad_ticket"]


async def test_at_the_end_of_its_token_the_page_goes_on_with_the_next(
    make_live: MakeLive,
) -> None:
    """The EventSource is told, comes back once, and ends by a 401. Nothing is lost meanwhile."""
    service = await make_live(**QUICK)
    async with Browser() as browser:
        await browser.visit(service.url("/"))
        await listen(browser, service.url(""), token(**READS, exp=time.time() + 8), token(**READS))
        await service.publish("trades.A", 0)
        await browser.until("sources[0].readyState == EventSource.CLOSED")
        await service.publish("trades.A", 1)
        await browser.until("sources.length == 2 && opened >= 2")
        await service.publish("trades.A", 2)
        await browser.until("seen.length == 3")
        assert await browser.run("seen") == [0, 1, 2]
        assert await browser.run("told") == ["expired"]
        assert service.service.tally.refusals["expired"] > 0
