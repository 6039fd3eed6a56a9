"""What to say where RabbitMQ has something else than the settings say, and what to do.

An advice is given only where it is true. Who makes again what is only not up yet destroys
it. Must not know connections, consumers, nor how anything is declared.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from aiormq.exceptions import (
    ChannelAccessRefused,
    ChannelClosed,
    ChannelLockedResource,
    ChannelNotFoundEntity,
    ChannelPreconditionFailed,
)

from tickfan.broker.amqp.causes import no_right
from tickfan.broker.base import TopologyError

if TYPE_CHECKING:
    from tickfan.broker.base import FeedSource

_SETTINGS = {
    "x-max-age": "retention_age",
    "x-max-length-bytes": "retention_bytes",
    "x-stream-max-segment-size-bytes": "segment_bytes",
}
# RabbitMQ: inequivalent arg 'x' for queue 'q' in vhost '/': received … but current is …
_INEQUIVALENT = re.compile(r"inequivalent arg '([^']+)' for .*: received (.*) but current is (.*)")
# RabbitMQ: no queue 'q' in vhost '/'. It has other words for one that is there and not up.
_MISSING = re.compile(r"no (queue|exchange) '(.*)' in vhost")
EXCHANGE, STREAM = "a durable topic exchange", "a durable stream"


class NoCopy(TopologyError):
    """The node that was asked has no copy of the stream that runs: another one may have."""


def left_out(wanted: str, part: str) -> str:
    """What to do about something missing that ``broker.declare`` leaves out."""
    return (
        f"Create it ({wanted}), or let the service do so: broker.declare = true, or a list "
        f'with "{part}"'
    )


def not_permitted(wanted: str) -> str:
    """What to do about something missing that the broker's user may not make."""
    return (
        f"Create it ({wanted}), or grant the broker's user the right to configure it: then "
        "the service makes it"
    )


def explained(error: ChannelClosed, what: str, wanted: str, if_missing: str = "") -> TopologyError:
    """Say what exists, what the settings say, and what to do.

    ``if_missing`` is what to do if it does not exist; "": nothing, the service makes it.
    """
    text = str(error)
    if isinstance(error, ChannelNotFoundEntity):
        return _missing(text, what, if_missing)
    if isinstance(error, ChannelAccessRefused):
        if "reserved prefix" in text:
            return TopologyError(f"{what}: {text}. Choose another name", "a reserved name")
        return TopologyError(
            f"{what}: the broker's user may not: {text}. Grant the permission", no_right(text)
        )
    if isinstance(error, ChannelLockedResource):
        return TopologyError(
            f"{what} belongs to another connection: {text}. Name another", "not our queue"
        )
    if isinstance(error, ChannelPreconditionFailed):
        return _mismatch(text, what, wanted)
    return TopologyError(f"{what} could not be made {wanted}: {text}", "refused by RabbitMQ")


def refused(source: FeedSource, error: ChannelPreconditionFailed) -> TopologyError:
    """Why the feed's stream cannot be read over this connection."""
    text = str(error)
    stream = f"feed {source.spec.name!r}: stream {source.queue!r}"
    if "replica on the local node" in text:
        return NoCopy(
            f"{stream} has no running copy at this node of RabbitMQ. If that lasts, add one "
            "(rabbitmq-streams add_replica), and name all nodes in broker.url",
            "no copy of a stream at this node",
        )
    if "x-stream-offset" in text:
        return not_a_stream(source)
    return TopologyError(f"{stream} cannot be read: {text}", "a stream cannot be read")


def not_a_stream(source: FeedSource) -> TopologyError:
    """The error for a queue that exists, but is of another type."""
    return TopologyError(
        f"feed {source.spec.name!r}: queue {source.queue!r} exists and is not a stream. "
        "Name another queue for the feed, or make a stream of this name in its place (the "
        "queue's messages go with it)",
        "not a stream",
    )


def _missing(text: str, what: str, if_missing: str) -> TopologyError:
    missing = _MISSING.search(text)
    if missing is None:
        return TopologyError(
            f"{what} exists and is not up yet; it is tried again. RabbitMQ says: {text}",
            "not up yet",
        )
    kind, name = missing.groups()
    if kind not in what.split():  # a queue could not be bound
        feed = what.partition(": ")[0]
        what, if_missing = f"{feed}: exchange {name!r}", ""
    if not if_missing:
        return TopologyError(f"{what} is not there yet; it is tried again", "not there yet")
    return TopologyError(f"{what} does not exist. {if_missing}", f"{kind} missing")


def _mismatch(text: str, what: str, wanted: str) -> TopologyError:
    match = _INEQUIVALENT.search(text)
    if match is None:
        return TopologyError(f"{what} exists, but not as {wanted}: {text}", "exists otherwise")
    argument, received, current = match[1], _value(match[2]), _value(match[3])
    otherwise = (
        f"{what} exists, but not as {wanted}: its {argument} is {current}, not {received}. "
        "Choose another name"
    )
    if wanted == EXCHANGE:
        return TopologyError(
            f"{otherwise}, or make {wanted} in its place (its bindings go with it)",
            "wrong exchange type",
        )
    as_it_is = 'set broker.declare = false, or ["exchange"], to use it as it is'
    anew = "delete it, and its messages, so that it is made anew"
    setting = _SETTINGS.get(argument)
    if setting is None:
        return TopologyError(f"{otherwise}, or {anew}", "a queue's arguments")
    if current == "none":
        return TopologyError(
            f"{what} exists without {argument}: it was not made by this service, and may be no "
            f"stream at all; {setting} says {received}. Choose another name. Or, if it is a "
            f"stream, {as_it_is}. Or {anew}",
            "a queue's arguments",
        )
    return TopologyError(
        f"{what} exists with {argument} {current}, the settings say {received}. Set {setting} to "
        f"what exists, or {as_it_is}, or {anew}",
        "a stream's arguments",
    )


def _value(text: str) -> str:
    """``'1h'`` of ``the value '1h' of type 'longstr'``; other texts as they are."""
    quoted = re.search(r"'[^']*'", text)
    return quoted[0] if quoted else text
