"""``/v1/tickets``: what it answers, to whom, and what it needs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.support.access import GUARDED, bearer
from tests.support.tickets import SEALING, ask, ticket

if TYPE_CHECKING:
    from tests.support.fixtures import MakeLive

PATH = "/v1/tickets"
PUBLISH_TOKEN = "correct-horse-battery-staple"


async def test_a_ticket_is_made_of_a_token(make_live: MakeLive) -> None:
    """Each is another one; it says how long it lives; nobody keeps the answer."""
    live = await make_live(**SEALING, PUBLISH__TOKEN=PUBLISH_TOKEN, ACCESS__TOKEN_BYTES_MAX="8192")
    tickets = {await ticket(live) for _ in range(3)}
    assert len(tickets) == 3
    for path in (PATH, f"{PATH}/"):
        assert (await ask(live, path, method="POST", **bearer())).body["expires_in_s"] == 30
    soon = await ask(live, PATH, method="POST", **bearer(exp=time.time() + 20))
    assert 0 < soon.body["expires_in_s"] <= 20
    for headers, status, code in (
        ({}, 401, "unauthorized"),
        (bearer(aud="x"), 401, "bad_token"),
        (bearer(exp=1), 401, "expired"),
        ({"Authorization": f"Bearer {PUBLISH_TOKEN}"}, 403, "forbidden"),
        (bearer(channels=[f"trades.{number}" for number in range(256)]), 413, "too_large"),
    ):
        answer = await ask(live, PATH, method="POST", **headers)
        assert (answer.status, answer.error["code"]) == (status, code)
    assert (await ask(live, f"{PATH}?x=1", method="POST", **bearer())).error["code"] == "bad_field"
    assert (await ask(live, PATH)).error["message"] == "use DELETE, POST here"


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        (GUARDED, "TICKFAN_ACCESS__SECRET"),
        ({}, "[[keys]]"),
        ({"ACCESS__SECRET": "s" * 32}, "[[keys]]"),
    ],
)
async def test_where_they_are_off_it_is_said_what_is_missing(
    make_live: MakeLive, settings: dict[str, str], part: str
) -> None:
    """The rest works without: tokens where there are keys, and everybody where there are none."""
    live = await make_live(**settings)
    sent = bearer(channels=["quotes.A"])
    for path, method in ((PATH, "POST"), ("/v1/sse?channels=quotes.A&ticket=x", "GET")):
        answer = await ask(live, path, method=method, **(sent if method == "POST" else {}))
        assert (answer.status, answer.error["code"]) == (403, "tickets_off")
        assert part in answer.error["message"]
    # A cookie from better times is not looked at.
    answer = await ask(live, "/v1/sse?channels=quotes.A", Cookie="tickfan=x", **sent)
    assert answer.status == 200
    assert (await ask(live, PATH, method="DELETE", Cookie="tickfan=x")).status == 204
