"""A small model of the fan-out: what each client may see, and what it must.

A client of the model reads the events of a real one as they come, and knows at each
what may come next. Every cursor is taken at its word: all up to its places has come,
and nothing behind them. Must not know how the service decides anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from tickfan.core.pattern import Pattern

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.support.decoding import Event

LOSSLESS = {"trades.a": "trades", "trades.b": "trades", "book.x": "book"}
"""The lossless channels, with their feeds."""
CONFLATED = ("quotes.a", "quotes.b")
FEEDS = ("trades", "book")
NONE_UNASKED = 0, 0, 0
START = "-" * 11
"""The fingerprint of a place before the first message of a stream."""


class Item(NamedTuple):
    """One update or gap of a lossless channel. ``at`` counts all that was ever published.

    ``gap`` is a gap's reason; None: it is an update.
    """

    at: int
    stream: int
    seq: int
    prev: int | None
    gap: str | None
    is_last: bool
    size: int


class Log:
    """Everything published. ``streams``: which stream of each feed it is now, from 0."""

    def __init__(self) -> None:
        self.now = 0
        self.streams = dict.fromkeys(FEEDS, 0)
        self.items: dict[str, list[Item]] = {name: [] for name in LOSSLESS}
        self.marks: dict[tuple[str, int, str], Item] = {}
        self.states: dict[str, list[Item]] = {name: [] for name in LOSSLESS}
        self.values: dict[str, list[int]] = {name: [] for name in CONFLATED}
        # How many of them have gone to everybody who is on the shared path.
        self.settled = dict.fromkeys(CONFLATED, 0)

    def add(
        self, name: str, seq: int, mark: str, kind: str, size: int, gap: str | None = None
    ) -> Item:
        """An update of a lossless channel came, of the type ``kind``, or a gap instead of it.

        ``mark`` is the fingerprint of its message, which a whole batch shares.
        """
        feed = LOSSLESS[name]
        before = self.items[name][-1] if self.items[name] else None
        stream = self.streams[feed]
        prev = before.seq if before is not None and before.stream == stream else None
        is_last = kind == "done" and gap is None
        item = Item(self.now, stream, seq, prev, gap, is_last, size)
        self.items[name].append(item)
        self.marks[feed, seq, mark] = item
        if gap is not None:
            self.states[name] = []
        elif kind == "snapshot":
            self.states[name] = [item]
        elif self.states[name]:
            self.states[name].append(item)
        return item

    def settle(self) -> None:
        """A time longer than any tick has passed."""
        self.settled = {name: len(values) for name, values in self.values.items()}

    def lose(self, feed: str) -> None:
        """The feed's stream is another one from here on."""
        self.streams[feed] += 1
        for name in of_feed(feed):
            self.states[name] = []

    def is_within_batch(self, cursor: str) -> bool:
        """Whether a place of the cursor has more of its message behind it."""
        return any(
            (feed, seq + 1, mark) in self.marks for feed, (seq, mark) in places_in(cursor).items()
        )

    def item_at(self, feed: str, place: tuple[int, str]) -> Item | None:
        """What a place names; None: the start of a stream."""
        return None if place[1] == START else self.marks[feed, *place]


@dataclass
class Session:
    """A time for which a client is subscribed to a lossless channel.

    It begins in an opening, with the channel's full state (``state``), behind the place
    ``start`` in ``stream``.
    """

    opening: int
    stream: int
    start: int
    state: list[Item]
    end: int | None = None
    got: int = 0  # how many have come of the stream that the client is in
    is_open: bool = False  # its opening has begun to come

    def due(self, log: Log, name: str, stream: int) -> list[Item]:
        """What is to come of ``stream``, in order."""
        end = self.end
        live = [
            item
            for item in log.items[name]
            if item.stream == stream and item.at > self.start and (end is None or item.at <= end)
        ]
        return [*self.state, *live] if stream == self.stream else live


@dataclass
class Opening:
    """One granted subscription, as the client will be told of it."""

    at: int  # when it was granted
    streams: dict[str, int]
    resets: list[str]
    again: set[str]  # feeds read before: what is older may still be on its way
    has_snapshots: bool
    starts: dict[str, int] = field(default_factory=dict)  # where feeds are resumed
    # The conflated channels that its snapshot still has to have.
    quotes: set[str] = field(default_factory=set)


