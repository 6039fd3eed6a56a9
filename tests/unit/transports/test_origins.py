"""tickfan.transports.origins: which pages may ask."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from tickfan.core.errors import Refusal
from tickfan.transports.origins import Origins
from tickfan.transports.remotes import Remotes

if TYPE_CHECKING:
    from aiohttp import web

LISTED = "https://app.example.com"
PROXY, STRANGER = "10.0.0.1", "203.0.113.9"
ORIGINS = Origins([LISTED, "http://Other.example:80"], Remotes(["10.0.0.0/8"]))


def asked(
    origin: str | None, *headers: tuple[str, str], peer: str = STRANGER, secure: bool = False
) -> web.Request:
    """A request to ``prices.example:8000``, if the headers name no other host."""
    given = CIMultiDict(headers)
    given.setdefault("Host", "prices.example:8000")
    if origin is not None:
        given["Origin"] = origin
    request = make_mocked_request("GET", "/v1/ws", headers=given)
    return request.clone(remote=peer, scheme="https" if secure else "http")


def passes(request: web.Request) -> bool:
    try:
        ORIGINS.check(request)
    except Refusal as refusal:
        return refusal.code != "origin_forbidden"
    return True


@pytest.mark.parametrize(
    ("origin", "may"),
    [
        (None, True),
        (LISTED, True),
        ("HTTPS://app.example.com:443", True),
        ("http://other.example", True),
        ("http://prices.example:8000", True),
        # Nobody has said the scheme: a proxy may have TLS, and we do not know it.
        ("https://prices.example:8000", True),
        ("http://prices.example", False),
        ("http://prices.example:80", False),
        ("http://app.example.com", False),
        ("https://app.example.com.evil.example", False),
        ("https://evil.example/https://app.example.com", False),
        ("null", False),
        ("", False),
        (f"{LISTED}, {LISTED}", False),
    ],
)
def test_a_page_of_the_own_or_a_listed_origin_may_ask(origin: str | None, *, may: bool) -> None:
    """Host and port are compared, and nothing but a whole origin is."""
    assert passes(asked(origin)) is may


def test_several_origins_are_none_of_the_list() -> None:
    """Two lines are what no browser sends."""
    lines = (("Origin", LISTED), ("Origin", "https://evil.example"))
    assert not passes(asked(None, *lines))


@pytest.mark.parametrize(
    ("host", "origin", "may"),
    [
        ("prices.example", "https://prices.example", True),
        ("prices.example:443", "https://prices.example", True),
        ("prices.example", "http://prices.example", False),
        ("prices.example", "https://prices.example:444", False),
    ],
)
def test_on_tls_of_our_own_the_scheme_counts(host: str, origin: str, *, may: bool) -> None:
    """A page that came without TLS may be anybody's."""
    assert passes(asked(origin, ("Host", host), secure=True)) is may


BY_PROXY = [
    # Host as the browser sent it, and the scheme beside it.
    ([("X-Forwarded-Proto", "https")], "https://prices.example:8000", True),
    ([("X-Forwarded-Proto", "https")], "http://prices.example:8000", False),
    ([("X-Forwarded-Proto", "wss")], "https://prices.example:8000", True),
    ([("X-Forwarded-Proto", "gopher")], "http://prices.example:8000", True),
    # A host of the proxy's own, and the browser's beside it.
    (
        [("X-Forwarded-Host", "www.example"), ("X-Forwarded-Proto", "https")],
        "https://www.example", True,
    ),
    (
        [("X-Forwarded-Host", "www.example, inner"), ("X-Forwarded-Proto", "https, http")],
        "https://www.example", True,
    ),
    ([("X-Forwarded-Host", "www.example")], "http://prices.example:8000", False),
    # A port beside it, where the host has none.
    ([("Host", "p.example"), ("X-Forwarded-Port", "8000")], "http://p.example:8000", True),
    ([("Host", "p.example"), ("X-Forwarded-Port", "8000")], "http://p.example", False),
    ([("Host", "p.example:1"), ("X-Forwarded-Port", "8000")], "http://p.example:1", True),
    ([("Host", "[::1]"), ("X-Forwarded-Port", "8000")], "http://[::1]:8000", True),
    ([("Host", "p.example"), ("X-Forwarded-Port", "443")], "https://p.example", True),
    # RFC 7239.
    ([("Forwarded", 'for=x;host="f.example:1";proto=https')], "https://f.example:1", True),
    ([("Forwarded", 'for=x;host="f.example:1";proto=https')], "http://f.example:1", False),
    ([("Forwarded", "broken;;=")], "http://prices.example:8000", True),
]  # fmt: skip


@pytest.mark.parametrize(("headers", "origin", "may"), BY_PROXY)
def test_a_trusted_proxy_says_what_the_browser_addressed(
    headers: list[tuple[str, str]], origin: str, *, may: bool
) -> None:
    """By the headers that proxies write; what is missing is not compared."""
    assert passes(asked(origin, *headers, peer=PROXY)) is may


@pytest.mark.parametrize(
    "header",
    [
        ("X-Forwarded-Host", "evil.example"),
        ("Forwarded", "host=evil.example"),
    ],
)
def test_nobody_else_says_it(header: tuple[str, str]) -> None:
    """A stranger's headers are not read."""
    assert not passes(asked("http://evil.example", header))
    assert passes(asked("http://prices.example:8000", header))
    assert passes(asked("http://evil.example", header, peer=PROXY))


@pytest.mark.parametrize(
    ("site", "may"),
    [("same-origin", True), ("same-site", False), ("cross-site", False), ("none", False)],
)
def test_the_browser_itself_says_whether_it_is_the_own_page(site: str, *, may: bool) -> None:
    """No page can set Sec-Fetch-Site (Fetch Metadata, section 2.3)."""
    assert passes(asked("https://unknown.example", ("Sec-Fetch-Site", site))) is may


def test_the_refusal_says_both_addresses() -> None:
    """So that who runs a proxy sees what it does not pass on."""
    with pytest.raises(Refusal) as caught:
        ORIGINS.check(asked("http://prices.example", ("Host", "inner:8080")))
    assert "'http://prices.example'" in caught.value.message
    assert "'http://inner:8080'" in caught.value.message
