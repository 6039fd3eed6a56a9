"""Tickets and cookies for tests. Must not know what is tested."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

import orjson

from tests.support.access import GUARDED, bearer
from tests.support.raw import connect, request

if TYPE_CHECKING:
    from tests.support.live import Live

SEALING = {**GUARDED, "ACCESS__SECRET": "a-secret-of-tickets-0123456789abcdef"}
"""Settings of a service that makes tickets of the tokens of :func:`bearer`."""

READS = {"channels": ["quotes.#", "trades.#"]}
"""What the tokens of these tests may read, if a test does not say."""

TICKETS = "/v1/tickets"


class Answer(NamedTuple):
    """An answer. Of a stream the body is not read."""

    status: int
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def error(self) -> dict[str, Any]:
        """What was refused, and why."""
        found: dict[str, Any] = self.body.get("error", {})
        return found

    @property
    def cookie(self) -> dict[str, str] | None:
        """The cookie that it sets, by its name, and the attributes (RFC 6265, section 4.1)."""
        if "set-cookie" not in self.headers:
            return None
        words = [word.partition("=") for word in self.headers["set-cookie"].split("; ")]
        return {name: value for name, _, value in words}

    @property
    def sent(self) -> str:
        """The header of a request that brings this cookie."""
        assert self.cookie is not None, self
        return f"tickfan={self.cookie['tickfan']}"


async def ask(live: Live | int, path: str, *, method: str = "GET", **headers: str) -> Answer:
    """Ask the service (or a port) once, and go. Its address is ``http://x``."""
    async with connect(live, request(path, method=method, **headers)) as wire:
        status, found = await wire.head()
        has_end = status >= 400 or (status != 204 and path.startswith(TICKETS))
        body = await wire.up_to(b"\n") if has_end else b"{}"
    return Answer(status, found, orjson.loads(body))


async def ticket(live: Live | int, *, origin: str = "", **claims: Any) -> str:
    """A ticket of the bearer of a token, asked for by a page of that origin."""
    page = {"Origin": origin} if origin else {}
    answer = await ask(live, TICKETS, method="POST", **bearer(**{**READS, **claims}), **page)
    assert answer.status == 200, answer
    assert answer.headers["cache-control"] == "no-store"
    assert answer.body.keys() == {"ticket", "expires_in_s"}
    return str(answer.body["ticket"])


async def cookie(live: Live | int, **claims: Any) -> str:
    """The header ``Cookie`` of a browser that has used a ticket."""
    channel = quote({**READS, **claims}["channels"][0])
    path = f"/v1/sse?channels={channel}&ticket={await ticket(live, **claims)}"
    return (await ask(live, path)).sent
