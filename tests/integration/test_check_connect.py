"""What `check --connect` finds in a real RabbitMQ, what it says, and that it changes nothing."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from loadtest.rig.rabbitmq import free_port
from tests.support.access import GUARDED
from tests.support.furnished import FANOUT, TOPIC, login
from tickfan.cli import cli

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from loadtest.rig.rabbitmq import RabbitNode
    from tests.integration.conftest import MakeService


# What three commands of rabbitmqctl list, in the time of one.
_ALL = """
    V = <<"/">>,
    [lists:sort([rabbit_exchange:info(X, [name, type, arguments]) || X <- rabbit_exchange:list(V)]),
     lists:sort(rabbit_amqqueue:info_all(V, [name, arguments, messages])),
     lists:sort(rabbit_binding:info_all(V))].
"""


@contextmanager
def unchanged(node: RabbitNode) -> Iterator[None]:
    """Whatever happens inside, the broker has the same exchanges, queues and bindings."""
    before = node.control("eval", _ALL)
    yield
    assert node.control("eval", _ALL) == before


def check(url: str, *more: str, **settings: str) -> tuple[int, list[list[str]]]:
    """Its status, and what it says: each line as verdict and text."""
    settings = {"BROKER__URL": url, **settings}
    done = CliRunner().invoke(
        cli,
        ["check", "--connect", *more],
        env={f"TICKFAN_{name}": value for name, value in settings.items()},
    )
    assert done.stderr == ""
    lines = [re.split(r"  +", line, maxsplit=1) for line in done.stdout.splitlines()]
    return done.exit_code, lines


def test_with_keys_the_list_of_revocations_is_looked_at(furnished: RabbitNode) -> None:
    """Without it no client with a token would come in."""
    with unchanged(furnished):
        status, lines = check(furnished.url, **GUARDED)
    verdicts = {text: verdict for verdict, text in lines[:-1]}
    queue = "feed 'revocations': queue 'tickfan.access.revocations'"
    assert status == 0
    assert verdicts["exchange 'tickfan.access'"] == "will be made"
    assert verdicts[f"{queue}, a durable stream"] == "will be made"


def test_check_says_what_will_be_made_and_makes_nothing(furnished: RabbitNode) -> None:
    """Before the first start: connected, and all that lacks will be made; status 0."""
    with unchanged(furnished):
        status, lines = check(furnished.url, BROKER__EXCHANGE="x-new")
    assert status == 0
    assert lines[0][0] == "ok"
    assert "connected as guest to vhost '/', RabbitMQ 3" in lines[0][1]
    verdicts = {text: verdict for verdict, text in lines[:-1]}
    assert verdicts["exchange 'x-new'"] == "will be made"
    for feed in ("trades", "book", "tokens"):
        queue = f"feed '{feed}': queue 'tickfan.{feed}'"
        assert verdicts[f"{queue}, a durable stream"] == "will be made"
        assert verdicts[f"{queue} can be bound to exchange 'x-new' for {feed}.#"] == "ok"
    assert (
        verdicts["feed 'quotes': its own queue (amq.gen-...) can be made, bound and read"] == "ok"
    )
    assert lines[-1] == ["5 ok, 4 will be made"]


def test_check_of_what_a_service_has_made(furnished: RabbitNode, make_service: MakeService) -> None:
    """All is there and as the settings have it; with other settings it is not."""
    mine = {"BROKER__EXCHANGE": "x-mine", "BROKER__QUEUE_PREFIX": "mine."}
    make_service({"BROKER__URL": furnished.url, **mine}).start().stop()
    with unchanged(furnished):
        status, lines = check(furnished.url, **mine)
        assert (status, {line[0] for line in lines[:-1]}) == (0, {"ok"})
        feeds = '[{"name": "trades", "bind": ["trades.#"], "delivery": "lossless", '
        feeds += '"retention_age": "2h"}]'
        status, lines = check(furnished.url, FEEDS=feeds, **mine)
    assert status == 1
    [wrong] = [text for verdict, text in lines[:-1] if verdict == "wrong"]
    assert "x-max-age '1h', the settings say '2h'. Set retention_age" in wrong


@pytest.mark.parametrize(
    ("address", "words"),
    [
        (lambda node: login(node, "guest", "hunter2"), "not connected: login refused"),
        (
            lambda node: login(node, "guest", "guest", "nowhere"),
            "not connected: vhost unknown",
        ),
        (lambda _node: f"amqp://a:b@127.0.0.1:{free_port()}/", "not connected: connection refused"),
    ],
)
def test_check_without_a_connection(
    furnished: RabbitNode, address: Callable[[RabbitNode], str], words: str
) -> None:
    """One line with the cause, status 1, and no password."""
    status, lines = check(address(furnished))
    assert status == 1
    assert lines[0][0] == "wrong"
    assert lines[0][1].startswith(words)
    assert "hunter2" not in str(lines)
    assert lines[1:] == [["1 wrong"]]


def test_check_of_a_fanout_exchange(furnished: RabbitNode) -> None:
    """A passive declaration does not show the type; this does, and changes nothing."""
    with unchanged(furnished):
        status, lines = check(furnished.url, BROKER__EXCHANGE=FANOUT)
    assert status == 1
    [wrong] = [line for line in lines if line[0] == "wrong"]
    assert "its type is 'fanout', not 'topic'" in wrong[1]


def test_check_of_rights(furnished: RabbitNode) -> None:
    """Each right that lacks is named, with what it is for."""
    with unchanged(furnished):
        status, lines = check(login(furnished, "reader", "secret"), BROKER__EXCHANGE=TOPIC)
    assert status == 1
    said = {line[1] for line in lines[:-1] if line[0] == "wrong"}
    for feed in ("trades", "book", "tokens"):
        assert any(f"queue 'tickfan.{feed}' does not exist" in text for text in said)
    assert any("its own queue" in text and "Grant the permission" in text for text in said)
    assert [
        "not seen",
        "exchange 'x-topic' exists; its type shows only to who may configure it",
    ] in lines
    assert any(line[0] == "warning" and "cannot be watched" in line[1] for line in lines)


def test_check_where_declare_leaves_things_out(furnished: RabbitNode) -> None:
    """What lacks must be made by somebody: the advice says which, and by whom."""
    status, lines = check(furnished.url, BROKER__EXCHANGE="x-none", BROKER__DECLARE="false")
    said = [line[1] for line in lines if line[0] == "wrong"]
    assert (status, len(said)) == (1, 4)
    assert 'a list with "exchange"' in said[0]
    assert all('a list with "streams"' in text for text in said[1:])


def test_check_ends_in_time(furnished: RabbitNode) -> None:
    """A broker that says nothing is an answer, too; one host of two that answers is enough."""
    furnished.pause()
    try:
        status, lines = check(furnished.url, "--timeout", "1")
    finally:
        furnished.resume()
    assert (status, lines[0][0]) == (1, "wrong")
    assert "no answer within 1 s" in lines[0][1]
    both = furnished.url.replace("@", f"@127.0.0.1:{free_port()},")
    status, lines = check(both, BROKER__EXCHANGE="x-new")
    assert (status, [line[0] for line in lines[:2]]) == (0, ["warning", "ok"])
