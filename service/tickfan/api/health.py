"""``/livez`` and ``/readyz``: two probes that mean different things.

Live: the event loop turns. Ready: every feed has been read to its tail once, so has the list
of revoked tokens, the keys of each issuer have come once, and the replica is not draining. A
later outage of the broker, or of an issuer, makes a replica neither dead nor unready. Clients
are told by ``status`` that values are stale; without a ready replica they would get a 503,
after which EventSource gives up. Must not know who probes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tickfan.api.context import CONTEXT, json_response

if TYPE_CHECKING:
    from aiohttp import web

    from tickfan.core.feed import Upstream


async def livez(_request: web.Request) -> web.Response:
    """200, since it could be answered."""
    return json_response({"live": True})


async def readyz(request: web.Request) -> web.Response:
    """200 or 503, and why."""
    context = request.app[CONTEXT]
    is_draining = context.is_draining()
    missing, revocations = context.gate.missing, context.revocations
    is_known = revocations is None or revocations.known.are_known
    is_ready = is_known and not (context.feeds.is_starting or is_draining or missing)
    body: dict[str, Any] = {
        "ready": is_ready,
        "draining": is_draining,
        "feeds": {
            feed.name: _state(feed.upstream, feed.since_ms, feed.why)
            for feed in context.feeds.values()
        },
    }
    if missing:
        body["keys_missing"] = missing
    if revocations is not None:
        body["revocations"] = _state(
            revocations.upstream_state, revocations.since_ms, revocations.why
        )
    return json_response(context.marked(body), 200 if is_ready else 503)


def _state(upstream: Upstream, since_ms: int | None, why: str) -> dict[str, Any]:
    state: dict[str, Any] = {"upstream": upstream.value, "since": since_ms}
    if why:
        state["why"] = why
    return state
