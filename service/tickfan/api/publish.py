"""``POST /v1/channels/{channel}``: publish one update through the broker.

The answer comes after the broker's confirm. All replicas read the update from the broker,
so it reaches the clients of each replica, this one's too. Must not know which broker it
is, nor who subscribes.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from tickfan.api.context import CONTEXT, json_response
from tickfan.api.queries import feed_of
from tickfan.broker.base import JSON, MSGPACK, Message, PublishError
from tickfan.clock import now_ms
from tickfan.core.errors import Poison, Refusal
from tickfan.core.pattern import check_channel_name
from tickfan.transports.parameters import check_encoding, check_query
from tickfan.wire.inbound import check_type, decode

if TYPE_CHECKING:
    from aiohttp import web

_KINDS = {"application/json": JSON, "application/msgpack": MSGPACK,
          "application/x-msgpack": MSGPACK}  # fmt: skip


async def publish(request: web.Request) -> web.Response:
    """Publish the body as the update's ``data``; ``?type=`` names the event."""
    context = request.app[CONTEXT]
    _authorize(request, context.publish_token)
    check_query(request, "type")
    name = check_channel_name(request.match_info["channel"])
    feed = feed_of(context.feeds, name)
    kind = JSON if request.content_type.endswith("+json") else _KINDS.get(request.content_type)
    if kind is None:
        raise Refusal(
            "unsupported_media_type",
            f"the body is {request.content_type[:80]!r}; send application/json or "
            "application/msgpack",
        )
    check_encoding(request)
    body = await request.read()
    type_ = request.query.get("type")
    try:
        # A body that would be poison to each replica is refused here, by name.
        decode(name, body, kind, batch=False)
        check_type(type_)
    except Poison as poison:
        raise Refusal(poison.reason, poison.detail, name) from None
    ts = now_ms()
    try:
        await context.broker.publish(feed.name, Message(name, body, kind, type_, ts))
    except PublishError as error:
        raise Refusal(error.code, str(error), name) from None
    context.tally.published[feed.name] += 1
    return json_response({"channel": name, "feed": feed.name, "ts": ts, "confirmed": True}, 201)


def _authorize(request: web.Request, token: str | None) -> None:
    if token is None:
        return
    if not token:
        raise Refusal(
            "publish_off", "publishing over HTTP is off: set publish.token (TICKFAN_PUBLISH__TOKEN)"
        )
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if not given:
        raise Refusal("publish_unauthorized", "send the header Authorization: Bearer <token>")
    # A header may hold any bytes; aiohttp keeps those that are no UTF-8 as surrogates.
    matches = hmac.compare_digest(given.encode(errors="surrogateescape"), token.encode())
    if scheme.lower() != "bearer" or not matches:
        raise Refusal("publish_forbidden", "the token is not publish.token")
