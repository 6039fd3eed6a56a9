"""``/v1/stats`` on the admin port: the counts of this process, for a person or a script.

Must not know who counts.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

from tickfan.api.context import CONTEXT, json_response

if TYPE_CHECKING:
    from aiohttp import web


async def stats(request: web.Request) -> web.Response:
    """Everything that is counted, in one object."""
    context = request.app[CONTEXT]
    tally = context.tally
    fields = {
        "epoch": context.epoch,
        "connections": len(context.connections),
        "by_format": Counter(c.subscriber.format.name for c in context.connections),
        "audiences": len(context.directory),
        "parked": len(context.pump),
        "tasks": len(asyncio.all_tasks()),
        "feeds": {
            feed.name: {
                "upstream": feed.upstream.value,
                "channels": len(feed.channels),
                "messages_in": tally.messages_in[feed.name],
                "updates_in": tally.updates_in[feed.name],
                "conflated": tally.conflated[feed.name],
                "gaps": tally.gaps[feed.name],
                "history_updates": len(feed.history),
                "history_bytes": feed.history.size,
            }
            for feed in context.feeds.values()
        },
        "poison": _pairs(tally.poison),
        "resets": _pairs(tally.resets),
        "closes": _pairs(tally.closes),
        "updates_out": tally.updates_out,
        "writes": tally.writes,
        "bytes_out": tally.bytes_out,
        "encodings": context.encodings.total,
        "answers": {
            listener: {
                "writing": len(answers),
                "bytes": answers.held,
                "refused": answers.refused,
                "cut": answers.cut,
            }
            for listener, answers in context.answers.items()
        },
        "longest_slice_ms": round(context.slices.longest_s * 1000, 3),
    }
    return json_response(context.marked(fields))


def _pairs(counter: Counter[tuple[str, str]]) -> dict[str, dict[str, int]]:
    table: dict[str, dict[str, Any]] = {}
    for (left, right), count in counter.items():
        table.setdefault(left, {})[right] = count
    return table
