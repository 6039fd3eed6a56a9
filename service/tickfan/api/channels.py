"""``GET /v1/channels`` and ``GET /v1/channels/{channel}``: what is there, and its latest value."""

from __future__ import annotations

from heapq import nsmallest
from typing import TYPE_CHECKING, Any

from tickfan.api.context import CONTEXT, json_response
from tickfan.core.errors import Refusal
from tickfan.core.pattern import Pattern, check_channel_name

if TYPE_CHECKING:
    from aiohttp import web

    from tickfan.core.feed import Channel, Feed
    from tickfan.core.update import Update
    from tickfan.fanout.hub import Hub

LIMIT = 1000
LIMIT_MAX = 10_000


def check_query(request: web.Request, *names: str) -> None:
    """Raise :class:`Refusal` (``bad_field``) for a parameter that is not one of these."""
    for name in request.query:
        if name not in names and not name.startswith("_"):
            allowed = f"they are {', '.join(names)}" if names else "there are none here"
            raise Refusal("bad_field", f"{name[:80]!r} is not a parameter; {allowed}", name[:80])


async def list_channels(request: web.Request) -> web.Response:
    """The channels that have had an update, by name.

    ``pattern`` narrows it, ``limit`` (1 to 10,000) bounds it, and ``after``
    goes on behind a name: ``next`` of the page before.
    """
    hub = request.app[CONTEXT].hub
    check_query(request, "pattern", "limit", "after")
    query = request.query
    pattern = Pattern(query.get("pattern", "#"))
    limit = whole_number(query.get("limit"), "limit", LIMIT, LIMIT_MAX)
    after = query.get("after", "")
    names = [
        (name, channel)
        for feed in hub.feeds.values()
        for name, channel in feed.channels.items()
        if name > after and pattern.matches(name)
    ]
    page = nsmallest(limit + 1, names, key=lambda entry: entry[0])
    return json_response(
        {
            "channels": [_summary(channel) for _, channel in page[:limit]],
            "next": page[limit - 1][0] if len(page) > limit else None,
            "feeds": [_feed(feed) for feed in hub.feeds.values()],
        }
    )


async def latest_value(request: web.Request) -> web.Response:
    """The newest update of one channel, as the streams send it."""
    check_query(request)
    hub = request.app[CONTEXT].hub
    channel = find_channel(hub, request.match_info["channel"])
    if channel.latest is None:
        raise _no_value(channel.name)
    fields = as_object(channel.latest)
    if not channel.feed.is_lossless and not channel.feed.is_confirmed(channel):
        # Not received since the last outage of the broker began.
        fields["unconfirmed"] = True
    return json_response(fields)


def find_channel(hub: Hub, name: str) -> Channel:
    """The channel of that name.

    Raises :class:`Refusal`: ``bad_channel``, ``no_feed`` with what the feeds
    bind, ``no_value`` for a channel without an update.
    """
    check_channel_name(name)
    feed = feed_of(hub, name)
    channel = feed.channels.get(name)
    if channel is None:
        raise _no_value(name)
    return channel


def feed_of(hub: Hub, name: str) -> Feed:
    """The feed that covers the name. Raises :class:`Refusal` (``no_feed``)."""
    feed = hub.feed_of(name)
    if feed is None:
        bound = ", ".join(own.text for each in hub.feeds.values() for own in each.patterns)
        raise Refusal("no_feed", f"no feed covers {name!r}; the feeds bind: {bound}", name)
    return feed


def as_object(update: Update) -> dict[str, Any]:
    """An update as a JSON object, as on the streams."""
    fields: dict[str, Any] = {
        "channel": update.channel.name,
        "seq": update.seq,
        "ts": update.ts,
        "data": update.data,
    }
    if update.channel.feed.is_lossless:
        fields["prev"] = update.prev
    if update.type != "update":
        fields["type"] = update.type
    return fields


def whole_number(text: str | None, name: str, default: int, most: int) -> int:
    """A query's number from 1 to ``most``. Raises :class:`Refusal` (``bad_field``)."""
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= most):
        raise Refusal(
            "bad_field", f"{name} must be a whole number from 1 to {most}, not {text[:40]!r}", name
        )
    return int(text)


def _no_value(name: str) -> Refusal:
    return Refusal("no_value", f"{name!r} has had no update since this replica began", name)


def _summary(channel: Channel) -> dict[str, Any]:
    latest = channel.latest
    return {
        "channel": channel.name,
        "feed": channel.feed.name,
        "delivery": channel.feed.spec.delivery.value,
        "seq": channel.seq,
        "ts": None if latest is None else latest.ts,
    }


def _feed(feed: Feed) -> dict[str, Any]:
    return {
        "feed": feed.name,
        "bind": [pattern.text for pattern in feed.patterns],
        "delivery": feed.spec.delivery.value,
        "channels": len(feed.channels),
        "upstream": feed.upstream.value,
    }
