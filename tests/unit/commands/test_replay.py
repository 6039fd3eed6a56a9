"""A file into an outbox: checked first, in order, in batches, and where it goes on."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.rig.waiting import DEADLINE_S
from tests.support.updates import LAW
from tickfan.broker.base import BrokerDown, Message
from tickfan.clock import now_ms
from tickfan.commands.outbox import Outbox, Outcome, Patience
from tickfan.commands.replay import BAD_NAMED_MAX, BATCH_BYTES_MAX, Playback, Player
from tickfan.config import Settings
from tickfan.core.update import MESSAGE_UPDATES_MAX
from tickfan.files.errors import ReplayError
from tickfan.files.pace import Pace
from tickfan.files.reader import Replay
from tickfan.files.source import TOGETHER_MAX
from tickfan.market.routes import Routes

if TYPE_CHECKING:
    from pathlib import Path

FEED_OF = Routes(Settings().feed_specs()).feed_of
ASAP = Pace(speed=0)
H = "time,symbol,price\n"
AT = 1_704_205_800


class Broker:
    """Keeps the messages in their order; fails from the n-th on if it is told to."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.messages: list[tuple[str, Message]] = []
        self._fails_at = fails_at

    async def publish(self, feed: str, message: Message) -> None:
        if len(self.messages) == self._fails_at:
            raise BrokerDown("the connection was lost")
        self.messages.append((feed, message))

    @property
    def updates(self) -> list[dict[str, Any]]:
        """Each update as it will be ingested."""
        found: list[dict[str, Any]] = []
        for _, message in self.messages:
            if message.batch:
                found += orjson.loads(message.body)
            else:
                data = orjson.loads(message.body)
                found.append({"channel": message.routing_key, "data": data, "ts": message.ts})
        return found


def player(path: Path, text: str, message_bytes_max: int = 1_048_576, **options: Any) -> Player:
    path = path / "prices.csv"
    path.write_text(text)
    template = options.pop("template", "trades.{symbol}")
    replay = Replay(path, template, options.pop("symbol", None))
    playback = Playback(replay, **{"pace": ASAP, **options})
    return Player(playback, FEED_OF, message_bytes_max)


def send(player: Player, broker: Broker | None = None) -> tuple[Broker, Outbox]:
    broker = broker or Broker()

    async def go() -> Outbox:
        async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
            outbox = Outbox(broker, tasks, Outcome(), print, Patience(outage_s=0))
            try:
                await player.send(outbox, print)
            except (ReplayError, BrokerDown) as error:
                outbox.outcome.why = str(error)
        return outbox

    return broker, asyncio.run(go())


def rows(count: int, *symbols: str) -> str:
    return H + "".join(f"{AT + n},{symbols[n % len(symbols)]},{n}\n" for n in range(count))


def test_rows_share_messages(tmp_path: Path) -> None:
    """As many as are due together: in order, each with its channel, its time and its value."""
    count = 2 * TOGETHER_MAX + 10
    broker, outbox = send(player(tmp_path, rows(count, "A", "B")))
    assert broker.updates == [
        {"channel": f"trades.{'AB'[n % 2]}", "data": {"price": str(n)}, "ts": (AT + n) * 1000}
        for n in range(count)
    ]
    assert len(broker.messages) == 3
    assert TOGETHER_MAX <= MESSAGE_UPDATES_MAX
    assert outbox.outcome.confirmed == count
    feed, first = broker.messages[0]
    assert (feed, first.routing_key, first.ts) == ("trades", "trades.A", AT * 1000)


def test_one_row_is_a_message_of_its_own(tmp_path: Path) -> None:
    """As a publisher would send it."""
    broker, _ = send(player(tmp_path, H + f"{AT},A,1.50\n"))
    ((_, message),) = broker.messages
    assert message == Message("trades.A", b'{"price":"1.50"}', ts=AT * 1000)


