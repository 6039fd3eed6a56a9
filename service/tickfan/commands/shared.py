"""What several commands need: the settings, a line for a person, an end by signal.

Must not know any one command.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from tickfan.commands import WRONG
from tickfan.config import ConfigError, load

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from tickfan.config import Settings


BROKER_URL = "TICKFAN_BROKER__URL"


def settings_from(config: Path | None, *, is_demo: bool = False) -> Settings:
    """The settings, or every complaint on a line of its own and exit status 2."""
    try:
        return load(config, os.environ, is_demo=is_demo)
    except ConfigError as error:
        for problem in error.problems:
            say(problem)
        raise typer.Exit(WRONG) from None


def settings_to_serve(config: Path | None, *, is_demo: bool) -> Settings:
    """As :func:`settings_from`; a broker that nobody named is wrong, too."""
    settings = settings_from(config, is_demo=is_demo)
    if settings.lacks_broker:
        say(
            f"{no_broker()}. For invented prices: `tickfan serve --demo`. For an empty broker "
            "inside of the process, to which HTTP alone publishes: TICKFAN_BROKER__URL=memory://"
        )
        raise typer.Exit(WRONG)
    return settings


def no_broker() -> str:
    """What is wrong where ``broker.url`` is empty, and what to write."""
    is_empty = BROKER_URL in os.environ
    return (
        f"broker.url: {f'{BROKER_URL} is empty' if is_empty else 'missing'}, so nothing says where "
        f"RabbitMQ is. Set {BROKER_URL}=amqp://user:password@host:5672/vhost"
    )


def say(sentence: str) -> None:
    """One line for a person, on stderr."""
    sys.stderr.write(f"tickfan: {sentence}\n")


def show(text: str) -> bool:
    """Write to stdout what a command is for; False if it cannot be written, which is said."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        leave_stdout(error)
        return isinstance(error, BrokenPipeError)
    return True


def leave_stdout(error: OSError) -> None:
    """Write no more to a stdout that cannot be written to, and say why.

    A closed pipe is no fault: its reader has enough. Python flushes at exit, and would
    complain with a traceback.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if not isinstance(error, BrokenPipeError):
        say(f"what it prints cannot be written: {error.strerror}")


FILES_BESIDE_CLIENTS = 100
"""Descriptors for listeners, the broker, logs and the loop."""


def raise_file_limit(sockets: int) -> int:
    """Let the process open as many files as ``sockets`` need; how many it has room for.

    Many systems start a process with 1,024, far below what they would allow; each
    socket takes one. Fewer than were asked for is no fault on a laptop: who comes when
    there is no room is told ``overload``, and the broker and the admin listener still find one.
    """
    try:
        import fcntl  # noqa: PLC0415 - not on Windows
        import resource  # noqa: PLC0415
    except ImportError:
        return sockets
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = sockets + FILES_BESIDE_CLIENTS
    if soft != resource.RLIM_INFINITY and soft < needed:
        wanted = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    files = needed if soft == resource.RLIM_INFINITY else min(needed, soft)
    # Linux doubles a process's table of files when it is full, and stops a process with
    # threads for 10 to 25 ms each time (fs/file.c, expand_fdtable). So this is done now,
    # and not in the middle of a rush of clients.
    with contextlib.suppress(OSError), Path(os.devnull).open("rb") as file:
        os.close(fcntl.fcntl(file, fcntl.F_DUPFD, files - 1))
    return max(files - FILES_BESIDE_CLIENTS, files // 2)


async def until_signal(work: Coroutine[object, object, None]) -> bool:
    """Run ``work`` until it ends or SIGINT or SIGTERM comes; True if it ended itself."""
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(work)
    caught: list[int] = []

    def stop(number: int) -> None:
        caught.append(number)
        task.cancel()

    signals = (signal.SIGINT, signal.SIGTERM)
    with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C ends us bluntly
        for number in signals:
            loop.add_signal_handler(number, stop, number)
    try:
        await task
    except asyncio.CancelledError:
        if not caught:
            raise
        return False
    finally:
        with contextlib.suppress(NotImplementedError):
            for number in signals:
                loop.remove_signal_handler(number)
    return True
