"""``POST /v1/channels/{channel}``: publish one update through the broker.

What a body, its content type, a type and a time mean is decided by ``wire.inbound``, as for
what comes from the broker. The answer comes after the broker's confirm. All replicas read
the update from the broker, so it reaches the clients of each replica, this one's too. Must
not know which broker it is, nor who subscribes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import hdrs

from tickfan.api.context import CONTEXT, Context, json_response
from tickfan.api.queries import feed_of
from tickfan.broker.base import JSON, MSGPACK, Message, PublishError
from tickfan.clock import now_ms
from tickfan.core.errors import Poison, Refusal
from tickfan.core.pattern import check_channel_name
from tickfan.core.times import as_ms
from tickfan.transports.credentials import IDENTITY
from tickfan.transports.origins import check_origin
from tickfan.transports.parameters import check_encoding, check_query
from tickfan.wire.inbound import Item, check_type, decode, is_messagepack

if TYPE_CHECKING:
    from aiohttp import web


async def publish(request: web.Request) -> web.Response:
    """Publish the body as the update's ``data``; ``?type=`` names the event, ``?ts=`` its time."""
    context = request.app[CONTEXT]
    identity, audit = request[IDENTITY], context.audit
    try:
        answer = await _publish(request, context)
    except Refusal as refusal:
        audit.refused(identity, context.remote_of(request), "rest", [refusal])
        raise
    if context.gate.is_guarded:
        audit.published(identity, context.remote_of(request), request.match_info["channel"])
    return answer


async def _publish(request: web.Request, context: Context) -> web.Response:
    check_query(request, "type", "ts")
    name = check_channel_name(request.match_info["channel"])
    _authorize(request, name, takes_publishers=context.gate.takes_publishers)
    feed = feed_of(context.feeds, name, request[IDENTITY].writes)
    check_encoding(request)
    body = await request.read()
    # As it was sent: aiohttp makes text/plain of what it cannot read.
    content_type = request.headers.get("Content-Type")
    type_ = request.query.get("type") or None
    try:
        # A body that would be poison to each replica is refused here, by name.
        kind = MSGPACK if is_messagepack(content_type) else JSON
        (item,) = decode(name, body, kind, batch=False)
        assert isinstance(item, Item), "a message of one update is refused as a whole"
        if feed.schema is not None:
            feed.schema.check(item.data)
        check_type(type_)
        ts = as_ms(request.query.get("ts")) or now_ms()
    except Poison as poison:
        code = poison.reason
        if code == "bad_content_type":
            code = "unsupported_media_type"  # HTTP has a status of its own for it
        raise Refusal(code, poison.detail, name) from None
    try:
        await context.broker.publish(feed.name, Message(name, body, kind, type_, ts))
    except PublishError as error:
        raise Refusal(error.code, str(error), name) from None
    context.tally.published[feed.name] += 1
    return json_response({"channel": name, "feed": feed.name, "ts": ts, "confirmed": True}, 201)


def _authorize(request: web.Request, name: str, *, takes_publishers: bool) -> None:
    identity = request[IDENTITY]
    if identity.writes.matches(name):
        if identity.is_anonymous:
            # A browser sends some bodies to any address that a page names, without asking
            # there first (Fetch, section 3.3.5, "CORS-safelisted"): any page could publish to
            # a service on its reader's machine.
            check_origin(request)
    elif not identity.is_anonymous:
        raise identity.cannot_write(name)
    elif not takes_publishers:
        raise Refusal(
            "publish_off",
            "publishing over HTTP is off: set publish.token (TICKFAN_PUBLISH__TOKEN), or give "
            "the service a key of tokens ([[keys]])",
        )
    elif not request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")[2]:
        raise Refusal("publish_unauthorized", "send the header Authorization: Bearer <token>")
    else:
        raise Refusal("publish_forbidden", "the token is not publish.token")
