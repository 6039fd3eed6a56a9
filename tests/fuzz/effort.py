"""What a decoder may spend on its input: calls and memory, counted without a clock.

Must not know any decoder.
"""

from __future__ import annotations

import sys
import tracemalloc
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType


@contextmanager
def bounded(size: int, *, calls: int = 40, held: int = 150) -> Iterator[None]:
    """Fail if the block makes more calls, or takes more memory, than its input is worth.

    ``size`` is that of the input in bytes. ``calls`` and ``held`` are how many calls (of
    Python's and of C's functions) and how many bytes at the same time each byte may cost. A
    little is always free (msgpack takes 1 MiB to look at nothing).
    """
    made = 0

    def note(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal made
        if event in ("call", "c_call"):
            made += 1

    was_tracing = tracemalloc.is_tracing()
    if not was_tracing:
        tracemalloc.start()
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    profile = sys.getprofile()
    sys.setprofile(note)
    try:
        yield
    finally:
        sys.setprofile(profile)
        _, peak = tracemalloc.get_traced_memory()
        if not was_tracing:
            tracemalloc.stop()
        # Also when the input was refused: that may cost as much as to take it.
        assert made <= 20_000 + calls * size, f"{made} calls for {size} bytes"
        assert peak - before <= 2**21 + held * size, f"{peak - before} bytes held for {size} bytes"
