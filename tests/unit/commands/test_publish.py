"""publish: the account that it gives, and the exit status that it deserves.

The broker is the embedded one as a publisher, in the place of RabbitMQ.
"""

from __future__ import annotations

import os
import re
import signal
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.broker import CONFLATED, LOSSLESS, source
from tickfan.broker.base import BrokerDown, Message, Unanswered, Unconfirmed
from tickfan.broker.memory import MemoryBroker
from tickfan.commands import FAILED, OK, WRONG
from tickfan.commands.publish import Order, publish
from tickfan.commands.replay import Playback
from tickfan.files.pace import Pace
from tickfan.files.reader import Replay

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
    rows = re.findall(r"^(?:sent )?(\w+) +([0-9,]+)", out, re.MULTILINE)
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
    assert "(trades: no stream is bound; the next start makes it, if broker.declare may)" in out


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


def test_a_broker_that_goes_away_is_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    """All is confirmed at last; one line for going and one for coming, and what came twice."""
    broker = Publisher()
    broker.failures = {number: BrokerDown("the connection was lost") for number in (10, 11, 12)}
    assert publish_to(broker, Order(rate=1900, seed=1, count=500)) == OK
    printed = capsys.readouterr()
    told = account(printed.out)
    assert told["confirmed"] + told["unroutable"] == told["published"] == 500
    assert told["again"] > 0
    gone, back = printed.err.splitlines()
    assert gone == "tickfan: the connection was lost; waiting for the broker"
    assert back.startswith("tickfan: the broker is back after ")


@pytest.mark.parametrize("bound", [{"timeout_s": 0.5}, {"seconds": 0.7}])
def test_a_broker_that_stays_away_ends_it(
    capsys: pytest.CaptureFixture[str], bound: dict[str, float]
) -> None:
    """After --timeout, or --seconds: a sentence, the account, status 1."""
    broker = Publisher()
    broker.failures = dict.fromkeys(range(10, 1001), BrokerDown("the connection was lost"))
    assert publish_to(broker, Order(rate=1900, seed=1, count=1000, **bound)) == FAILED  # type: ignore[arg-type]
    printed = capsys.readouterr()
    told = account(printed.out)
    assert told["confirmed"] == 9
    assert told["published"] == 9 + told["failures"] < 1000
    assert printed.err == (
        "tickfan: the connection was lost; waiting for the broker\n"
        "tickfan: the broker has been away for too long: the connection was lost\n"
    )
    assert broker.is_closed


def test_a_broker_that_never_was_there_ends_it(capsys: pytest.CaptureFixture[str]) -> None:
    """Its address or password may be wrong: nobody waits for that."""
    broker = Publisher()
    broker.failures = dict.fromkeys(range(1, 1001), BrokerDown("no connection"))
    assert publish_to(broker, Order(rate=1900, seed=1, count=1000)) == FAILED
    assert capsys.readouterr().err == "tickfan: no connection\n"


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


def playback(path: Path, text: str, **options: Any) -> Playback:
    """A file, as fast as can be."""
    (path / "prices.csv").write_text("symbol,date,price\n" + text)
    template = options.pop("template", "trades.{symbol}")
    replay = Replay(path / "prices.csv", template)
    return Playback(replay, **{"pace": Pace(speed=0), **options})


def test_a_file_is_replayed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Each row one update; --count ends it early, and it is said where to go on."""
    text = "".join(f"A,2020-01-0{n},{n}\n" for n in range(1, 6))
    for count, expected in ((None, 5), (3, 3)):
        broker = Publisher()
        order = Order(playback(tmp_path, text, pace=Pace(speed=0, count=count)))
        assert publish_to(broker, order) == OK
        printed = capsys.readouterr()
        assert account(printed.out)["confirmed"] == expected
        assert {(feed, m.routing_key) for feed, m in broker.messages} == {("trades", "trades.A")}
        assert ("go on with --from 4" in printed.err) == (count == 3)
        assert "1 symbol; 5 rows; 2020-01-01 to 2020-01-05 UTC" in printed.err


def test_a_bad_row_is_met_before_the_first_is_sent(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A file is read through first: a second run would send twice what stood before it."""
    broker = Publisher()
    order = Order(playback(tmp_path, "A,2020-01-01,1\nM&M,2020-01-02,2\n"))
    assert publish_to(broker, order) == FAILED
    printed = capsys.readouterr()
    assert "prices.csv, line 3, column 'symbol': 'M&M'" in printed.err
    assert not broker.messages
    assert printed.out == ""


def test_a_file_is_only_checked(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It needs no broker, and the status says whether it would go."""
    monkeypatch.delenv("TICKFAN_BROKER__URL")
    broker = Publisher()
    good, bad = "A,2020-01-01,1\n", "A,never,1\n"
    assert publish_to(broker, Order(playback(tmp_path, good), checks_only=True)) == OK
    assert publish_to(broker, Order(playback(tmp_path, bad), checks_only=True)) == FAILED
    assert not broker.messages
    assert "1 row; 2020-01-01 UTC" in capsys.readouterr().err


def test_a_replay_outlives_its_broker(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """It goes on by itself; on a lossless feed it says that rows may have come twice."""
    broker = Publisher()
    broker.failures = {2: Unanswered("lost before its confirm")}
    text = "".join(f"A,2020-01-01,{n}\n" for n in range(3000))
    assert publish_to(broker, Order(playback(tmp_path, text))) == OK
    printed = capsys.readouterr()
    assert account(printed.out)["confirmed"] == 3000
    assert re.search(r"sent again +[0-9,]+  \(trades: these may be there twice\)", printed.out)
    assert "lost before its confirm; waiting for the broker\n" in printed.err
    assert "it ended" not in printed.err


def test_a_replay_that_loses_its_broker(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """It says from which row on nothing was confirmed."""
    broker = Publisher()
    broker.failures = dict.fromkeys(range(1, 1001), BrokerDown("the connection was lost"))
    text = "".join(f"A,2020-01-01,{n}\n" for n in range(3000))
    assert publish_to(broker, Order(playback(tmp_path, text))) == FAILED
    printed = capsys.readouterr()
    assert "tickfan: the connection was lost\n" in printed.err
    assert "it ended before row 1: go on with --from 1" in printed.err
    assert account(printed.out)["confirmed"] == 0


def test_a_file_for_no_feed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A template that no feed covers is named with the patterns; nothing was published."""
    broker = Publisher()
    order = Order(playback(tmp_path, "A,2020-01-01,1\n", template="weather.{symbol}"))
    assert publish_to(broker, order) == FAILED
    printed = capsys.readouterr()
    assert "prices.csv, line 2: no feed covers 'weather.A'" in printed.err
    assert printed.out == ""
    assert not broker.messages


def test_a_file_that_is_not_there(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """One sentence, and nothing is published."""
    broker = Publisher()
    assert publish_to(broker, Order(Playback(Replay(tmp_path / "none.csv")))) == FAILED
    assert "none.csv: No such file" in capsys.readouterr().err
    assert not broker.messages


def test_the_embedded_broker_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """memory:// of another process cannot be reached, nor one without a name; none is made."""
    made: list[Publisher] = []

    def build(*_: object) -> Publisher:
        made.append(Publisher())
        return made[0]

    for url, wrong in (("memory://", "is memory://"), ("", "TICKFAN_BROKER__URL is empty")):
        monkeypatch.setenv("TICKFAN_BROKER__URL", url)
        assert publish(None, Order(count=1), build) == WRONG
        assert not made
        told = capsys.readouterr().err
        assert f"broker.url: {wrong}" in told
        assert "Set TICKFAN_BROKER__URL=amqp://" in told
