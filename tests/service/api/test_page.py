"""The page's files as HTTP answers. What they do in a browser: tests/integration/test_page.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from tickfan.api.page import Page

if TYPE_CHECKING:
    from pathlib import Path

    from aiohttp import ClientResponse

    from tests.support.live import Live, MakeClient

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


async def fetch(live: Live, path: str, **headers: str) -> tuple[ClientResponse, bytes]:
    async with live.session.get(live.url(path), headers=headers, auto_decompress=False) as answer:
        return answer, await answer.read()


async def test_a_browser_gets_the_page_and_a_terminal_the_addresses(service: Live) -> None:
    """By what is accepted; a cache is told so."""
    answer, body = await fetch(service, "/", **BROWSER)
    assert (answer.status, answer.content_type) == (200, "text/html")
    assert answer.headers["Vary"] == "Accept, Accept-Encoding"
    answer, body = await fetch(service, "/", Accept="*/*")
    assert answer.content_type == "application/json"
    assert answer.headers["Vary"] == "Accept, Accept-Encoding"
    assert b'"/v1/sse"' in body


async def test_every_file_that_the_page_names_is_there(service: Live) -> None:
    """Relative addresses: it may stand below a path."""
    _, page = await fetch(service, "/", **BROWSER, **{"Accept-Encoding": "identity"})
    named = [part.split(b'"')[0].decode() for part in page.split(b'="static/')[1:]]
    assert {"app.js", "style.css", "icon.svg"} == set(named)
    for name, kind in zip(
        ("app.js", "style.css", "icon.svg"),
        ("text/javascript", "text/css", "image/svg+xml"),
        strict=True,
    ):
        answer, body = await fetch(service, f"/static/{name}")
        assert (answer.status, answer.content_type) == (200, kind)
        assert body


async def test_no_script_but_its_own_may_run(service: Live) -> None:
    """The policy that a browser holds it to: no source but itself, no inline script, no frame
    of another origin."""
    for path in ("/", "/static/app.js"):
        answer, _ = await fetch(service, path, **BROWSER)
        policy = dict(
            part.strip().split(" ", 1)
            for part in answer.headers["Content-Security-Policy"].split(";")
        )
        assert policy["default-src"] == policy["base-uri"] == "'none'"
        assert policy["script-src"] == policy["connect-src"] == "'self'"
        assert policy["frame-ancestors"] == "'self'"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"


async def test_what_has_not_changed_is_not_sent_again(service: Live) -> None:
    """304 by ETag, whatever the encoding; any other tag gets the whole file."""
    answer, body = await fetch(service, "/static/app.js", **{"Accept-Encoding": "gzip"})
    tag = answer.headers["ETag"]
    assert answer.headers["Cache-Control"] == "no-cache"
    assert answer.headers["Content-Encoding"] == "gzip"
    assert body
    for known in (tag, f'"other", {tag}', "*", tag.removeprefix("W/")):
        answer, body = await fetch(service, "/static/app.js", **{"If-None-Match": known})
        assert (answer.status, body) == (304, b""), known
        assert answer.headers["ETag"] == tag
        assert answer.headers["Cache-Control"] == "no-cache"
    answer, body = await fetch(service, "/static/app.js", **{"If-None-Match": '"other"'})
    assert answer.status == 200
    assert body


async def test_a_name_of_its_contents_is_kept_for_ever(
    aiohttp_client: MakeClient, tmp_path: Path
) -> None:
    """As the image has them; the page itself is asked for each time."""
    for name in ("index.html", "app-SDPNVPDX.js", "app.js"):
        (tmp_path / name).write_text("1")
    page = Page(tmp_path)
    app = web.Application()
    app.add_routes([web.get("/", page.index), web.get("/static/{name}", page.asset)])
    client = await aiohttp_client(app)
    kept = {}
    for path in ("/", "/static/app-SDPNVPDX.js", "/static/app.js"):
        async with client.get(path, headers=BROWSER) as answer:
            kept[path] = answer.headers["Cache-Control"]
    assert kept == {
        "/": "no-cache",
        "/static/app-SDPNVPDX.js": "public, max-age=31536000, immutable",
        "/static/app.js": "no-cache",
    }


@pytest.mark.parametrize(
    "name",
    ["nothing.js", "index.html", "..%2Fapp.py", "%2e%2e%2fapp.py", "%00", "a%0d%0ab", "app.js%2f"],
)
async def test_nothing_else_is_served(service: Live, name: str) -> None:
    """A name that is no file of the page is a JSON 404."""
    answer, body = await fetch(service, f"/static/{name}")
    assert (answer.status, answer.content_type) == (404, "application/json")
    assert b'"not_found"' in body


async def test_only_reading_is_allowed(service: Live) -> None:
    """Named, as everywhere."""
    async with service.session.post(service.url("/static/app.js")) as answer:
        assert answer.status == 405
        assert (await answer.json())["error"]["code"] == "method_not_allowed"
