"""``GET /v1/channels`` and ``GET /v1/channels/{channel}``: what is there, and its latest value.

Must not know who subscribes, nor how a value came.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any

import orjson

from tickfan.api.context import CONTEXT, json_response
from tickfan.api.making import json_list, made
from tickfan.api.queries import find_channel, limit_of, no_value
from tickfan.core.errors import Refusal
from tickfan.core.pattern import Pattern, about_space
from tickfan.transports.credentials import IDENTITY
from tickfan.transports.parameters import check_query
from tickfan.wire import events

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from aiohttp import web

    from tickfan.api.context import Context
    from tickfan.core.feed import Channel, Feed
    from tickfan.core.scope import Scope
    from tickfan.transports.answers import Pieces

LIMIT = 1000
LIMIT_MAX = 10_000
SORTED_AT_ONCE = 1000
"""Channels that are found before they are put in order among those of the page."""

ENCODED_AT_ONCE = 100
"""Channels of the page whose summaries are encoded in one step: it takes 0.2 ms."""

_NAME = attrgetter("name")


async def list_channels(request: web.Request) -> Pieces:
    """The channels that have had an update and may be read, by name.

    ``pattern`` narrows it, ``limit`` (1 to 10,000) bounds it, and ``after``
    goes on behind a name: ``next`` of the page before.
    """
    check_query(request, "pattern", "limit", "after")
    query = request.query
    pattern = Pattern(query.get("pattern", "#"))
    limit = limit_of(request, LIMIT, LIMIT_MAX)
    after = query.get("after", "")
    if " " in after:  # the pages would come from elsewhere, and might never end
        raise Refusal(
            "bad_field", f"{after[:160]!r} is not a channel name{about_space(after)}", "after"
        )
    parts = _list(request.app[CONTEXT], request[IDENTITY].reads, pattern, after, limit)
    return await made(request, parts, "application/json")


async def latest_value(request: web.Request) -> web.Response:
    """The newest update of one channel, as the streams send it."""
    check_query(request)
    context = request.app[CONTEXT]
    channel = find_channel(context.feeds, request.match_info["channel"], request[IDENTITY])
    if channel.latest is None:
        raise no_value(channel.name)
    fields = events.update(channel.latest)
    if not channel.feed.is_lossless and not channel.feed.is_confirmed(channel):
        # Not received since the last outage of the broker began.
        fields["unconfirmed"] = True
    return json_response(context.marked(fields))


def _list(
    context: Context, reads: Scope, pattern: Pattern, after: str, limit: int
) -> Iterator[bytes]:
    """The parts of the answer."""
    feeds = [feed for feed in context.feeds.values() if any(map(reads.overlaps, feed.patterns))]
    page: list[Channel] = []
    for _ in _first(feeds, pattern, reads, after, limit + 1, page):
        yield b""
    rest = {
        "next": page[limit - 1].name if len(page) > limit else None,
        "feeds": [_feed(feed, reads) for feed in feeds],
    }
    del page[limit:]
    runs = (page[at : at + ENCODED_AT_ONCE] for at in range(0, len(page), ENCODED_AT_ONCE))
    items = (orjson.dumps([_summary(channel) for channel in run])[1:-1] for run in runs)
    yield from json_list({}, "channels", items, context.marked(rest))


def _first(  # noqa: PLR0913 - one call
    feeds: Iterable[Feed],
    pattern: Pattern,
    reads: Scope,
    after: str,
    most: int,
    page: list[Channel],
) -> Iterator[None]:
    """Fill ``page`` with the first ``most`` channels behind a name; pauses on the way.

    They are those that the client may read.
    """
    last = ""  # of a page that is full: what is behind it is not on it
    more = max(SORTED_AT_ONCE, most // 4)
    for feed in feeds:
        for some in feed.find(pattern):
            page += [
                channel
                for channel in some
                if channel.name > after
                and (not last or channel.name < last)
                and (reads.is_all or reads.matches(channel.name))
            ]
            if len(page) >= most + more:
                page.sort(key=_NAME)
                del page[most:]
                last = page[-1].name
            yield
    page.sort(key=_NAME)
    del page[most:]


def _summary(channel: Channel) -> dict[str, Any]:
    latest = channel.latest
    return {
        "channel": channel.name,
        "feed": channel.feed.name,
        "delivery": channel.feed.spec.delivery.value,
        "seq": channel.seq,
        "ts": None if latest is None else latest.ts,
    }


def _feed(feed: Feed, reads: Scope) -> dict[str, Any]:
    return {
        "feed": feed.name,
        "bind": [pattern.text for pattern in feed.patterns if reads.overlaps(pattern)],
        "delivery": feed.spec.delivery.value,
        "channels": len(feed.channels),
        "upstream": feed.upstream.value,
    }
