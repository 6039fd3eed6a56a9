"""The shared path: one frame, written to every member of an audience that is on it.

It counts what it writes in the subscribers themselves, which else only their own methods
do: a call for each member would cost a sixth of what Python takes of a write
(``make bench ARGS="--shapes A0"``). Must not know what is written, nor what becomes of a
member that could not be served.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tickfan.fanout.subscriber import SHARED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tickfan.core.tally import Histogram
    from tickfan.fanout.subscriber import Subscriber


def write_to(
    members: Iterable[Subscriber], frame: bytes, updates: int, now: float, firsts: Histogram
) -> tuple[int, list[Subscriber], list[Subscriber], list[Subscriber]]:
    """Write a frame of so many ``updates`` to each member on the shared path.

    Returns to how many it went, and the members that need more than that: those off the
    shared path, those whose sockets took nothing, and those whose connections are gone.
    ``firsts`` notes how long first updates were waited for.
    """
    size, count = len(frame), 0
    aside: list[Subscriber] = []
    full: list[Subscriber] = []
    lost: list[Subscriber] = []
    for member in members:
        if member.phase is not SHARED:
            aside.append(member)
            continue
        send = member.pipe.send
        try:
            if (sent := send(frame)) != size:
                member.pipe.write(frame[sent:])
        except BlockingIOError:
            full.append(member)
            continue
        except OSError:
            lost.append(member)
            continue
        if not member.updates:
            firsts.observe(now - member.opened_at)
        member.updates += updates
        member.written_at = now
        count += 1
    return count, aside, full, lost
