"""Errors of the library, of the system and of RabbitMQ, in a few words."""

from __future__ import annotations

import errno
import socket
import ssl

import pytest
from aiormq.exceptions import (
    AMQPError,
    ChannelAccessRefused,
    ChannelClosed,
    ChannelNotFoundEntity,
    ConnectionClosed,
    IncompatibleProtocolError,
    ProbableAuthenticationError,
)

from tickfan.broker.amqp.causes import cause, ended, reason
from tickfan.broker.amqp.connection import LinkLost
from tickfan.broker.base import SourceError


def test_reasons_are_never_empty() -> None:
    """An error without a text is named by its type."""
    assert reason(ValueError()) == "ValueError"
    assert reason(TimeoutError()) == "timed out"
    assert reason(None) == "the connection was closed"
    assert reason(OSError("no route")) == "no route"
    assert reason(OSError(111, "refused")) == "[Errno 111] refused"


@pytest.mark.parametrize("kind", [ConnectionClosed, ChannelClosed])
def test_a_reply_code_is_no_errno(kind: type[AMQPError]) -> None:
    """What RabbitMQ says comes first, and its code is called by its name."""
    said = "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'"
    assert reason(kind(320, said)) == f"{said} (AMQP reply code 320)"
    assert reason(kind("only words")) == "only words"


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (SourceError("a sentence", "a name"), "a name"),
        (SourceError("a sentence"), "not read"),
        (LinkLost("a sentence"), "connection lost"),
        (ProbableAuthenticationError("ACCESS_REFUSED"), "login refused"),
        (IncompatibleProtocolError("eof"), "no AMQP 0.9.1 there"),
        (ConnectionClosed(320, "CONNECTION_FORCED"), "connection lost"),
        (ChannelAccessRefused("access to queue 'q' refused"), "no right to a queue"),
        (ChannelAccessRefused("read access to exchange 'x' refused"), "no right to an exchange"),
        (ChannelNotFoundEntity("no queue 'q'"), "not there yet"),
        (ChannelClosed(500, "odd"), "refused by RabbitMQ"),
        (TimeoutError(), "no answer"),
        (socket.gaierror(-2, "Name or service not known"), "host unknown"),
        (ssl.SSLCertVerificationError("self-signed"), "TLS"),
        (ConnectionRefusedError(111, "refused"), "connection refused"),
        (OSError(errno.EHOSTUNREACH, "no route"), "host not reached"),
        (ConnectionResetError(), "connection lost"),
        (ValueError("odd"), "an error"),
    ],
)
def test_each_kind_of_cause_has_a_name(error: BaseException, name: str) -> None:
    """Of a few words, which say what to look at."""
    assert cause(error) == name


@pytest.mark.parametrize(
    ("code", "text", "name"),
    [
        (403, "ACCESS_REFUSED - Login was refused using PLAIN", "login refused"),
        (530, "NOT_ALLOWED - vhost nope not found", "vhost unknown"),
        (530, "NOT_ALLOWED - access to vhost '/' refused for user 'me'", "no right to the vhost"),
        (530, "NOT_ALLOWED - vhost '/' is down", "vhost is down"),
        (530, "NOT_ALLOWED - access to vhost '/' refused: connection limit (1) is reached",
         "too many connections"),
        (541, "INTERNAL_ERROR", "refused by RabbitMQ"),
    ],
)  # fmt: skip
def test_why_a_connection_is_not_opened(code: int, text: str, name: str) -> None:
    """By the code and the words with which RabbitMQ ends it."""
    assert ended(code, text) == name
