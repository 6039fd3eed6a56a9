"""Who may make an operator's calls, and what the audit log says of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from tests.support.access import GUARDED, bearer

if TYPE_CHECKING:
    from typing import Any

    from tests.support.fixtures import MakeLive
    from tests.support.live import Live

TOKEN = "correct-horse-battery-staple"
OPEN = ["/livez", "/readyz", "/metrics", "/v1/stats"]
GUARDED_CALLS = [
    ("GET", "/v1/admin/connections"), ("DELETE", "/v1/admin/connections?subject=a"),
    ("GET", "/v1/admin/connections/a-1"), ("DELETE", "/v1/admin/connections/a-1"),
    ("GET", "/v1/admin/revocations"), ("POST", "/v1/admin/revocations"),
    ("POST", "/v1/admin/drain"), ("DELETE", "/v1/admin/drain"), ("GET", "/v1/admin/none"),
]  # fmt: skip


async def _code(service: Live, method: str, path: str, **kwargs: Any) -> tuple[int, str]:
    answer = await service.admin.request(method, path, **kwargs)
    return answer.status, (await answer.json()).get("error", {}).get("code", "")


async def test_on_any_other_address_a_token_has_to_be_set(make_live: MakeLive) -> None:
    """Else each pod of a cluster could put clients out. What only looks stays open."""
    service = await make_live(**GUARDED, HTTP__ADMIN_HOST="0.0.0.0")
    for method, path in GUARDED_CALLS:
        assert await _code(service, method, path) == (403, "admin_off")
        assert await _code(service, method, path, headers=bearer()) == (403, "admin_off")
    for path in OPEN:
        assert (await service.admin.get(path)).status == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1"])
async def test_a_token_that_is_set_is_always_demanded(make_live: MakeLive, host: str) -> None:
    """Nothing else will do, neither a client's token nor that of publishers."""
    publisher = "another-horse-battery-staple"
    service = await make_live(
        **GUARDED, HTTP__ADMIN_HOST=host, HTTP__ADMIN_TOKEN=TOKEN, PUBLISH__TOKEN=publisher
    )
    for method, path in GUARDED_CALLS:
        assert await _code(service, method, path) == (401, "unauthorized")
        for wrong in (publisher, TOKEN[:-1], f"{TOKEN}x", "ä"):
            headers = {"Authorization": f"Bearer {wrong}"}
            assert await _code(service, method, path, headers=headers) == (401, "bad_token")
        assert await _code(service, method, path, headers=bearer()) == (401, "bad_token")
        basic = {"Authorization": f"Basic {TOKEN}"}
        assert await _code(service, method, path, headers=basic) == (401, "unauthorized")
    for path in OPEN:
        assert (await service.admin.get(path)).status == 200
    right = {"Authorization": f"Bearer {TOKEN}", "Host": "tickfan.example"}
    assert (await service.admin.get("/v1/admin/connections", headers=right)).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        # Its own name leads here: the browser takes it for the same origin.
        {"Host": "evil.example:8081", "Origin": "http://evil.example:8081",
         "Sec-Fetch-Site": "same-origin"},
        {"Host": "127.0.0.1.evil.example"},
    ],
)  # fmt: skip
async def test_a_page_of_another_site_may_not(service: Live, headers: dict[str, str]) -> None:
    """Not on this machine either: its reader's browser would send it for the page."""
    for method, path in GUARDED_CALLS:
        assert await _code(service, method, path, headers=headers) == (403, "admin_off")
    assert not service.service.draining.is_on


@pytest.mark.parametrize(
    "headers",
    [
        {}, {"Sec-Fetch-Site": "none"}, {"Sec-Fetch-Site": "same-origin"},
        {"Host": "localhost"}, {"Host": "[::1]:8081"}, {"Host": "127.0.0.1:9"},
        {"Host": "localhost:8081", "Origin": "http://localhost:8081"},
    ],
)  # fmt: skip
async def test_whoever_is_on_this_machine_may(service: Live, headers: dict[str, str]) -> None:
    """By whatever name this machine calls itself."""
    answer = await service.admin.get("/v1/admin/connections", headers=headers)
    assert answer.status == 200


async def test_a_body_is_json(make_live: MakeLive) -> None:
    """A page can send text and forms to any address, without asking there first."""
    service = await make_live(**GUARDED)
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        code = await _code(
            service, "POST", "/v1/admin/revocations",
            data=b'{"revocations":[{"jti":"a"}]}', headers={"Content-Type": kind},
        )  # fmt: skip
        assert code == (415, "unsupported_media_type")
    large = {"revocations": [{"subject": "a"}], "more": "x" * 300_000}
    assert await _code(service, "POST", "/v1/admin/revocations", json=large) == (413, "too_large")


async def test_each_call_is_a_line_of_the_audit(make_live: MakeLive) -> None:
    """Also one that was refused; a token is in none of them."""
    service = await make_live(**GUARDED, HTTP__ADMIN_TOKEN=TOKEN)
    right = {"Authorization": f"Bearer {TOKEN}"}
    path = "/v1/admin/revocations"
    with capture_logs() as logs:
        await service.admin.get("/livez")
        await service.admin.post(path, json={"revocations": [{"jti": "x"}]})
        await service.admin.post(path, json={"revocations": [{"jti": "x"}]}, headers=right)
        await service.admin.get("/v1/admin/connections?subject=al&limit=3", headers=right)
        await service.admin.get("/v1/admin/none", headers=right)
    lines = [line for line in logs if line["event"] == "admin call"]
    assert [(line["method"], line["path"], line["status"]) for line in lines] == [
        ("POST", path, 401), ("POST", path, 201), ("GET", "/v1/admin/connections", 200),
        ("GET", "/v1/admin/none", 404),
    ]  # fmt: skip
    assert {line["remote"] for line in lines} == {"127.0.0.1"}
    [revocation] = lines[1]["revocations"]
    assert (revocation["jti"], lines[1]["count"]) == ("x", 0)
    assert lines[2]["filters"] == {"subject": "al", "limit": "3"}
    assert lines[2]["count"] == 0
    assert TOKEN not in str(lines)