def test_updates_may_have_the_time_of_sending(tmp_path: Path) -> None:
    """For a load test: an update of years ago would count as late by years."""
    begin = now_ms()
    broker, _ = send(player(tmp_path, rows(3, "A"), is_now=True))
    assert all(begin <= update["ts"] <= now_ms() for update in broker.updates)
    assert [update["data"]["price"] for update in broker.updates] == ["0", "1", "2"]


def test_each_message_is_of_one_feed(tmp_path: Path) -> None:
    """Neighbours of another feed go by themselves; the order is the file's."""
    text = H + "".join(
        f"{AT},{name},{n}\n"
        for n, name in enumerate(["trades.A", "trades.B", "quotes.A", "trades.A"])
    )
    broker, _ = send(player(tmp_path, text, template="{symbol}"))
    assert [(feed, message.batch) for feed, message in broker.messages] == [
        ("trades", True), ("quotes", False), ("trades", False),
    ]  # fmt: skip
    assert [update["data"]["price"] for update in broker.updates] == ["0", "1", "2", "3"]


@LAW
@given(
    sizes=st.lists(st.integers(0, 400), min_size=1, max_size=60),
    message_bytes_max=st.integers(600, 3000),
)
def test_no_message_is_too_large(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], message_bytes_max: int
) -> None:
    """Whatever the rows weigh, none is lost and none is too large to be taken."""
    text = H + "".join(f"{AT},A,{'x' * size}\n" for size in sizes)
    broker, _ = send(player(tmp_path_factory.mktemp("sizes"), text, message_bytes_max))
    assert [len(update["data"]["price"]) for update in broker.updates] == sizes
    assert all(len(message.body) <= message_bytes_max for _, message in broker.messages)


def test_messages_are_bounded(tmp_path: Path) -> None:
    """Also where the service would take larger ones."""
    broker, _ = send(player(tmp_path, H + f"{AT},A,{'x' * 10_000}\n" * 100))
    assert max(len(message.body) for _, message in broker.messages) <= BATCH_BYTES_MAX


def test_a_row_that_no_message_can_hold(tmp_path: Path) -> None:
    """It is named with the setting that would let it through; the rows before it are sent."""
    big = player(tmp_path, H + f"{AT},A,1\n{AT},A,{'x' * 2000}\n", 1024)
    broker, outbox = send(big)
    assert "line 3: 2," in str(outbox.outcome.why)
    assert "broker.message_bytes_max is 1,024" in str(outbox.outcome.why)
    assert len(broker.updates) == 1
    assert big.where(None) == "it ended before row 2: go on with --from 2"


