"""What is said when RabbitMQ has something else than the settings say."""

from __future__ import annotations

import pytest
from aiormq.exceptions import (
    ChannelAccessRefused,
    ChannelClosed,
    ChannelLockedResource,
    ChannelNotFoundEntity,
    ChannelPreconditionFailed,
)

from tests.support.broker import LOSSLESS, source
from tickfan.broker.amqp.advice import (
    EXCHANGE,
    STREAM,
    NoCopy,
    explained,
    left_out,
    not_a_stream,
    not_permitted,
    refused,
)
from tickfan.broker.base import TopologyError

INEQUIVALENT = "PRECONDITION_FAILED - inequivalent arg '{}' for queue 'q' in vhost '/': {}"
QUEUE = "feed 'trades': queue 'q'"


@pytest.mark.parametrize(
    ("argument", "rest", "words"),
    [
        (
            "x-max-age",
            "received the value '2h' of type 'longstr' but current is the value '1h' of type 'x'",
            ["x-max-age '1h'", "say '2h'", "Set retention_age", "broker.declare = false"],
        ),
        (
            "x-max-length-bytes",
            "received the value '5' of type 'signedint' but current is none",
            ["without x-max-length-bytes", "may be no stream", "retention_bytes says '5'",
             "if it is a stream, set broker.declare = false"],
        ),
    ],
)  # fmt: skip
def test_mismatch(argument: str, rest: str, words: list[str]) -> None:
    """It says what exists, what was wanted, which setting, and what to do."""
    error = ChannelPreconditionFailed(INEQUIVALENT.format(argument, rest))
    said = str(explained(error, QUEUE, STREAM))
    for word in [*words, QUEUE, "delete it, and its messages"]:
        assert word in said


@pytest.mark.parametrize("argument", ["durable", "x-queue-type", "auto_delete"])
def test_what_is_no_stream_is_not_to_be_used_as_it_is(argument: str) -> None:
    """To leave it alone would not make it a stream: only another name helps, or a new one."""
    rest = "received 'true' but current is 'false'"
    said = explained(ChannelPreconditionFailed(INEQUIVALENT.format(argument, rest)), QUEUE, STREAM)
    assert f"its {argument} is 'false'" in str(said)
    assert "Choose another name" in str(said)
    assert "broker.declare" not in str(said)


def test_an_exchange_of_another_type() -> None:
    """No setting makes a fanout exchange route by name."""
    error = ChannelPreconditionFailed(
        "PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'x' in vhost '/': "
        "received 'topic' but current is 'fanout'"
    )
    said = explained(error, "exchange 'x'", EXCHANGE)
    assert said.cause == "wrong exchange type"
    assert "its type is 'fanout', not 'topic'. Choose another name" in str(said)
    assert "broker.declare" not in str(said)


NO_QUEUE = ChannelNotFoundEntity("NOT_FOUND - no queue 'q' in vhost '/'")
NO_EXCHANGE = ChannelNotFoundEntity("NOT_FOUND - no exchange 'x' in vhost '/'")
DOWN = [
    ChannelNotFoundEntity(f"NOT_FOUND - {text}")
    for text in (
        "home node 'a@b' of durable queue 'q' in vhost '/' is down or inaccessible",
        "queue 'q' in vhost '/' process is stopped by supervisor",
    )
]


@pytest.mark.parametrize("error", DOWN)
@pytest.mark.parametrize("if_missing", ["", left_out(STREAM, "streams"), not_permitted(STREAM)])
def test_what_is_not_up_yet_is_not_to_be_made(error: ChannelClosed, if_missing: str) -> None:
    """RabbitMQ has just started: who makes it again, or deletes it, destroys its history."""
    said = explained(error, QUEUE, STREAM, if_missing)
    assert said.cause == "not up yet"
    assert "exists and is not up yet; it is tried again" in str(said)
    for word in ("create", "delete", "declare"):
        assert word not in str(said).lower()


