"""Takes the next slice of a backlog, as bytes: what a subscriber off the shared path is sent.

Must not know sockets, nor when a slice is due.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tickfan.core import closing
from tickfan.core.errors import QueueFull
from tickfan.fanout.backlog import newest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tickfan.core.closing import Reason
    from tickfan.core.errors import Bound
    from tickfan.core.update import Update
    from tickfan.fanout.backlog import Backlog
    from tickfan.fanout.ports import Lossless
    from tickfan.wire.base import Format

STEP_BYTES = 32 * 1024
"""A slice has at most so many bytes of each kind.

With the kernel's share (``notsent_lowat_bytes``) a stalled client holds less than 64 KiB on
our side."""


class Slice(NamedTuple):
    """``parts`` are to be written; ``updates`` counts the updates in them.

    ``over`` says why the subscriber ends behind them; None: it goes on. ``bound`` is the one
    that it has reached then, if that is why.
    """

    parts: list[bytes]
    updates: int
    over: Reason | None
    bound: Bound | None = None


def next_slice(
    backlog: Backlog, format_: Format, until: str | None, audience: Lossless | None
) -> Slice:
    """Take the next slice out of ``backlog``: events first, then openings, then updates.

    ``until``: the type of the update that ends the stream. ``audience`` is the lossless one.
    """
    parts = [*backlog.controls]
    backlog.controls.clear()
    # Either openings or updates, so that a slice stays within its bytes.
    if backlog.openings:
        return _open(backlog, format_, until, parts)
    return _flow(backlog, format_, until, audience, parts)


def _open(backlog: Backlog, format_: Format, until: str | None, parts: list[bytes]) -> Slice:
    """Head, snapshots and end of the openings, as far as a slice goes."""
    budget, count = STEP_BYTES, 0
    while backlog.openings and budget > 0:
        parts += _take_head(backlog, format_)
        opening = backlog.openings[0]
        while budget > 0 and (updates := backlog.openings.next(budget)):
            due, is_done = cut_at(updates, until)
            parts.append(format_.snapshot(due))
            count += len(due)
            budget -= sum(update.size for update in due)
            if is_done:
                _end_in(backlog, format_, due[-1], parts)
                return Slice(parts, count, closing.DONE)
        if budget > 0:
            del backlog.openings[0]
            parts.append(format_.event("snapshot_end", opening.end, backlog.cursor()))
    return Slice(parts, count, None)


def _take_head(backlog: Backlog, format_: Format) -> list[bytes]:
    """The first opening's head, with its resets behind the answer.

    The resets are encoded only here: while they waited a stream may have been lost, and
    a cursor made before that would be one of the old stream. The last of them has the
    cursor; one before it would be a place behind resets that are still to come.
    """
    opening = backlog.openings[0]
    head = [*opening.head]
    opening.head.clear()
    if opening.resets:
        (*others, last), opening.resets = opening.resets, ()
        resets = [format_.event("reset", fields) for fields in others]
        head[1:1] = [*resets, format_.event("reset", last, backlog.cursor())]
    return head


def _end_in(backlog: Backlog, format_: Format, last: Update, parts: list[bytes]) -> None:
    """The stream's end was in the snapshot: end with a cursor there, so that the end is known."""
    opening = backlog.openings[0]
    if backlog.trail is not None and last.place is not None:
        backlog.trail.jump({last.channel.feed.name: last.place})
        parts.append(format_.event("snapshot_end", opening.end, backlog.trail.text()))
    backlog.openings.clear()


def _flow(
    backlog: Backlog,
    format_: Format,
    until: str | None,
    audience: Lossless | None,
    parts: list[bytes],
) -> Slice:
    """What was missed, then the queue, then the newest values."""
    lossless: Sequence[Update] = ()
    if backlog.replay is not None:
        try:
            lossless, is_all = backlog.replay.next(STEP_BYTES)
        except QueueFull as full:
            return Slice(parts, 0, closing.SLOW, full.bound)
        if is_all and audience is not None:
            backlog.caught_up(audience)
    elif backlog.queue:
        lossless = backlog.queue.pop(STEP_BYTES)
    due, is_done = cut_at(lossless, until)
    if due:
        parts.append(format_.live(due, backlog.trail))
    if is_done:
        return Slice(parts, len(due), closing.DONE)
    values = newest(backlog.marks, STEP_BYTES)
    if values:
        parts.append(format_.live(values, None))
    return Slice(parts, len(due) + len(values), None)


def cut_at(updates: Sequence[Update], until: str | None) -> tuple[Sequence[Update], bool]:
    """The updates up to and with the first lossless one of type ``until``, and whether it came."""
    if until is not None:
        for index, update in enumerate(updates):
            if update.type == until and update.channel.feed.is_lossless:
                return updates[: index + 1], True
    return updates, False