def test_a_check_says_what_is_in_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line on stderr, and the number of rows that will come."""
    checked = player(tmp_path, rows(5, "A", "B", "C"))
    assert checked.check()
    said = capsys.readouterr().err
    assert said == (
        f"tickfan: {tmp_path}/prices.csv: commas; time: 'time', s; 3 symbols; 5 rows; "
        "2024-01-02 14:30:00 to 14:30:04 UTC\n"
    )
    assert checked.total == 5


def test_a_check_names_bad_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """So many, and how many more there are."""
    checked = player(tmp_path, H + f"{AT},A,1\n" + "bad,A,1\n" * (BAD_NAMED_MAX + 5))
    assert not checked.check()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == BAD_NAMED_MAX + 2
    assert "prices.csv, line 3, column 'time': 'bad': it is no time" in lines[0]
    assert f"{BAD_NAMED_MAX + 5} bad rows" in lines[-2]
    assert lines[-1] == "tickfan: and 5 more bad rows"


@pytest.mark.parametrize("is_checked", [True, False])
def test_bad_rows_are_skipped_if_asked_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], is_checked: bool
) -> None:
    """They are named once and counted, with a check before or without one."""
    lenient = player(tmp_path, H + f"{AT},A,1\nbad,A,2\n{AT},M&M,3\n{AT},A,4\n", skips=True)
    if is_checked:
        assert lenient.check()
    broker, _ = send(lenient)
    assert [update["data"]["price"] for update in broker.updates] == ["1", "4"]
    said = capsys.readouterr().err
    assert said.count("line 3, column 'time'") == said.count("line 4, column 'symbol'") == 1
    assert said.count("2 bad rows left out") == 1
    assert lenient.is_done


@pytest.mark.parametrize(
    ("text", "options"),
    [
        (f"bad,A,1\n{AT},M&M,2\n", {"skips": True}),
        (f"{AT},A,1\n", {"skips": True, "template": "nowhere.{symbol}"}),
        (f"{AT},A,1\n{AT},B,2\n", {"symbol": "A", "begin": 2}),
    ],
)
def test_a_file_of_which_nothing_goes_out_is_wrong(
    tmp_path: Path, text: str, options: dict[str, Any]
) -> None:
    """Who sends no price at all must not be told that all is well."""
    with pytest.raises(ReplayError, match="no row is left to send"):
        player(tmp_path, H + text, **options).check()
    unchecked = player(tmp_path, H + text, **options)
    broker, outbox = send(unchecked)
    assert (broker.messages, unchecked.is_done) == ([], False)
    assert str(outbox.outcome.why).endswith("prices.csv: no row is left to send")


def test_without_a_check_the_rows_before_a_bad_one_are_sent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It stops there, and says where it goes on; what was detected is said first."""
    unchecked = player(tmp_path, H + f"{AT},A,1\nbad,A,2\n{AT},A,3\n")
    broker, outbox = send(unchecked)
    assert "line 3, column 'time': 'bad'" in str(outbox.outcome.why)
    assert len(broker.updates) == 1
    assert not unchecked.is_done
    assert unchecked.where(outbox.outcome.unconfirmed_row) == (
        "it ended before row 2: go on with --from 2"
    )
    assert "commas; time: 'time', s; from 2024-01-02 14:30:00 UTC on" in capsys.readouterr().err


def test_it_goes_on_from_a_row(tmp_path: Path) -> None:
    """What a count ended early is continued: no row is missing, none comes twice."""
    text = rows(10, "A", "B")
    first = player(tmp_path, text, pace=Pace(speed=0, count=4))
    one, outbox = send(first)
    assert first.where(outbox.outcome.unconfirmed_row).endswith("--from 5")
    two, _ = send(player(tmp_path, text, begin=5))
    assert [update["data"]["price"] for update in one.updates + two.updates] == [
        str(n) for n in range(10)
    ]


def test_a_broker_that_goes_away(tmp_path: Path) -> None:
    """The first row that nobody confirmed is named: from there nothing is missing."""
    cut = player(tmp_path, rows(5 * TOGETHER_MAX, "A"))
    broker, outbox = send(cut, Broker(fails_at=2))
    assert len(broker.updates) == 2 * TOGETHER_MAX
    assert cut.where(outbox.outcome.unconfirmed_row) == (
        f"it ended before row {2 * TOGETHER_MAX + 1:,}: go on with --from {2 * TOGETHER_MAX + 1}"
        "; rows after it may have arrived, and come again"
    )


def test_a_long_wait_says_when_the_next_row_is_due(tmp_path: Path) -> None:
    """Daily rows at their own speed are no silence of a day."""
    daily = player(
        tmp_path,
        H + "2024-01-02,A,1\n2024-01-03 00:00:01,A,2\n2024-01-06,A,3\n",
        pace=Pace(speed=2),
        begin=2,
    )

    async def go() -> str:
        told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
            sending = tasks.create_task(
                daily.send(Outbox(Broker(), tasks, Outcome(), print), told.set_result)
            )
            said = await told
            sending.cancel()
        return said

    assert re.fullmatch(
        r"row 3 \(2024-01-06 00:00:00 UTC\) is due in 1 days 1[12]:\d\d:\d\d; "
        r"--speed, --max-gap or --asap make it less",
        asyncio.run(go()),
    )
    assert daily.where(None) == "it ended before row 3: go on with --from 3"
