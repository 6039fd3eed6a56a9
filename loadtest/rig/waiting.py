"""How a run waits: for a condition, with a deadline.

Must not know what is waited for.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

DEADLINE_S = 30.0
"""How long anything may take before it counts as failed: long, for a busy machine."""


async def until(
    condition: Callable[[], object], what: str = "", *, seconds: float = DEADLINE_S
) -> None:
    """Wait until ``condition()`` is true; fail after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain: {what or condition}"
        await asyncio.sleep(0.005)
