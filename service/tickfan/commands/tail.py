"""``tickfan tail``: what a running service sends, for a person or for a pipe.

Must not know the service but by its client, nor any other command.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console

import tickfan_client
from tickfan.commands import FAILED, OK, WRONG
from tickfan.commands.following import follow
from tickfan.commands.printing import Printer, json_line
from tickfan.commands.shared import leave_stdout, say, until_signal
from tickfan.commands.summary import Summary
from tickfan_client import Client, Event, Refused, TickfanClientError, Update

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tickfan_client.client import Name


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""Why a file or a terminal takes no more."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What to show.

    ``count`` is the updates after which to end, ``timeout_s`` the seconds without one
    after which to give up. ``token`` says who asks.
    """

    patterns: Sequence[str]
    url: str
    transport: Name = "ws"
    interval_ms: int | None = None
    snapshot: bool = True
    count: int | None = None
    as_json: bool = False
    timeout_s: float | None = None
    token: str | None = None


def tail(wish: Wish) -> int:
    """Print until the count, Ctrl-C, a closed pipe (all well) or an error.

    A connection that ends is none, as long as it makes sense to come back.
    """
    show = _json if wish.as_json else _printer()
    summary = Summary()

    def take(item: Update | Event) -> None:
        show(item)
        summary.note(item)

    try:
        status = _watch(wish, take)
    except OSError as error:
        if not isinstance(error, BrokenPipeError) and error.errno not in FULL:
            raise
        leave_stdout(error)
        return OK if isinstance(error, BrokenPipeError) else FAILED
    if status == OK or summary.updates:
        say(summary.sentence())
    return status


def _watch(wish: Wish, take: Callable[[Update | Event], None]) -> int:
    """Hand on what comes, until the end; say what was wrong. Raises what stdout does."""
    try:
        asyncio.run(_until_signal(wish, take))
    except Refused as refused:
        say(f"refused: {refused}" + (f" ({refused.item})" if refused.item else ""))
        return WRONG
    except ValueError as error:  # connect's word for an address that is none
        say(str(error))
        return WRONG
    except (TickfanClientError, _TooQuiet) as error:
        say(str(error))
        return FAILED
    return OK


async def _until_signal(wish: Wish, show: Callable[[Update | Event], None]) -> None:
    await until_signal(_tail(wish, show))


async def _tail(wish: Wish, show: Callable[[Update | Event], None]) -> None:
    left = wish.count

    def connect(cursor: str | None) -> Client:
        headers = {} if wish.token is None else {"Authorization": f"Bearer {wish.token}"}
        return tickfan_client.connect(
            wish.url, transport=wish.transport, cursor=cursor, headers=headers
        )

    def subscribe(client: Client) -> Awaitable[Event]:
        return client.subscribe(wish.patterns, interval_ms=wish.interval_ms, snapshot=wish.snapshot)

    try:
        async with (
            asyncio.timeout(wish.timeout_s) as patience,
            contextlib.aclosing(follow(connect, subscribe, say)) as items,
        ):
            async for item in items:
                show(item)
                if not isinstance(item, Update):
                    continue
                if left is not None:
                    left -= 1
                    if left <= 0:
                        return
                if wish.timeout_s is not None:
                    patience.reschedule(asyncio.get_running_loop().time() + wish.timeout_s)
    except TimeoutError:
        if not patience.expired():
            raise
        raise _TooQuiet(wish) from None


class _TooQuiet(Exception):
    def __init__(self, wish: Wish) -> None:
        super().__init__(
            f"no update of {', '.join(wish.patterns)} for {wish.timeout_s:g} s: "
            "is anybody publishing to these channels? Ask for others, or wait longer (--timeout)"
        )


def _json(item: Update | Event) -> None:
    sys.stdout.buffer.write(json_line(item))
    sys.stdout.buffer.flush()


def _printer() -> Callable[[Update | Event], None]:
    console = Console(highlight=False)
    printer = Printer((lambda: console.width) if console.is_terminal else None)

    def show(item: Update | Event) -> None:
        line = printer.line(item)
        if line is None:
            return
        if console.is_terminal:
            console.print(line, no_wrap=True, overflow="ignore", crop=False)
        else:  # whole lines, whatever their length
            print(line.plain, flush=True)  # noqa: T201 - this is what tail is for

    return show