@dataclass
class Watch:
    """What one client has been promised, and what it has read so far."""

    log: Log
    ends_at_last: bool = False  # its stream ends behind the first update of type ``done``
    patterns: dict[str, Pattern] = field(default_factory=dict)
    openings: list[Opening] = field(default_factory=list)
    resets: dict[str, list[int]] = field(default_factory=lambda: {feed: [] for feed in FEEDS})
    sessions: dict[str, list[Session]] = field(
        default_factory=lambda: {name: [] for name in LOSSLESS}
    )
    # What has come.
    begun: int = 0
    ended: int = 0
    streams: dict[str, int] = field(default_factory=dict)
    head: list[str] = field(default_factory=list)
    resets_read: dict[str, int] = field(default_factory=lambda: dict.fromkeys(FEEDS, 0))
    values: dict[str, int] = field(default_factory=dict)
    # How many values of a channel were there before it was subscribed to without a
    # snapshot: of these the last need not come, and those that had settled must not, from
    # the opening of this number on. Before it they may, of an earlier subscription.
    unasked: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    quoted: set[str] = field(default_factory=set)  # the conflated channels of any time
    reached: dict[str, int] = field(default_factory=dict)  # by its cursors, of each feed
    is_over: bool = False

    def covers(self, name: str) -> bool:
        return any(pattern.matches(name) for pattern in self.patterns.values())

    def feeds(self) -> set[str]:
        """The lossless feeds that it reads, though perhaps none of their channels."""
        return {
            feed
            for feed in FEEDS
            if any(pattern.overlaps(Pattern(f"{feed}.#")) for pattern in self.patterns.values())
        }

    def subscribe(self, texts: Iterable[str], places: dict[str, Item | None] | None,
                  resets: list[str], *, has_snapshots: bool) -> None:  # fmt: skip
        """It was granted patterns. ``places`` are where exact continuations begin."""
        log = self.log
        new = {text: Pattern(text) for text in texts}
        for name in CONFLATED:
            if any(pattern.matches(name) for pattern in new.values()):
                if has_snapshots:
                    self.unasked.pop(name, None)
                elif not self.covers(name):
                    opening = len(self.openings) + 1 if name in self.quoted else 0
                    self.unasked[name] = log.settled[name], len(log.values[name]), opening
                self.quoted.add(name)
        quotes = {
            name
            for name in CONFLATED
            if has_snapshots
            and log.values[name]
            and any(pattern.matches(name) for pattern in new.values())
        }
        fresh = {name for name in LOSSLESS if not self.covers(name)}
        self.patterns |= new
        again = {feed for feed in FEEDS if any(self.sessions[name] for name in of_feed(feed))}
        self.openings.append(
            Opening(log.now, dict(log.streams), list(resets), again, has_snapshots, quotes=quotes)
        )
        for name in sorted(fresh):
            if not self.covers(name):
                continue
            feed, start = LOSSLESS[name], log.now
            state = list(log.states[name]) if has_snapshots else []
            if places is not None and feed in places:
                item = places[feed]
                start, state = 0 if item is None else item.at, []
                self.openings[-1].starts[feed] = start
            self.sessions[name].append(Session(len(self.openings), log.streams[feed], start, state))

    def unsubscribe(self, text: str) -> None:
        del self.patterns[text]
        for opening in self.openings:
            opening.quotes = {name for name in opening.quotes if self.covers(name)}
        for name, sessions in self.sessions.items():
            if sessions and sessions[-1].end is None and not self.covers(name):
                sessions[-1].end = self.log.now

    def lose(self, feed: str) -> None:
        """It will be told that the feed's stream is another one."""
        self.resets[feed].append(self.log.streams[feed])

    def read(self, event: Event) -> None:
        """The client reads its next event."""
        kind = event["event"]
        if self.head and kind != "reset":
            raise AssertionError(f"no reset of {self.head} behind the answer")
        if kind in ("update", "gap"):
            self._read_update(event)
        elif kind == "subscribed":
            self._begin()
        elif kind == "snapshot_end":
            self._end()
        elif kind == "reset":
            self._lose(event["feed"])
        if "cursor" in event:
            self._check_cursor(event["cursor"])

    def _begin(self) -> None:
        assert self.begun == self.ended, "an answer within a snapshot"
        opening = self.openings[self.begun]
        self.begun += 1
        for feed in FEEDS:
            self.streams[feed] = max(self.streams.get(feed, 0), opening.streams[feed])
        self.head = list(opening.resets)
        self.reached |= opening.starts
        for sessions in self.sessions.values():
            for session in sessions:
                if session.opening == self.begun:
                    session.is_open = True

    def _end(self) -> None:
        self.ended += 1
        assert self.ended == self.begun
        quotes = self.openings[self.ended - 1].quotes
        assert not quotes or self.is_over, f"a snapshot without {quotes}"
        for name in LOSSLESS:
            session = self._session(name)
            if session is None or session.opening != self.ended or session.end is not None:
                continue
            if self.streams[LOSSLESS[name]] == session.stream and not self.is_over:
                assert session.got >= len(session.state), f"only a part of the state of {name}"

    def _lose(self, feed: str) -> None:
        if self.head:
            assert feed == self.head.pop(0), "the resets of an answer come by name"
            return
        self.streams[feed] = self.resets[feed][self.resets_read[feed]]
        self.resets_read[feed] += 1
        for name in of_feed(feed):
            for session in self.sessions[name]:
                session.got = 0

    def _session(self, name: str) -> Session | None:
        """The one that the client is in, as far as it knows."""
        return next((one for one in reversed(self.sessions[name]) if one.is_open), None)

    def _read_update(self, event: Event) -> None:
        name, seq = event["channel"], event["seq"]
        is_snapshot = event.get("snapshot", False)
        assert is_snapshot == (self.begun > self.ended), "a snapshot where none is due"
        assert not is_snapshot or self.openings[self.begun - 1].has_snapshots, "none was asked for"
        assert not self.is_over, "something comes after the end that was asked for"
        if name in CONFLATED:
            assert event["data"][0] == self.log.values[name][seq - 1]
            if is_snapshot:
                self.openings[self.begun - 1].quotes.discard(name)
            assert seq >= self.values.get(name, 0), f"{name}: an older value after a newer one"
            settled, _, opening = self.unasked.get(name, NONE_UNASKED)
            assert seq > settled or self.begun < opening, f"{name}: a value of before"
            self.values[name] = seq
            return
        session = self._session(name)
        assert session is not None, f"{name} without being subscribed"
        due = session.due(self.log, name, self.streams[LOSSLESS[name]])
        assert session.got < len(due), f"{name}: {seq} is not due"
        item = due[session.got]
        assert (seq, event["event"]) == (item.seq, "gap" if item.gap else "update"), name
        if item.gap:
            assert event["reason"] == item.gap
        else:
            assert event["data"][0] == item.at
        is_state = item in session.state
        assert is_state == (self.begun > self.ended), "a live update within a snapshot"
        assert event.get("prev") == item.prev
        session.got += 1
        self.is_over = item.is_last and self.ends_at_last

    def _waits_in(self, feed: str, stream: int) -> bool:
        """Whether all that it reads of a feed are channels whose opening is still to come."""
        last = [one for name in of_feed(feed) for one in self.sessions[name][-1:]]
        going = [one for one in last if one.end is None]
        return bool(going) and all(not one.is_open and one.stream == stream for one in going)

    def _is_of_before(self, feed: str, item: Item) -> bool:
        """Whether a place may be of an earlier reading of the feed, which the client has left.

        It was on its way already when the client asked for the feed again.
        """
        return any(feed in one.again and item.at <= one.at for one in self.openings[self.begun :])

    def _check_cursor(self, text: str) -> None:
        openings = self.openings[self.begun :]
        waiting = {*self.head}.union(*({*one.resets} - one.again for one in openings))
        resumed = {feed for one in openings for feed in one.starts}
        for feed, place in places_in(text).items():
            # Whoever is cut here would come back and never hear of it.
            assert feed not in waiting, f"a cursor before the reset of {feed}"
            item = self.log.item_at(feed, place)
            if item is not None and feed not in resumed:
                assert item.at >= self.reached.get(feed, 0), f"the cursor goes back: {text}"
                self.reached[feed] = item.at
            stream = self.streams.get(feed)
            if item is not None and self._waits_in(feed, item.stream):
                if self._is_of_before(feed, item):
                    continue
                stream = None  # it has heard nothing of this feed as it is now
            if item is not None and stream is not None:
                assert item.stream == stream, f"a cursor of another stream of {feed}"
            for name in of_feed(feed):
                sessions = [one for one in self.sessions[name] if one.is_open or stream is None]
                if not sessions or sessions[-1].end is not None:
                    continue
                session = sessions[-1]
                told = session.stream if stream is None else stream
                due = session.due(self.log, name, told)
                reached = -1 if item is None else item.at
                behind = sum(one.at <= reached for one in due)
                if told == session.stream and session.got >= len(session.state):
                    # A place is one for all channels of a feed. A slow reader's is older
                    # than the full state of a channel that it has added just now.
                    behind = max(behind, len(session.state))
                assert session.got == behind, (
                    f"{name}: {session.got} have come of the {behind} up to the cursor {text}"
                )

    def owed(self) -> list[Item]:
        """What is still to come of lossless channels."""
        owed: list[Item] = []
        for name, sessions in self.sessions.items():
            if not sessions or sessions[-1].end is not None:
                continue
            session, feed = sessions[-1], LOSSLESS[name]
            stream = self.streams.get(feed, session.stream)
            owed += session.due(self.log, name, stream)[session.got :]
            for later in range(stream + 1, self.log.streams[feed] + 1):
                owed += session.due(self.log, name, later)
        return owed

    def check_calm(self) -> None:
        """Everything that it is due has come."""
        assert self.ended == len(self.openings), "an answer is still to come"
        for feed in FEEDS:
            assert self.resets_read[feed] == len(self.resets[feed]), f"no reset of {feed}"
        assert not self.owed(), "updates are still to come"
        for name in CONFLATED:
            count = len(self.log.values[name])
            if self.covers(name) and count > self.unasked.get(name, NONE_UNASKED)[1]:
                assert self.values.get(name) == count, f"{name} is stale"


def of_feed(feed: str) -> list[str]:
    """The lossless channels of a feed."""
    return [name for name, own in LOSSLESS.items() if own == feed]


def places_in(cursor: str) -> dict[str, tuple[int, str]]:
    """The places of a cursor: by feed, ``seq`` and fingerprint."""
    parts = (part.split(".") for part in cursor.split("~")[1:])
    return {feed: (int(digits, 36), mark) for feed, digits, mark in parts}
