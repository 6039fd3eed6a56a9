"""What each event of the protocol says: its fields, in the order of ``docs/protocol.md``.

A function has the name of its event; one that has more than one form has a function
for each. The fields go out in the order in which they stand here. Must not know
connections, sockets, or how an event looks on a wire. Rows of updates on WebSockets
(``updates``) are made in :mod:`tickfan.wire.messages`: they are joined, not built.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tickfan.core.cursor import Trail
from tickfan.core.feed import Upstream
from tickfan.core.update import UPDATE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tickfan.core.closing import Reason
    from tickfan.core.cursor import Place
    from tickfan.core.errors import Refusal
    from tickfan.core.feed import Feed
    from tickfan.core.pattern import Pattern
    from tickfan.core.update import Update

Fields = dict[str, Any]


def subscribed(epoch: str, server_time: int, channels: list[Fields]) -> Fields:
    """What was granted. ``channels`` are made by :func:`subscribed_pattern`.

    ``epoch`` names this run of the process, ``server_time`` is in ms.
    """
    return {"epoch": epoch, "server_time": server_time, "channels": channels}


def subscribed_first(connection: str, fields: Fields) -> Fields:
    """``subscribed`` as the first event of a stream; ``connection`` names that in the log, too."""
    return {"connection": connection, **fields}


def subscribed_lossless(feed: Feed, *, recovered: bool | None) -> Fields:
    """What is alike in all patterns of one lossless feed. ``recovered`` None: no cursor came."""
    oldest = feed.history.oldest
    return {
        **_granted(feed),
        "recovered": recovered,
        "history_start": None if oldest is None else oldest.seq,
    }


def subscribed_conflated(feed: Feed, interval_ms: int) -> Fields:
    """What is alike in all patterns of one conflated feed."""
    return {**_granted(feed), "interval_ms": interval_ms}


def subscribed_pattern(pattern: str, in_feed: Fields, snapshot: str) -> Fields:
    """One pattern in one feed. ``in_feed`` was made by one of the two functions above."""
    return {"channel": str(pattern), **in_feed, "snapshot": snapshot}


def _granted(feed: Feed) -> Fields:
    fields: Fields = {
        "feed": feed.name,
        "delivery": str(feed.spec.delivery),  # a quarter of what .value takes
        "upstream": str(feed.upstream),
    }
    if feed.upstream is Upstream.STALE:
        # A client that comes now has heard no `status`.
        fields["since"] = feed.since_ms
    return fields


def update(update: Update) -> Fields:
    """An update as an object: on SSE and NDJSON, and in answers of REST."""
    channel = update.channel
    fields = {
        "channel": channel.name,
        "seq": update.seq,
        "ts": update.ts,
        "data": update.data,
    }
    if channel.feed.is_lossless:
        fields["prev"] = update.prev
    if update.type != UPDATE:
        fields["type"] = update.type
    return fields


def snapshot_end() -> Fields:
    """All snapshots have been sent."""
    return {}


def status(feed: Feed) -> Fields:
    """The state of a feed's source.

    ``heard`` is when its last message came (null: none yet). ``unconfirmed``
    counts conflated channels whose value was not received since the last
    outage began.
    """
    fields = {
        "feed": feed.name,
        "upstream": feed.upstream.value,
        "since": feed.since_ms,
        "heard": feed.heard_ms or None,
    }
    if not feed.is_lossless and feed.confirmed_after:
        channels = feed.channels.values()
        fields["unconfirmed"] = sum(not feed.is_confirmed(channel) for channel in channels)
    return fields


def status_of_all(feeds: Iterable[Feed]) -> Fields:
    """The state of every source, for a stream that is turned away at its beginning."""
    return {"upstream": _upstream(feeds)}


def gap(update: Update) -> Fields:
    """A message that could not be delivered; it has its place in the chain."""
    return {
        "channel": update.channel.name,
        "seq": update.seq,
        "prev": update.prev,
        "ts": update.ts,
        "reason": update.data,
    }


def reset(feed: Feed, reason: str) -> Fields:
    """The feed's stream cannot be continued.

    ``oldest`` is a cursor behind which everything is still held: a client that
    wants the rest of the history resumes from there.
    """
    oldest = feed.history.oldest
    return {
        "feed": feed.name,
        "reason": reason,
        "oldest": None if oldest is None else Trail({feed.name: oldest.place or ""}).text(),
    }


def reset_on_resume(feed: Feed, at: Place | None) -> Fields:
    """A cursor of the feed cannot be continued. ``at`` None: it is of another feed."""
    return reset(feed, "unknown_feed" if at is None else feed.why_not(at))


def heartbeat(server_time: int, feeds: Iterable[Feed]) -> Fields:
    """Nothing else had to be said. ``server_time`` is in ms."""
    return {"server_time": server_time, "upstream": _upstream(feeds)}


def closing(reason: Reason, retry_ms: int) -> Fields:
    """Why the connection ends. ``retry_ms`` goes out as null where nobody should come back."""
    return {
        "reason": reason.name,
        "code": reason.code,
        "message": reason.message,
        "retry_ms": retry_ms if reason.may_reconnect else None,
    }


def welcome(connection: str, protocol: str, epoch: str, server_time: int, **limits: int) -> Fields:
    """The first message on a WebSocket. ``connection`` names it in the log, too.

    ``protocol`` is its subprotocol. ``limits`` have the names and the units of the settings.
    """
    return {
        "connection": connection,
        "protocol": protocol,
        "epoch": epoch,
        "server_time": server_time,
        "limits": limits,
    }


def authenticated(
    subject: str,
    expires: int | None,
    channels: Iterable[Pattern],
    interval_ms_min: int,
    dropped: Iterable[Pattern],
) -> Fields:
    """The connection goes on with another token, whose ``subject`` this is.

    ``expires`` is when the token ends, in ms since 1970. ``channels`` may be read. ``dropped``
    were subscribed, and may not be read any more.
    """
    return {
        "subject": subject,
        "expires": expires,
        "channels": [pattern.text for pattern in channels],
        "interval_ms_min": interval_ms_min,
        "dropped": [pattern.text for pattern in dropped],
    }


def unsubscribed(patterns: Iterable[Pattern]) -> Fields:
    """These patterns were taken back."""
    return {"channels": [pattern.text for pattern in patterns]}


def error(refusal: Refusal) -> Fields:
    """What was refused: a message on WebSockets, and the body of an HTTP error."""
    fields = {"code": refusal.code, "message": refusal.message}
    if refusal.item is not None:
        fields["item"] = refusal.item
    return fields


def pong(server_time: int) -> Fields:
    """The answer to the command ``ping``. ``server_time`` is in ms."""
    return {"server_time": server_time}


def answering(command_id: str | int | None, fields: Fields) -> Fields:
    """The fields of an answer to a command; ``id`` is the client's own, if it gave one."""
    return fields if command_id is None else {"id": command_id, **fields}


def marked(fields: Fields, *, is_simulated: bool) -> Fields:
    """The fields, and ``simulated: true`` where the service itself invents the prices."""
    return {**fields, "simulated": True} if is_simulated else fields


def _upstream(feeds: Iterable[Feed]) -> dict[str, str]:
    return {feed.name: feed.upstream.value for feed in feeds}
