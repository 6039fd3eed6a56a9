"""Says in the log why feeds are not read: once for each cause, and not once for each feed.

Each feed has a connection of its own, so one cause mostly stops them all, one a moment after
the other. What is said is said again each minute while it lasts, for who looks into the log
later, and once when it is over. Must not know how a feed is read.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple, NoReturn

import structlog

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tickfan.clock import Clock

GATHER_S = 0.5
"""So long news of other feeds is waited for: they tell of the same cause."""
AGAIN_S = 60.0
LOOK_S = 1.0
"""How often it is looked whether something is due again."""
WHYS_MAX = 4
"""So many different sentences are in one line: each may name another stream."""
_log = structlog.get_logger("tickfan.broker")


class Trouble(NamedTuple):
    """Why one feed is not read. ``since`` is by the clock's time, ``since_ms`` by the wall's."""

    cause: str
    why: str
    since: float
    since_ms: int


class Outages:
    """What holds for each feed of one broker, and what has been said of it."""

    def __init__(self, feeds: Iterable[str], clock: Clock) -> None:
        self._clock = clock
        self._news = asyncio.Event()
        # By feed; None: nothing is known yet, or it is read.
        self._troubles: dict[str, Trouble | None] = dict.fromkeys(feeds)
        self._are_read: set[str] = set()
        # Feeds that are read since the last look, with what they had before.
        self._returned: dict[str, Trouble | None] = {}
        # By sentence: the feeds that it concerns.
        self._warnings: dict[str, list[str]] = {}
        # By cause: when it was said, and of which feeds.
        self._said: dict[str, tuple[float, frozenset[str]]] = {}

    def down(self, feed: str, cause: str, why: str) -> None:
        """Note that the feed is not read; one outage may change its cause."""
        returned = self._returned.pop(feed, None)
        before = self._troubles.get(feed) or returned
        self._are_read.discard(feed)
        since = (before.since, before.since_ms) if before else self._now()
        self._troubles[feed] = Trouble(cause, why, *since)
        self._news.set()

    def up(self, feed: str) -> None:
        """Note that the feed is read."""
        if feed not in self._are_read:
            self._are_read.add(feed)
            self._returned[feed] = self._troubles.get(feed)
            self._troubles[feed] = None
            self._news.set()

    def warn(self, feed: str, sentence: str) -> None:
        """Note what is wrong although the feed is read; it is said once for all feeds."""
        self._warnings.setdefault(sentence, []).append(feed)
        self._news.set()

    def causes(self) -> Mapping[str, str | None]:
        """By feed: why it is not read, in a few words; "": it is; None: that is not known yet."""
        return {
            feed: "" if feed in self._are_read else trouble and trouble.cause
            for feed, trouble in self._troubles.items()
        }

    async def run(self) -> NoReturn:
        """Say what there is to say until cancelled."""
        try:
            while True:
                is_down = any(self._troubles.values())
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_S if is_down else None):
                        await self._news.wait()
                    await asyncio.sleep(GATHER_S)
                self._news.clear()
                self.say()
        finally:
            self.say()

    def say(self) -> None:
        """Say what is new, what lasts, and what is over."""
        now = self._clock.time()
        self._say_returned(now)
        warnings, self._warnings = self._warnings, {}
        for sentence, feeds in warnings.items():
            _log.warning("feeds are read, and not all is well", feeds=feeds, why=sentence)
        by_cause: dict[str, dict[str, Trouble]] = defaultdict(dict)
        for feed, trouble in self._troubles.items():
            if trouble is not None:
                by_cause[trouble.cause][feed] = trouble
        if not by_cause:
            self._said.clear()
        for cause, troubles in by_cause.items():
            at, of = self._said.get(cause, (now - AGAIN_S, frozenset()))
            if now - at >= AGAIN_S or not of >= set(troubles):
                self._said[cause] = now, of | set(troubles)
                since_ms = min(trouble.since_ms for trouble in troubles.values())
                _log.warning(
                    "feeds are not read",
                    cause=cause,
                    feeds=list(troubles),
                    since=datetime.fromtimestamp(since_ms / 1000, UTC).isoformat("T", "seconds"),
                    why=_together(trouble.why for trouble in troubles.values()),
                )

    def _say_returned(self, now: float) -> None:
        returned, self._returned = self._returned, {}
        by_cause: dict[str, dict[str, Trouble | None]] = defaultdict(dict)
        for feed, trouble in returned.items():
            by_cause[trouble.cause if trouble else ""][feed] = trouble
        for cause, troubles in by_cause.items():
            past = [trouble for trouble in troubles.values() if trouble]
            if not past:
                _log.info("feeds are read", feeds=list(troubles))
                continue
            was_said = cause in self._said
            (_log.info if was_said else _log.warning)(
                "feeds are read again",
                feeds=list(troubles),
                after_s=round(now - min(trouble.since for trouble in past), 1),
                cause=cause,
                **({} if was_said else {"why": _together(trouble.why for trouble in past)}),
            )

    def _now(self) -> tuple[float, int]:
        return self._clock.time(), self._clock.wall_ms()


def _together(whys: Iterable[str]) -> str:
    """Different sentences as one text, each once."""
    different = list(dict.fromkeys(whys))
    more = len(different) - WHYS_MAX
    return "; ".join(different[:WHYS_MAX]) + (f"; and {more} more" if more > 0 else "")
