"""Pages of other origins in a real Chromium: what the browser lets them have, and what not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from tests.support.browser import Browser

if TYPE_CHECKING:
    from tests.support.fixtures import MakeLive
    from tests.support.live import Live, MakeClient

SSE = """new Promise((done) => {
    const source = new EventSource(URL + '/v1/sse?channels=quotes.A', {withCredentials: true});
    source.onmessage = (event) => { source.close(); done(JSON.parse(event.data).data); };
    source.onerror = () => { source.close(); done('refused'); };
})"""
# POST with a body of JSON and a header: the browser asks first.
NDJSON = """fetch(URL + '/v1/ndjson', {
    method: 'POST', credentials: 'include', body: JSON.stringify({channels: ['quotes.A']}),
    headers: {'Content-Type': 'application/json', 'Authorization': 'Bearer x'},
}).then(async (answer) => {
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    for (;;) {
        text += (await reader.read()).value;
        for (const line of text.split('\\n').slice(0, -1).map((one) => JSON.parse(one))) {
            if (line.data !== undefined) { reader.cancel(); return line.data; }
        }
    }
}, () => 'refused')"""
REST = "fetch(URL + '/v1/channels/quotes.A').then((one) => one.json(), () => ({data: 'refused'}))"
WEBSOCKET = """new Promise((done) => {
    const socket = new WebSocket(URL.replace('http', 'ws') + '/v1/ws', 'tickfan.json.v1');
    socket.onopen = () => socket.send('{"op": "subscribe", "channels": ["quotes.A"]}');
    socket.onmessage = ({data}) => {
        const message = JSON.parse(data);
        if (message.t === 'updates') { done(message.u[0][3]); socket.close(); }
    };
    socket.onerror = () => done('refused');
})"""
ALL = f"""Promise.all([{SSE}, {NDJSON}, {REST}.then((one) => one.data), {WEBSOCKET}])"""


@pytest.fixture
async def elsewhere(aiohttp_client: MakeClient) -> str:
    """A page on a port of its own; its URL."""

    async def page(_request: web.Request) -> web.Response:
        return web.Response(text="<title>elsewhere</title>", content_type="text/html")

    app = web.Application()
    app.router.add_get("/", page)
    client = await aiohttp_client(app)
    return str(client.make_url("/"))


async def seen(browser: Browser, service: Live) -> Any:
    """What the browser's page gets of SSE, NDJSON, REST and a WebSocket."""
    return await browser.run(
        f"(() => {{ const URL = {json.dumps(service.url(''))}; return {ALL} }})()"
    )


async def test_a_page_elsewhere_has_what_its_listing_gives_it(
    make_live: MakeLive, elsewhere: str
) -> None:
    """All four doors if it is listed, also with cookies and headers; none if it is not."""
    origin = elsewhere.rstrip("/")
    async with Browser() as browser:
        await browser.open(elsewhere)
        for listed, found in ((f'["{origin}"]', "1.5"), ("[]", "refused")):
            service = await make_live(HTTP__ALLOWED_ORIGINS=listed)
            await service.publish("quotes.A", "1.5")
            assert await seen(browser, service) == [found] * 4, listed
        # A page without an origin of its own is nobody's, whatever the list has.
        await browser.visit("data:text/html,<title>null</title>")
        assert await seen(browser, service) == ["refused"] * 4
        # The service's own page needs no list.
        await browser.visit(service.url("/"))
        assert await seen(browser, service) == ["1.5"] * 4


async def test_a_page_elsewhere_cannot_embed_what_is_here(
    make_live: MakeLive, elsewhere: str
) -> None:
    """Neither as an image nor as a script, nor in a frame, listed or not."""
    service = await make_live(HTTP__ALLOWED_ORIGINS=f'["{elsewhere.rstrip("/")}"]')
    async with Browser() as browser:
        await browser.open(elsewhere)
        loads = """(tag, url) => new Promise((done) => {
            const one = Object.assign(document.createElement(tag), {src: url});
            one.onload = () => done('loaded');
            one.onerror = () => done('refused');
            document.body.append(one);
        })"""
        for tag, path in (("img", "/static/icon.svg"), ("script", "/static/feeds.js")):
            address = json.dumps(service.url(path))
            assert await browser.run(f"({loads})('{tag}', {address})") == "refused", tag
        await browser.run(f"({loads})('iframe', {json.dumps(service.url('/'))})")
        await browser.run("true")
        assert any("frame-ancestors" in one for one in browser.complaints), browser.complaints
