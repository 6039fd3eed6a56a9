"""``GET /v1/channels/{channel}/history``: the recent updates of a lossless channel.

Must not know who subscribes, nor cursors.
"""

from __future__ import annotations

from codecs import BOM_UTF8
from itertools import islice
from typing import TYPE_CHECKING

import orjson

from tickfan.api.context import CONTEXT
from tickfan.api.making import json_list, made
from tickfan.api.queries import find_channel, limit_of
from tickfan.core.errors import Refusal
from tickfan.transports.credentials import IDENTITY
from tickfan.transports.parameters import check_query, yes_or_no
from tickfan.wire import events
from tickfan.wire.csvtable import Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiohttp import web

    from tickfan.api.context import Context
    from tickfan.core.feed import Channel
    from tickfan.core.update import Update
    from tickfan.transports.answers import Pieces

LIMIT = 100
LIMIT_MAX = 10_000
SCAN_MAX = 200_000
"""Updates of the feed that one request looks through, its own and others; it takes 30 ms."""

SCANNED_AT_ONCE = 500
"""Updates that are looked at between two places where the search can pause."""

_FORMATS = {
    "application/json": "json",
    "application/x-ndjson": "ndjson",
    "text/csv": "csv",
}
_TEXT = "{}; charset=utf-8"


async def history(request: web.Request) -> Pieces:
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
    if format_ == "csv":
        return await made(request, _csv(context, channel, limit, begin), _TEXT.format("text/csv"))
    if format_ == "ndjson":
        parts = _ndjson(context, channel, limit)
        return await made(request, parts, _TEXT.format("application/x-ndjson"))
    return await made(request, _json(context, channel, limit), "application/json")


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


def _json(context: Context, channel: Channel, limit: int) -> Iterator[bytes]:
    found: list[Update] = []
    for _ in find(channel, limit, found):
        yield b""
    oldest = channel.feed.history.oldest
    fields = {
        "channel": channel.name,
        "history_start": None if oldest is None else oldest.seq,
    }
    yield from json_list(fields, "updates", map(_object, _emptied(found)), context.marked({}))


def _ndjson(context: Context, channel: Channel, limit: int) -> Iterator[bytes]:
    found: list[Update] = []
    for _ in find(channel, limit, found):
        yield b""
    end = b',"simulated":true}\n' if context.is_simulated else b"}\n"
    for update in _emptied(found):
        yield _object(update)[:-1] + end


def _csv(context: Context, channel: Channel, limit: int, begin: bytes) -> Iterator[bytes]:
    found: list[Update] = []
    for _ in find(channel, limit, found):
        yield b""
    table = Table(is_simulated=context.is_simulated)
    for update in reversed(found):
        table.look(update)
        yield b""
    yield begin + table.head()
    for update in _emptied(found):
        yield table.row(update)


def find(channel: Channel, limit: int, found: list[Update]) -> Iterator[None]:
    """Fill ``found`` with up to ``limit`` newest updates, newest first; pauses on the way.

    The history may go on between two steps. If it begins anew, no more is found.
    """
    history = channel.feed.history
    last: Update | None = None
    for _ in range(0, SCAN_MAX, SCANNED_AT_ONCE):
        if last is not None and history.at(last.seq) is not last:
            return  # all before it has given way meanwhile, or is of another stream
        some = list(islice(history.before(None if last is None else last.seq), SCANNED_AT_ONCE))
        if not some:
            return
        found += [each for each in some if each.channel is channel and not each.is_gap]
        if len(found) >= limit:
            del found[limit:]
            return
        last = some[-1]
        yield


def _emptied(found: list[Update]) -> Iterator[Update]:
    """The updates, oldest first; each is let go of, as the history may do meanwhile."""
    while found:
        yield found.pop()


def _object(update: Update) -> bytes:
    """As on the streams: what was encoded for them is used, and nothing is kept for later."""
    return update.as_json_object or orjson.dumps(events.update(update))
