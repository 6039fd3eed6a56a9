"""``GET /v1/channels/{channel}/history``: the recent updates of a lossless channel.

Must not know who subscribes, nor cursors.
"""

from __future__ import annotations

import csv
import io
import re
from itertools import islice
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from tickfan.api.context import CONTEXT, json_response
from tickfan.api.queries import find_channel, limit_of
from tickfan.core.errors import Refusal
from tickfan.transports.parameters import check_query
from tickfan.wire import events

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tickfan.core.feed import Channel
    from tickfan.core.update import Update

LIMIT = 100
LIMIT_MAX = 10_000
SCAN_MAX = 200_000
"""Updates of other channels that one request may pass over: meanwhile it holds the loop."""

_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_FORMULA = tuple("=+-@\t\r\n＝＋－＠")  # noqa: RUF001 - some spreadsheets take the wide ones too

_FORMATS = {
    "application/json": "json",
    "application/x-ndjson": "ndjson",
    "text/csv": "csv",
}


async def history(request: web.Request) -> web.Response:
    """The newest ``limit`` (1 to 10,000) updates, oldest first.

    JSON, NDJSON or CSV by ``format`` or the Accept header.
    """
    check_query(request, "limit", "format")
    channel = find_channel(request.app[CONTEXT].feeds, request.match_info["channel"])
    if not channel.feed.is_lossless:
        raise Refusal(
            "not_lossless",
            f"{channel.name!r} is of the conflated feed {channel.feed.name!r}, which keeps the "
            "latest value only",
            channel.name,
        )
    limit = limit_of(request, LIMIT, LIMIT_MAX)
    format_ = _format(request)
    updates = _newest(channel, limit)
    if format_ == "json":
        oldest = channel.feed.history.oldest
        return json_response(
            {
                "channel": channel.name,
                "history_start": None if oldest is None else oldest.seq,
                "updates": [events.update(update) for update in updates],
            }
        )
    body, content_type = (
        (_ndjson(updates), "application/x-ndjson")
        if format_ == "ndjson"
        else (_csv(updates), "text/csv")
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


def _newest(channel: Channel, limit: int) -> list[Update]:
    found: list[Update] = []
    for update in islice(channel.feed.history.newest_first(), SCAN_MAX):
        if update.channel is channel and not update.is_gap:
            found.append(update)
            if len(found) == limit:
                break
    found.reverse()
    return found


def _ndjson(updates: Sequence[Update]) -> bytes:
    return b"".join(
        orjson.dumps(events.update(update), option=orjson.OPT_APPEND_NEWLINE) for update in updates
    )


def _csv(updates: Sequence[Update]) -> bytes:
    """One row an update (RFC 4180): a column for each field of ``data``.

    The column ``data`` is for values that are no objects. ``prev`` is the last: a gap is not
    listed, and is seen by a ``prev`` that no row has as its ``seq``.
    """
    names = list(
        dict.fromkeys(
            name for update in updates if isinstance(update.data, dict) for name in update.data
        )
    )
    has_plain = not all(isinstance(update.data, dict) for update in updates)
    out = io.StringIO()
    writer = csv.writer(out)
    columns = [f"data.{name}" for name in names] + ["data"] * (has_plain or not names)
    writer.writerow(["channel", "seq", "ts", "type", *columns, "prev"])
    for update in updates:
        is_object = isinstance(update.data, dict)
        values = [_cell(update.data.get(name) if is_object else None) for name in names]
        if len(columns) > len(names):
            values.append("" if is_object else _cell(update.data))
        row = [_cell(update.channel.name), update.seq, update.ts, update.type, *values]
        writer.writerow([*row, update.prev])  # None is an empty cell
    return out.getvalue().encode()


def _cell(value: Any) -> str:
    """A value as text that no spreadsheet runs as a formula (OWASP, CSV injection)."""
    if value is None:
        return ""
    if not isinstance(value, str):
        return orjson.dumps(value).decode()
    return "'" + value if value[:1] in _FORMULA and not _NUMBER.fullmatch(value) else value
