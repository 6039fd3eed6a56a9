"""What an object holds, as CPython's collector sees it.

A test that claims that nothing is kept asks here: so it need not know by which name it would
be kept, and finds it under a new one, too. Must not know what is tested.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

CONTAINERS = (list, tuple, dict, set, frozenset, deque)


def held(thing: object, *through: type) -> Iterator[object]:
    """All that an object has of its own, in containers or not.

    What it shares is looked at, and not looked into: the fields of another object are
    followed only if that is one of ``through``.
    """
    seen: set[int] = set()
    ahead = [thing]
    while ahead:
        for each in _referents(ahead.pop()):
            if isinstance(each, type) or id(each) in seen:
                continue
            seen.add(id(each))
            yield each
            if isinstance(each, (*CONTAINERS, *through)):
                ahead.append(each)


def _referents(owner: object) -> list[object]:
    found = gc.get_referents(owner)
    if isinstance(owner, dict):
        # The collector passes over keys that are texts: they lead nowhere.
        return [*owner.keys(), *owner.values()]
    fields = getattr(owner, "__dict__", None)  # not always there: the names are its class's
    if fields is not None and any(each is fields for each in found):
        return [each for each in found if each is not fields] + list(fields.values())
    return found


def held_bytes(thing: object) -> int:
    """The memory of what an object has of its own: buffers and containers, and what is in them."""
    return sum(sys.getsizeof(each) for each in held(thing))


def timers_set() -> int:
    """How many timers of asyncio are set in the process, cancelled ones aside."""
    timers = (each for each in gc.get_objects() if isinstance(each, asyncio.TimerHandle))
    return sum(not timer.cancelled() for timer in timers)
