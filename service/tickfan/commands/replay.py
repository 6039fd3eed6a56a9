"""A file of market data into an outbox: checked first, then sent at its pace, in batches.

Must not know how a file is read, nor which broker there is.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import orjson

from tickfan.broker.base import Message
from tickfan.clock import now_ms
from tickfan.commands.shared import say
from tickfan.files import pace
from tickfan.files.check import moment, sendable, survey
from tickfan.files.errors import BadRow, ReplayError
from tickfan.files.reader import Reader
from tickfan.files.source import FromFile, FromPipe

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from tickfan.commands.outbox import Outbox
    from tickfan.files.reader import Replay, Row

BATCH_BYTES_MAX = 262_144
"""A message of several rows has at most so many bytes, and at most ``broker.message_bytes_max``."""
BAD_NAMED_MAX = 20
"""So many bad rows are named; further ones are counted."""


@dataclass(frozen=True, slots=True)
class Playback:
    """Which file to send, and what to do with it.

    ``begin`` is the first row that is sent, counted from 1. ``is_checked`` reads the file
    through before the first row is sent. ``skips`` leaves bad rows out, and names them.
    ``is_now`` gives each update the time at which it is sent instead of that of its row.
    """

    replay: Replay
    pace: pace.Pace = field(default_factory=pace.Pace)
    begin: int = 1
    is_checked: bool = True
    skips: bool = False
    is_now: bool = False


class Player:
    """Sends one file."""

    def __init__(
        self, playback: Playback, feed_of: Callable[[str], str], message_bytes_max: int
    ) -> None:
        """``feed_of`` names the feed of a channel, or raises why there is none."""
        self.total: int | None = None
        """Rows that will be sent, if that is known."""
        self.is_done = False
        self._playback = playback
        self._feed_of = feed_of
        self._message_bytes_max = message_bytes_max
        self._next_row = playback.begin
        self._bad = 0

    def check(self) -> bool:
        """Read the file through, say what is in it and which rows are bad; True if it may go.

        Raises :class:`ReplayError` for what is wrong with the file as a whole.
        """
        with Reader(self._playback.replay) as reader:
            seen = survey(self._sendable(reader), self._name)
            say(seen.line(reader))
        self._sum_up_bad()
        if not seen.rows and (self._playback.skips or not seen.bad):
            raise _nothing_left(reader)
        self.total = seen.rows
        if self._playback.pace.count is not None:
            self.total = min(seen.rows, self._playback.pace.count)
        return self._playback.skips or not seen.bad

    async def send(self, outbox: Outbox, on_wait: Callable[[str], None]) -> None:
        """Send the rows; ``on_wait`` is told of a long wait. Raises :class:`ReplayError`."""
        playback = self._playback

        async def send(some: list[Row]) -> None:
            for feed, message, batch in self._messages(some):
                await outbox.publish(feed, message, len(batch), batch[0].number)
                self._next_row = batch[-1].number + 1

        def wait(wait: pace.Wait) -> None:
            on_wait(
                f"row {wait.row.number:,} ({moment(wait.row.ts)}) is due in "
                f"{_duration(wait.seconds)}; --speed, --max-gap or --asap make it less"
            )

        rows = self._good()
        if playback.replay.is_pipe:
            # Its thread closes it: it may wait for the pipe longer than anybody wants to.
            self.is_done = await pace.run(FromPipe(rows).more, send, playback.pace, wait)
            return
        with contextlib.closing(rows):
            self.is_done = await pace.run(FromFile(rows).more, send, playback.pace, wait)

    def where(self, unconfirmed: int | None) -> str:
        """Where a replay that was ended early goes on.

        ``unconfirmed`` is the first row that was sent and that nobody confirmed.
        """
        row = self._next_row if unconfirmed is None else unconfirmed
        again = "" if unconfirmed is None else "; rows after it may have arrived, and come again"
        return f"it ended before row {row:,}: go on with --from {row}{again}"

    def _sendable(self, reader: Reader) -> Iterator[Row | BadRow]:
        playback = self._playback
        return sendable(reader, self._feed_of, paced=playback.pace.speed > 0, begin=playback.begin)

    def _good(self) -> Generator[Row, None, None]:
        """The rows to send. Raises :class:`BadRow` for another, unless these are skipped."""
        is_new = self.total is None
        is_first = is_new
        has_any = False
        with Reader(self._playback.replay) as reader:
            for row in self._sendable(reader):
                if not isinstance(row, BadRow):
                    if is_first:
                        said = "; ".join([*reader.layout_found(), f"from {moment(row.ts)} on"])
                        say(f"{reader.name}: {said}")
                        is_first = False
                    has_any = True
                    yield row
                elif not self._playback.skips:
                    raise row
                elif is_new:
                    self._name(row)
        if is_new:
            self._sum_up_bad()
        if not has_any:
            raise _nothing_left(reader)

    def _name(self, bad: BadRow) -> None:
        self._bad += 1
        if self._bad <= BAD_NAMED_MAX:
            say(str(bad))

    def _sum_up_bad(self) -> None:
        if self._bad > BAD_NAMED_MAX:
            say(f"and {self._bad - BAD_NAMED_MAX:,} more bad rows")
        if self._bad and self._playback.skips:
            say(f"{self._bad:,} bad row{'s' * (self._bad > 1)} left out")

    def _messages(self, rows: list[Row]) -> Iterator[tuple[str, Message, list[Row]]]:
        """The rows as messages, in their order: neighbours of one feed share one."""
        bytes_max = min(BATCH_BYTES_MAX, self._message_bytes_max)
        batch: list[Row] = []
        parts: list[bytes] = []
        size, feed = 0, ""
        if self._playback.is_now:
            ts = now_ms()
            rows = [row._replace(ts=ts) for row in rows]
        for row in rows:
            own = self._feed_of(row.channel)
            part = orjson.dumps({"channel": row.channel, "data": row.data, "ts": row.ts})
            # Brackets around all of them, and a comma behind each but the last.
            if batch and (own != feed or size + len(part) + 2 > bytes_max):
                yield feed, _message(batch, parts), batch
                batch, parts, size = [], [], 0
            if len(part) > self._message_bytes_max:
                raise ReplayError(
                    f"line {row.line}: {len(part):,} bytes in a message; "
                    f"broker.message_bytes_max is {self._message_bytes_max:,}"
                )
            feed = own
            batch.append(row)
            parts.append(part)
            size += len(part) + 1
        if batch:
            yield feed, _message(batch, parts), batch


def _nothing_left(reader: Reader) -> ReplayError:
    """What is wrong with a file of which no row goes out, because of what the options leave out."""
    return ReplayError(f"{reader.name}: no row is left to send")


def _message(rows: list[Row], parts: list[bytes]) -> Message:
    first = rows[0]
    if len(rows) == 1:
        return Message(first.channel, orjson.dumps(first.data), ts=first.ts)
    return Message(first.channel, b"[%b]" % b",".join(parts), ts=first.ts, batch=True)


def _duration(seconds: float) -> str:
    """A wait for a person: 23:59:59, or days of it."""
    days, rest = divmod(round(seconds), 86_400)
    clock = f"{rest // 3600}:{rest // 60 % 60:02}:{rest % 60:02}"
    return f"{days} days {clock}" if days else clock
