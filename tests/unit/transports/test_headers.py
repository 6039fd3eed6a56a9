"""tickfan.transports.headers: what each answer has."""

from __future__ import annotations

from aiohttp import web

from tickfan.transports.headers import HEADERS, add_headers


def test_an_answer_may_say_another_thing() -> None:
    """The page has a policy of its own; all else is added."""
    response = web.Response(headers={"Content-Security-Policy": "default-src 'self'"})
    add_headers(response)
    found = {name: response.headers[name] for name in HEADERS}
    assert found == HEADERS | {"Content-Security-Policy": "default-src 'self'"}
