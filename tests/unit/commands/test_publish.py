"""publish: the account that it gives, and the exit status that it deserves.

The broker is the embedded one as a publisher, in the place of RabbitMQ.
"""

from __future__ import annotations

import os
import re
import signal
from typing import TYPE_CHECKING

import pytest

from tests.support.broker import CONFLATED, LOSSLESS, source
from tickfan.broker.base import BrokerDown, Message, Unconfirmed
from tickfan.broker.memory import MemoryBroker
from tickfan.commands import FAILED, OK, WRONG
from tickfan.commands.publish import Order, publish
from tickfan.market.csvfile import Replay

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tickfan.broker.base import Broker

LOSSLESS_FEEDS = ("trades", "book", "tokens")


class Publisher(MemoryBroker):
    """Confirms what is bound; counts, and can be made to fail at the n-th message."""

    def __init__(self, unbound: Sequence[str] = ()) -> None:
        feeds = [
            source(
                CONFLATED if name == "quotes" else LOSSLESS,
                name,
                bind=("nothing",) if name in unbound else (f"{name}.#",),
            )
            for name in ("quotes", *LOSSLESS_FEEDS)
        ]
        super().__init__(feeds, None)
        self.messages: list[tuple[str, Message]] = []
        self.failures: dict[int, Exception | signal.Signals] = {}
        self.is_closed = False

    async def publish(self, feed: str, message: Message) -> None:
        self.messages.append((feed, message))
        failure = self.failures.get(len(self.messages))
        if isinstance(failure, signal.Signals):
            os.kill(os.getpid(), failure)
        elif failure is not None:
            raise failure
        await super().publish(feed, message)

    async def close(self) -> None:
        self.is_closed = True
        await super().close()


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("TICKFAN_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TICKFAN_BROKER__URL", "amqp://mq.example/")


def publish_to(broker: Broker, order: Order) -> int:
    """Give the order with this broker in the place of the one that the settings name."""
    return publish(None, order, lambda _settings, _sink: broker)


def account(out: str) -> dict[str, int]:
    """The figures of the summary by their names."""
    rows = re.findall(r"^(\w+) +([0-9,]+)", out, re.MULTILINE)
    return {name: int(figure.replace(",", "")) for name, figure in rows}


def test_all_confirmed(capsys: pytest.CaptureFixture[str]) -> None:
    """So many as asked for, each accounted for, the connection closed: status 0."""
    broker = Publisher()
    assert publish_to(broker, Order(rate=20_000, seed=1, count=3000)) == OK
    printed = capsys.readouterr()
    assert account(printed.out) == {
        "published": 3000, "confirmed": 3000, "unroutable": 0, "failures": 0,
    }  # fmt: skip
    assert f"in {len(broker.messages):,} messages" in printed.out, "quotes came in batches"
    assert printed.err == ""
    assert broker.is_closed


def test_a_seed_is_a_market() -> None:
    """--seed publishes the same again; without one every run is another market."""
    runs = []
    for seed in (7, 7, None, None):
        broker = Publisher()
        assert publish_to(broker, Order(rate=1900, seed=seed, count=100)) == OK
        runs.append([(feed, message.body) for feed, message in broker.messages])
    assert runs[0] == runs[1]
    assert len({str(run) for run in runs}) == 3


def test_nobody_listens_to_quotes(capsys: pytest.CaptureFixture[str]) -> None:
    """On a conflated feed that is no failure; the summary says why."""
    broker = Publisher(unbound=["quotes"])
    assert publish_to(broker, Order(rate=1900, seed=1, count=300)) == OK
    printed = capsys.readouterr()
    told = account(printed.out)
    assert told["unroutable"] > 0
    assert told["confirmed"] + told["unroutable"] == told["published"] == 300
    assert "quotes: no queue is bound; no `tickfan serve` is connected" in printed.out


def test_a_lossless_feed_without_a_stream(capsys: pytest.CaptureFixture[str]) -> None:
    """What was unroutable there is lost: status 1, with the feed and what to do."""
    broker = Publisher(unbound=["trades", "quotes"])
    assert publish_to(broker, Order(rate=1900, seed=1, count=300)) == FAILED
    out = capsys.readouterr().out
    assert "(trades: no stream is bound; with broker.declare = true it is made)" in out


def test_one_unconfirmed_message_fails_it(capsys: pytest.CaptureFixture[str]) -> None:
    """The rest is published all the same; status 1, and the broker's own words."""
    broker = Publisher()
    broker.failures[5] = Unconfirmed("no confirm in 5 s")
    assert publish_to(broker, Order(rate=1900, seed=1, count=50)) == FAILED
    printed = capsys.readouterr()
    assert account(printed.out) == {
        "published": 50, "confirmed": 49, "unroutable": 0, "failures": 1,
    }  # fmt: skip
    assert printed.err == "tickfan: no confirm in 5 s\n"


def test_a_broker_that_goes_away_ends_it(capsys: pytest.CaptureFixture[str]) -> None:
    """It does not try a thousand times what cannot work; one sentence, status 1."""
    broker = Publisher()
    broker.failures = dict.fromkeys(range(10, 1001), BrokerDown("the connection was lost"))
    assert publish_to(broker, Order(rate=1900, seed=1, count=1000)) == FAILED
    printed = capsys.readouterr()
    told = account(printed.out)
    assert told["confirmed"] == 9
    assert told["published"] == 9 + told["failures"] < 1000
    assert printed.err == "tickfan: the connection was lost\n"
    assert broker.is_closed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_an_account(
    capsys: pytest.CaptureFixture[str],
    number: signal.Signals,
) -> None:
    """Ctrl-C is the usual end of an endless run: status 0, nothing left in flight."""
    broker = Publisher()
    broker.failures[20] = number
    assert publish_to(broker, Order(rate=1900, seed=1)) == OK
    printed = capsys.readouterr()
    told = account(printed.out)
    assert told["published"] == told["confirmed"] == len(broker.messages) >= 20
    assert printed.err == ""
    assert broker.is_closed


def test_a_file_is_replayed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Each row one update; --count ends it early."""
    path = tmp_path / "prices.csv"
    path.write_text("symbol,date,price\n" + "".join(f"A,2020-01-0{n},{n}\n" for n in range(1, 6)))
    replay = Replay(path, "trades.{symbol}", None, None, 0.0)
    for count, expected in ((None, 5), (3, 3)):
        broker = Publisher()
        assert publish_to(broker, Order(replay=replay, count=count)) == OK
        assert account(capsys.readouterr().out)["confirmed"] == expected
        assert {(feed, m.routing_key) for feed, m in broker.messages} == {("trades", "trades.A")}


def test_a_file_for_no_feed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A template that no feed covers is named with the patterns; nothing was published."""
    path = tmp_path / "prices.csv"
    path.write_text("symbol,date,price\nA,2020-01-01,1\n")
    broker = Publisher()
    assert (
        publish_to(broker, Order(replay=Replay(path, "weather.{symbol}", None, None, 0.0)))
        == FAILED
    )
    printed = capsys.readouterr()
    assert "no feed covers 'weather.A'" in printed.err
    assert printed.out == ""
    assert not broker.messages


def test_the_embedded_broker_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """memory:// of another process cannot be reached; no broker is even made."""
    monkeypatch.delenv("TICKFAN_BROKER__URL")
    made: list[Publisher] = []

    def build(*_: object) -> Publisher:
        made.append(Publisher())
        return made[0]

    assert publish(None, Order(count=1), build) == WRONG
    assert not made
    assert "TICKFAN_BROKER__URL=amqp://" in capsys.readouterr().err
