"""What went wrong between us and RabbitMQ: as the end of a sentence, and in a few words.

The few words are a cause's name. They are the same for all feeds that it concerns, so a log
can say it once. Must not know feeds, connections or settings.
"""

from __future__ import annotations

import asyncio
import errno
import re
import socket
import ssl

from aiormq.exceptions import (
    AMQPError,
    AuthenticationError,
    ChannelAccessRefused,
    ChannelNotFoundEntity,
    IncompatibleProtocolError,
    ProbableAuthenticationError,
    ProtocolSyntaxError,
)

from tickfan.broker.base import SourceError

NOT_CONNECTED = "not connected"
LOST = "connection lost"
CLOSED = "closed without a word"
"""The host took the connection, and ended it before there was one of AMQP."""
ACCESS_REFUSED, NOT_ALLOWED = 403, 530
"""Reply codes with which RabbitMQ ends a connection: AMQP 0-9-1, section 1.2."""

_UNREACHABLE = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.EINVAL)
_ACCESS = re.compile(r"access to (exchange|queue|topic)")


def reason(error: BaseException | None) -> str:
    """An error as the end of a sentence."""
    if error is None or isinstance(error, asyncio.CancelledError):
        return "the connection was closed"
    if isinstance(error, TimeoutError):
        return "timed out"
    match error.args:
        # To Python the first of two arguments of a ConnectionError is an errno.
        case (int(code), str(text)) if isinstance(error, AMQPError):
            return f"{text} (AMQP reply code {code})"
    return str(error) or type(error).__name__


def cause(error: BaseException) -> str:  # noqa: C901, PLR0911 - one case each
    """The name of what this error says, in a few words."""
    match error:
        case SourceError():
            return error.cause
        case ProbableAuthenticationError() | AuthenticationError():
            return "login refused"
        case IncompatibleProtocolError() | ProtocolSyntaxError():
            return "no AMQP 0.9.1 there"
        case ChannelAccessRefused():
            return no_right(str(error))
        case ChannelNotFoundEntity():
            return "not there yet"
        case AMQPError():
            return LOST if isinstance(error, ConnectionError) else "refused by RabbitMQ"
        case TimeoutError():
            return "no answer"
        case socket.gaierror():
            return "host unknown"
        case ssl.SSLError():
            return "TLS"
        case ConnectionRefusedError():
            return "connection refused"
        case OSError() if error.errno in _UNREACHABLE:
            return "host not reached"
        case ConnectionError() | EOFError() | asyncio.CancelledError():
            return LOST
    return "an error"


def no_right(text: str) -> str:
    """The name of a right that is missing, of RabbitMQ's text."""
    found = _ACCESS.search(text)
    return f"no right to {'a queue' if found and found[1] == 'queue' else 'an exchange'}"


def ended(code: int, text: str) -> str:
    """The name of why RabbitMQ has ended a connection that was being opened."""
    if code == ACCESS_REFUSED:
        return "login refused"
    if code != NOT_ALLOWED:
        return "refused by RabbitMQ"
    if "not found" in text:
        return "vhost unknown"
    if "limit" in text:
        return "too many connections"
    return "vhost is down" if "is down" in text else "no right to the vhost"