def test_what_the_service_makes_is_nobody_elses_to_make() -> None:
    """It was there a moment ago, and is made at the next try."""
    said = explained(NO_QUEUE, QUEUE, STREAM)
    assert (str(said), said.cause) == (f"{QUEUE} is not there yet; it is tried again",
                                       "not there yet")  # fmt: skip


@pytest.mark.parametrize("if_missing", ["", left_out(STREAM, "streams"), not_permitted(STREAM)])
def test_the_exchange_is_what_a_binding_misses(if_missing: str) -> None:
    """The queue of which it is said is there."""
    said = explained(NO_EXCHANGE, QUEUE, STREAM, if_missing)
    assert str(said) == "feed 'trades': exchange 'x' is not there yet; it is tried again"


def test_what_is_left_out_is_to_be_made() -> None:
    """By the one who has left it out, or by the service: the advice fits."""
    said = explained(NO_QUEUE, QUEUE, STREAM, left_out(STREAM, "streams"))
    assert said.cause == "queue missing"
    assert "does not exist. Create it (a durable stream), or let the service" in str(said)
    assert 'a list with "streams"' in str(said)
    said = explained(NO_EXCHANGE, "exchange 'x'", EXCHANGE, left_out(EXCHANGE, "exchange"))
    assert said.cause == "exchange missing"
    assert "broker.declare" not in str(explained(NO_QUEUE, QUEUE, STREAM, not_permitted(STREAM)))


@pytest.mark.parametrize(
    ("error", "word", "cause"),
    [
        (
            ChannelAccessRefused("ACCESS_REFUSED - access to queue 'q' in vhost '/' refused"),
            "Grant the permission", "no right to a queue",
        ),
        (
            ChannelAccessRefused(
                "ACCESS_REFUSED - configure access to exchange 'x' in vhost '/' refused"
            ),
            "Grant the permission", "no right to an exchange",
        ),
        (
            ChannelAccessRefused(
                "ACCESS_REFUSED - queue name 'amq.q' contains reserved prefix 'amq.*'"
            ),
            "Choose another name", "a reserved name",
        ),
        (ChannelLockedResource("RESOURCE_LOCKED"), "another connection", "not our queue"),
        (ChannelPreconditionFailed("PRECONDITION_FAILED - odd"), "odd", "exists otherwise"),
        (ChannelClosed(500, "anything"), "anything", "refused by RabbitMQ"),
    ],
)  # fmt: skip
def test_other_refusals(error: ChannelClosed, word: str, cause: str) -> None:
    """Every other refusal is named too."""
    said = explained(error, "queue 'q'", STREAM)
    assert word in str(said)
    assert said.cause == cause


@pytest.mark.parametrize(
    ("text", "kind", "advice"),
    [
        ("queue 'q' does not have a replica on the local node", NoCopy, "add_replica"),
        ("stream queue 'q' does not have a running replica on the local node", NoCopy, "all nodes"),
        ("invalid arg 'x-stream-offset' for queue 'q'", TopologyError, "is not a stream"),
        ("something new", TopologyError, "cannot be read: PRECONDITION_FAILED - something new"),
    ],
)
def test_why_a_stream_is_refused(text: str, kind: type[TopologyError], advice: str) -> None:
    """A node without a copy, as RabbitMQ 3.10 and 4.0 say it, is not a queue of another type."""
    error = refused(source(LOSSLESS), ChannelPreconditionFailed(f"PRECONDITION_FAILED - {text}"))
    assert type(error) is kind
    assert advice in str(error)
    assert ("messages go with it" in str(error)) == ("x-stream-offset" in text)


def test_not_a_stream_names_the_feed_and_the_queue() -> None:
    """And that the messages of what is there would be lost."""
    said = str(not_a_stream(source(LOSSLESS, "trades")))
    assert said.startswith("feed 'trades': queue 'q-trades' exists and is not a stream")
