"""``GET /v1/channels/{channel}/history``: the recent updates of a lossless channel.

Must not know who subscribes, nor cursors.
"""

from __future__ import annotations

from codecs import BOM_UTF8
from itertools import islice
from typing import TYPE_CHECKING

import orjson
from aiohttp import web

from tickfan.api.context import CONTEXT, json_response
from tickfan.api.queries import find_channel, limit_of
from tickfan.core.errors import Refusal
from tickfan.transports.credentials import IDENTITY
from tickfan.transports.parameters import check_query, yes_or_no
from tickfan.wire import csvtable, events

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tickfan.api.context import Context
    from tickfan.core.feed import Channel
    from tickfan.core.update import Update

LIMIT = 100
LIMIT_MAX = 10_000
SCAN_MAX = 200_000
"""Updates of other channels that one request may pass over: meanwhile it holds the loop."""

_FORMATS = {
    "application/json": "json",
    "application/x-ndjson": "ndjson",
    "text/csv": "csv",
}


async def history(request: web.Request) -> web.Response:
    """The newest ``limit`` (1 to 10,000) updates, oldest first.

    JSON, NDJSON or CSV by ``format`` or the Accept header. ``bom`` puts a byte order mark
    before CSV: without it Excel does not know that it is UTF-8.
    """
    check_query(request, "limit", "format", "bom")
    context = request.app[CONTEXT]
    channel = find_channel(context.feeds, request.match_info["channel"], request[IDENTITY])
    if not channel.feed.is_lossless:
        raise Refusal(
            "not_lossless",
            f"{channel.name!r} is of the conflated feed {channel.feed.name!r}, which keeps the "
            "latest value only",
            channel.name,
        )
    limit = limit_of(request, LIMIT, LIMIT_MAX)
    format_ = _format(request)
    begin = _begin(request, format_)
    updates = _newest(channel, limit)
    if format_ == "json":
        oldest = channel.feed.history.oldest
        fields = {
            "channel": channel.name,
            "history_start": None if oldest is None else oldest.seq,
            "updates": [events.update(update) for update in updates],
        }
        return json_response(context.marked(fields))
    body, content_type = (
        (_ndjson(context, updates), "application/x-ndjson")
        if format_ == "ndjson"
        else (begin + csvtable.table(updates, is_simulated=context.is_simulated), "text/csv")
    )
    return web.Response(
        body=body,
        content_type=content_type,
        charset="utf-8",
        headers={"Cache-Control": "no-store"},
    )


def _format(request: web.Request) -> str:
    asked = request.query.get("format")
    if asked is not None:
        if asked not in _FORMATS.values():
            raise Refusal("bad_field", f"format must be json, ndjson or csv, not {asked[:40]!r}",
                          "format")  # fmt: skip
        return asked
    accepted = [part.partition(";")[0].strip() for part in
                request.headers.get("Accept", "").split(",")]  # fmt: skip
    return next((_FORMATS[kind] for kind in accepted if kind in _FORMATS), "json")


def _begin(request: web.Request, format_: str) -> bytes:
    """What stands before the text: a byte order mark, if it is asked for."""
    asked = request.query.get("bom")
    if asked is None:
        return b""
    is_wanted = yes_or_no(asked)
    if is_wanted is None:
        raise Refusal("bad_field", "bom must be 1 or 0", "bom")
    if is_wanted and format_ != "csv":
        raise Refusal("bad_field", f"bom goes with CSV, and this is {format_}", "bom")
    return BOM_UTF8 if is_wanted else b""


def _newest(channel: Channel, limit: int) -> list[Update]:
    found: list[Update] = []
    for update in islice(channel.feed.history.newest_first(), SCAN_MAX):
        if update.channel is channel and not update.is_gap:
            found.append(update)
            if len(found) == limit:
                break
    found.reverse()
    return found


def _ndjson(context: Context, updates: Sequence[Update]) -> bytes:
    return b"".join(
        orjson.dumps(context.marked(events.update(update)), option=orjson.OPT_APPEND_NEWLINE)
        for update in updates
    )
