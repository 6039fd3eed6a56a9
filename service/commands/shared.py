"""What several commands need: settings or a verdict, one sentence, an end by signal.

Must not know any one command.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING

import typer

from service.commands import WRONG
from service.config import ConfigError, load

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

    from service.config import Settings


def settings_from(config: Path | None) -> Settings:
    """The settings, or every complaint on a line of its own and exit status 2."""
    try:
        return load(config, os.environ)
    except ConfigError as error:
        for problem in error.problems:
            say(problem)
        raise typer.Exit(WRONG) from None


def say(sentence: str) -> None:
    """One line for a person, on stderr."""
    sys.stderr.write(f"tickfan: {sentence}\n")


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
