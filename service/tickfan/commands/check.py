"""``tickfan check``: the settings as they turn out, or what is wrong with them.

With ``--connect`` also what the broker thinks of them. Must not know the service, nor any
other command.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import TYPE_CHECKING

from tickfan.broker.amqp.survey import survey
from tickfan.broker.base import Finding, Verdict
from tickfan.commands import FAILED, OK
from tickfan.commands.shared import settings_to_serve, show
from tickfan.parts import amqp_options

if TYPE_CHECKING:
    from pathlib import Path

    from tickfan.config import Settings

WITHIN_S = 15.0
MEMORY = "broker.url is memory://: the broker is in the service, and has what the feeds need"


def check(config: Path | None, *, is_demo: bool = False) -> int:
    """Print every setting, secrets masked."""
    settings = settings_to_serve(config, is_demo=is_demo)
    return OK if show(settings.to_toml()) else FAILED


def connect(config: Path | None, within_s: float = WITHIN_S, *, is_demo: bool = False) -> int:
    """Print a line for each thing that the broker has or lacks; 1 if something would not work.

    Nothing is changed there. What is not known after ``within_s`` seconds is wrong.
    """
    settings = settings_to_serve(config, is_demo=is_demo)
    # What the broker's library logs comes as an exception, too.
    logging.getLogger().addHandler(logging.NullHandler())
    findings = asyncio.run(_findings(settings, within_s))
    counts = Counter(finding.verdict for finding in findings)
    width = max(map(len, Verdict))
    lines = [f"{finding.verdict:<{width}}  {finding.text}" for finding in findings]
    summary = ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict])
    is_shown = show("".join(f"{line}\n" for line in [*lines, summary]))
    return FAILED if counts[Verdict.WRONG] or not is_shown else OK


async def _findings(settings: Settings, within_s: float) -> list[Finding]:
    if settings.broker.is_memory:
        return [Finding(Verdict.OK, MEMORY)]
    found: list[Finding] = []
    try:
        async with asyncio.timeout(within_s):
            async for finding in survey(settings.all_sources(), amqp_options(settings)):
                found.append(finding)  # noqa: PERF401 - what there is when the time is over
    except TimeoutError:
        text = f"no answer within {within_s:g} s: the rest was not looked at"
        found.append(Finding(Verdict.WRONG, text))
    return found
