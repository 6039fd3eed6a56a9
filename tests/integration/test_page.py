"""The page in a real Chromium, on the real service: what somebody sees who opens it."""

from __future__ import annotations

import asyncio
import json
import random
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from loadtest.rig.waiting import until
from tests.support.browser import Browser
from tests.support.page import EVENTS, LATEST, OLD, SAID, STATE, TAPE, page
from tests.support.programs import require
from tickfan.clock import now_ms
from tickfan.core import closing
from tickfan.core.feed import Upstream
from tickfan.core.index import ChannelIndex
from tickfan.core.pattern import Pattern
from tickfan.transports.line import Line

if TYPE_CHECKING:
    from tests.integration.conftest import MakeService
    from tests.support.fixtures import MakeLive
    from tests.support.live import Live
    from tickfan.core.closing import Reason

ROOT = Path(__file__).parents[2]


def values(line: str) -> list[str]:
    """The words of a row as they stand on the screen."""
    return line.split()


async def test_it_shows_prices_and_every_update_without_being_asked(service: Live) -> None:
    """Conflated feeds by channel, the first lossless one as a tape; its address says which."""
    await service.publish("quotes.B", {"bid": "1.5", "ask": "1.6"})
    await service.publish("quotes.A", {"bid": "7"})
    async with page(service) as browser:
        assert await browser.run("location.search") == "?channels=quotes.%23,trades.%23"
        await browser.until(f"{LATEST}.length == 2")
        first, second = map(values, await browser.run(LATEST))
        assert [first[0], *first[2:]] == ["quotes.A", "7"]
        assert [second[0], *second[2:]] == ["quotes.B", "1.5", "1.6"]

        for number in range(3):
            await service.publish("trades.X", {"price": "9", "id": number})
        await service.publish("quotes.B", {"bid": "1.4", "ask": "1.7"})
        await browser.until(f"{TAPE}.length == 3 && {LATEST}[1].includes('1.7')")
        assert [values(line)[1:] for line in await browser.run(TAPE)] == [
            ["trades.X", "9", str(number)] for number in range(3)
        ]
        moves = "[...document.querySelectorAll('#latest .number span')].map((one) => one.className)"
        assert await browser.run(moves) == ["", "down", "up"]
        assert await browser.run(EVENTS) == ""
        chips = "[...document.querySelectorAll('[aria-pressed=true]')].map((one) => one.innerText)"
        assert await browser.run(chips) == ["quotes live", "trades live"]


@pytest.mark.parametrize("is_simulated", [True, False])
async def test_invented_prices_are_not_taken_for_real_ones(
    make_live: MakeLive, is_simulated: bool
) -> None:
    """A banner stands over them, and over no others."""
    market = {"MARKET__ENABLED": "true", "MARKET__RATE": "50"} if is_simulated else {}
    service = await make_live(**market)
    if not is_simulated:
        await service.publish("quotes.AAPL", {"bid": "1"})
    banner = "document.querySelector('#simulated')"
    async with page(service) as browser:
        await browser.until(f"{LATEST}.length > 0")
        assert await browser.run(f"{banner}.checkVisibility()") == is_simulated
        assert await browser.run(f"{banner}.textContent") == (
            "Simulated prices: nothing here is real"
        )


async def test_whatever_is_published_is_text(service: Live) -> None:
    """No value, field or type of a publisher becomes markup, and nothing else breaks it."""
    evil = "<img src=x onerror=alert(1)>"
    hostile: list[Any] = [
        evil, {evil: evil}, [evil], {"toString": 1, "constructor": [None]}, None, True, 0, "",
        {"a": {"b": [1]}}, {f"f{n}": n for n in range(40)}, "x" * 9000, {}, [], {"": ""},
    ]  # fmt: skip
    for number, data in enumerate(hostile):
        await service.publish(f"quotes.{number:02}", data)
    async with page(service, "?channels=quotes.*,trades.*") as browser:
        await browser.until(f"{LATEST}.length == {len(hostile)}")
        shown = await browser.run(LATEST)
        for index in (0, 1, 2):
            assert evil in shown[index]
        assert "more fields" in shown[9]
        assert max(map(len, shown)) < 600
        # The same channel, one shape after the other.
        for data in hostile:
            await service.publish("trades.X", data, type="odd")
        await browser.until(f"{TAPE}.length == {len(hostile)}")
        assert "(odd)" in (await browser.run(TAPE))[0]
        for data in [*hostile, {"bid": "the last"}]:
            await service.publish("quotes.00", data)
        await browser.until(f"{LATEST}[0].includes('the last')")
        assert await browser.run("document.querySelectorAll('main img').length") == 0


async def test_what_is_asked_for_stands_in_the_form_and_the_address(service: Live) -> None:
    """Type, choose an interval, press a chip: each is a subscription, and a link to it."""
    async with page(service, "?channels=trades.A&interval_ms=5000") as browser:
        form = "[...document.querySelectorAll('input, select')].map((one) => one.value)"
        select = "document.querySelector('#interval').selectedOptions[0].innerText"
        assert await browser.run(form) == ["trades.A", "5000"]
        assert await browser.run(select) == "5 s"
        await service.publish("trades.B", 1)
        await browser.run("document.querySelector('[data-feed=quotes]').click()")
        assert await browser.run(form) == ["trades.A, quotes.#", "5000"]
        await browser.until(f"{STATE} == 'live'")
        await until(lambda: len(service.service.connections) == 1, "the former has gone")

        await browser.run("document.querySelector('#channels').value = 'trades.*,'")
        await browser.run("document.querySelector('form').requestSubmit()")
        await browser.until("location.search == '?channels=trades.*&interval_ms=5000'")
        await browser.until(f"{STATE} == 'live'")
        await service.publish("trades.B", 2)
        await browser.until(f"{TAPE}.length == 1")
        terminal = await browser.run("document.querySelector('#curl').textContent")
        assert terminal == f"curl -N '{service.url('/v1/sse')}?channels=trades.*&interval_ms=5000'"

        # What the select does not offer, and a list with a line end in it.
        await browser.visit(service.url("/?channels=quotes.A%0Aquotes.B,quotes.A&interval_ms=2000"))
        await browser.until(f"{STATE} == 'live'")
        assert await browser.run(form) == ["quotes.A, quotes.B", "2000"]
        assert await browser.run(select) == "2000 ms"
        await browser.visit(service.url("/?channels=quotes.A&interval_ms=often"))
        await browser.until(f"{EVENTS}.includes('interval_ms=often')")


async def test_what_is_refused_is_named(service: Live) -> None:
    """A wrong name beside a right one, wrong ones alone, and none."""
    async with page(service, "?channels=quotes.A,weather.X,a..b") as browser:
        await browser.until(f"{EVENTS}.includes('bad_channel')")
        assert "no feed covers 'weather.X'" in await browser.run(EVENTS)
        assert await browser.run(STATE) == "live"

        await browser.visit(service.url("/?channels=weather.X"))
        await browser.until(f"{STATE} == 'closed' && {EVENTS}.includes('no_feed')")
        assert "None of this" in await browser.run(SAID)
        await until(lambda: not len(service.service.connections), "nothing is held for nothing")
        await browser.visit(service.url("/?channels="))
        await browser.until(f"{STATE} == 'closed'")
        assert "Nothing is subscribed" in await browser.run(SAID)


@pytest.mark.parametrize("reason", [closing.DRAIN, None], ids=["told", "cut"])
async def test_a_lost_connection_is_shown_and_goes_on_where_it_was(
    make_live: MakeLive, reason: Reason | None
) -> None:
    """Prices that do not move any more look it; each lossless update is seen once."""
    live = await make_live(STREAM__RETRY_MS="1000")
    async with page(live, "?channels=trades.X") as browser:
        await live.publish("trades.X", {"id": 0})
        await browser.until(f"{TAPE}.length == 1")
        [connection] = live.service.connections
        if reason is None:
            assert isinstance(connection.subscriber.pipe, Line)
            connection.subscriber.pipe.abort()
        else:
            connection.subscriber.end(reason)
        await until(lambda: not len(live.service.connections))
        for number in (1, 2, 3):
            await live.publish("trades.X", {"id": number})
        await browser.until(f"{STATE} == 'waiting'")
        assert ("drain" if reason else "cannot be reached") in await browser.run(SAID)
        await browser.until(f"{STATE} == 'live' && {TAPE}.length == 4")
        assert [values(line)[-1] for line in await browser.run(TAPE)] == ["0", "1", "2", "3"]


async def test_its_connection_can_be_named_to_an_operator(make_live: MakeLive) -> None:
    """The name that the log has stands there, also once the connection is lost; then the next."""
    live = await make_live(STREAM__RETRY_MS="1000")
    name = "document.querySelector('#connection').innerText"
    async with page(live, "?channels=quotes.*") as browser:
        [first] = live.service.connections
        assert await browser.run(name) == first.id
        assert await browser.run("document.querySelector('#named').checkVisibility()")

        first.subscriber.end(closing.DRAIN)
        await browser.until(f"{STATE} == 'waiting'")
        assert await browser.run(name) == first.id
        await browser.until(f"{STATE} == 'live'")
        [second] = live.service.connections
        assert await browser.run(name) == second.id != first.id


async def test_what_would_be_refused_again_is_not_asked_again(service: Live) -> None:
    """A close code from 4500 on ends it, with the reason."""
    async with page(service, "?channels=trades.X") as browser:
        [connection] = service.service.connections
        connection.subscriber.end(closing.BAD_REQUEST)
        await browser.until(f"{STATE} == 'closed'")
        assert "bad_request" in await browser.run(SAID)
        assert not len(service.service.connections)


async def test_a_gap_and_a_stale_feed_are_shown(service: Live) -> None:
    """What could not be delivered has its line; a feed that RabbitMQ does not feed is not live."""
    async with page(service, "?channels=trades.X,quotes.*") as browser:
        await service.publish("trades.X", 2**60)
        await browser.until(f"{TAPE}.length == 1")
        assert "bad_number" in (await browser.run(TAPE))[0]
        assert "gap in trades.X" in await browser.run(EVENTS)

        feed = service.service.feeds["quotes"]
        service.hub.upstream(feed, Upstream.STALE, "played", 1_700_000_000_000)
        await browser.until(f"{STATE} == 'stale'")
        assert "quotes is stale" in await browser.run(SAID)
        service.hub.upstream(feed, Upstream.LIVE, "played", 1_700_000_001_000)
        await browser.until(f"{STATE} == 'live'")


async def test_a_value_that_may_be_out_of_date_looks_it(make_live: MakeLive) -> None:
    """Its channel has not come again since the connection or the broker was lost."""
    live = await make_live(STREAM__RETRY_MS="1000")
    for name in "AB":
        await live.publish(f"quotes.{name}", {"bid": "1"})
    async with page(live, "?channels=quotes.*") as browser:
        await browser.until(f"{LATEST}.length == 2 && {OLD}.length == 0")
        feed = live.service.feeds["quotes"]
        for state in (Upstream.STALE, Upstream.LIVE):
            live.hub.upstream(feed, state, "played", 1_700_000_000_000)
        await browser.until(f"{EVENTS}.includes('2 values may have changed unseen')")
        await live.publish("quotes.A", {"bid": "2"})
        await browser.until(f"{OLD} == 'quotes.B' && {LATEST}[0].includes('2')")

        # As somebody finds it who comes now.
        await browser.visit(live.url("/?channels=quotes.*"))
        await browser.until(f"{OLD}.length == 2")
        await live.publish("quotes.B", {"bid": "2"})
        await live.publish("quotes.A", {"bid": "3"})
        await browser.until(f"{OLD}.length == 0 && {LATEST}[1].includes('2')")

        # The replica that it comes back to has not heard of B.
        del feed.channels["quotes.B"]
        feed.index = ChannelIndex()
        feed.index.add(feed.channels["quotes.A"])
        [connection] = live.service.connections
        connection.subscriber.end(closing.DRAIN)
        await browser.until(f"{STATE} != 'live'")
        await browser.until(f"{STATE} == 'unconfirmed' && {OLD} == 'quotes.B'")


async def test_an_old_time_has_its_date(service: Live) -> None:
    """A price of last year must not look like one of today; what is no time is shown as it is."""
    now = now_ms()
    for name, ts in (("A", now), ("B", now - 365 * 86_400_000), ("C", 2**53 - 1)):
        await service.publish(f"quotes.{name}", 1, ts=ts)
    async with page(service, "?channels=quotes.*") as browser:
        await browser.until(f"{LATEST}.length == 3")
        times = "[...document.querySelectorAll('#latest .time')].map((one) => one.innerText)"
        today, last_year, never = await browser.run(times)
        assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3}", today)
        assert re.fullmatch(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}", last_year)
        assert never == str(2**53 - 1)


async def test_what_comes_while_its_feed_is_stale_is_old(service: Live) -> None:
    """A value that waited for its interval is from before; that of another feed is not."""
    feed = service.service.feeds["quotes"]
    async with page(service, "?channels=%23&interval_ms=1000") as browser:
        await service.publish("quotes.A", "first")
        await browser.until(f"{LATEST}.length == 1")
        await service.publish("quotes.A", "second")
        service.hub.upstream(feed, Upstream.STALE, "played", 1_700_000_000_000)
        await browser.until(f"{LATEST}[0].includes('second')")
        assert await browser.run(OLD) == ["quotes.A"]
        assert await browser.run(STATE) == "stale"


async def test_one_pattern_over_all_feeds(service: Live) -> None:
    """Each channel is its own feed's, whatever the pattern: states go to the tape."""
    await service.publish("book.X", {"bids": []}, type="snapshot")
    await service.publish("quotes.X", {"bid": "1"})
    async with page(service, "?channels=%23") as browser:
        await browser.until(f"{TAPE}.length == 1 && {LATEST}.length == 1")
        assert "book.X" in (await browser.run(TAPE))[0]


async def test_a_value_of_another_kind_takes_its_place(service: Live) -> None:
    """Nothing of the former is left, when there is nothing to show of the new one."""
    async with page(service, "?channels=quotes.A") as browser:
        for data, shown in (("100", "100"), ({}, ""), ({"bid": 1}, "1"), ([], "[]"), ({}, "")):
            await service.publish("quotes.A", data)
            cells = "[...document.querySelectorAll('#latest tbody td:not(.time)')]"
            text = f"{cells}.map((cell) => cell.innerText).join('')"
            await browser.until(f"{LATEST}.length == 1 && {text} === {json.dumps(shown)}")


async def test_who_comes_back_to_it_finds_it_live(service: Live) -> None:
    """Kept for the way back it holds no connection, and has one when it is shown again."""
    await service.publish("quotes.A", 1)
    async with page(service, "?channels=quotes.A") as browser:
        await browser.run("window.isKept = true")
        await browser.visit("about:blank")
        await until(lambda: not len(service.service.connections))
        await browser.back()
        await browser.until(f"document.body.dataset.state == 'live' && {LATEST}.length == 1")
        assert len(service.service.connections) == 1


async def test_the_fields_that_are_not_shown_are_counted(service: Live) -> None:
    """Whatever shape the value had before."""
    async with page(service, "?channels=quotes.A") as browser:
        for count, said in ((30, "and 18 more"), (12, ""), (13, "and 1 more"), (12, "")):
            await service.publish("quotes.A", {f"f{n}": count for n in range(count)})
            await browser.until(f"{LATEST}[0]?.includes('\\t{count}\\t')")
            assert ("more fields" in (await browser.run(LATEST))[0]) is bool(said)
            assert said in (await browser.run(LATEST))[0]


async def test_a_service_that_is_late_is_waited_for(make_live: MakeLive) -> None:
    """The first request fails: the page says so, asks again, and then shows what it would have."""
    live = await make_live()
    await live.publish("quotes.A", 1)
    async with Browser() as browser:
        await browser.block("*v1/channels*")
        await browser.visit(live.url("/"))
        await browser.until(f"{STATE} == 'waiting'")
        assert "could not be listed" in await browser.run(SAID)
        assert await browser.run("location.search") == ""
        await browser.block()
        await browser.until(f"{STATE} == 'live' && {LATEST}.length == 1")
        assert await browser.run("document.querySelectorAll('#feeds button').length") == 4

        # Somebody who does not wait for the list.
        await browser.block("*v1/channels*")
        await browser.visit(live.url("/?"))
        await browser.until(f"{STATE} == 'waiting'")
        await browser.run("document.querySelector('#channels').value = 'quotes.*'")
        await browser.run("document.querySelector('form').requestSubmit()")
        await browser.until(f"{STATE} == 'live'")
        failures = "performance.getEntriesByType('resource').filter((one) => !one.responseStatus)"
        await browser.until(f"{failures}.length >= 3")
        assert await browser.run(STATE) == "live"
        await browser.block()
        await browser.until("document.querySelectorAll('#feeds button').length == 4")
        assert await browser.run("location.search") == "?channels=quotes.*"


async def test_a_service_that_hangs_is_noticed(make_service: MakeService) -> None:
    """Its socket is open and says nothing: not for long do its prices look live."""
    replica = make_service({"MARKET__ENABLED": "true"})
    await asyncio.to_thread(replica.start)
    async with Browser() as browser:
        await browser.visit(f"http://127.0.0.1:{replica.port}/?channels=quotes.*")
        await browser.until(f"{STATE} == 'live' && {LATEST}.length > 3")
        with replica.stopped():
            await browser.until(f"{STATE} == 'waiting'")
        await browser.until(f"{STATE} == 'live'")


async def test_an_outage_does_not_push_out_what_was_told(make_live: MakeLive) -> None:
    """Its begin and its end have a line each, however many attempts there are between."""
    live = await make_live(STREAM__RETRY_MS="200")
    async with page(live, "?channels=trades.X") as browser:
        await live.publish("trades.X", 2**60)
        await browser.until(f"{EVENTS}.includes('gap in trades.X')")
        live.service.draining.begin()
        [connection] = live.service.connections
        connection.subscriber.end(closing.DRAIN)
        await browser.until(f"{STATE} == 'waiting'")
        seen = live.service.tally.closes["ws.json", "drain"]
        await until(lambda: live.service.tally.closes["ws.json", "drain"] >= seen + 3)
        assert live.service.draining.take_back()
        await browser.until(f"{STATE} == 'live'")
        told = (await browser.run(EVENTS)).splitlines()
        assert ["Connected again" in told[0], "drain" in told[1], "gap" in told[2]] == [True] * 3
        assert len(told) == 3


async def test_a_full_state_is_on_the_tape(service: Live) -> None:
    """A lossless channel's snapshot is no latest value: it would stand there for ever."""
    await service.publish("book.X", {"bids": [["1", "2"]]}, type="snapshot")
    await service.publish("book.X", {"changes": 1})
    await service.publish("quotes.X", {"bid": "1"}, type="odd")
    async with page(service, "?channels=book.*,quotes.*") as browser:
        await browser.until(f"{TAPE}.length == 2 && {LATEST}.length == 1")
        await service.publish("book.X", {"changes": 2})
        await browser.until(f"{TAPE}.length == 3")
        lines = [values(line)[1:] for line in await browser.run(TAPE)]
        assert lines == [
            ["book.X", "(snapshot)", '[["1","2"]]'],
            ["book.X", "1"],
            ["book.X", "2"],
        ]
        assert (await browser.run(LATEST))[0].startswith("quotes.X")


async def test_it_is_bounded_and_says_so(service: Live) -> None:
    """500 channels, 100 lines of tape and of events; a large feed is not subscribed unasked."""
    for number in range(600):
        await service.publish(f"quotes.C{number:03}", {"n": number})
    async with page(service) as browser:
        assert (await browser.run("document.querySelector('#channels').value")).startswith(
            "quotes.C000, quotes.C001, "
        )
        await browser.until(f"{LATEST}.length == 20")
        await browser.run("document.querySelector('[data-feed=quotes]').click()")
        await browser.until(f"{LATEST}.length == 500")
        assert "Only 500 channels are shown" in await browser.run(
            "document.querySelector('#more').innerText"
        )
        for number in range(150):
            await service.publish("trades.X", {"id": number})
        await browser.until(f"{TAPE}.at(-1)?.endsWith('149')")
        assert [values(line)[-1] for line in await browser.run(TAPE)] == [
            str(number) for number in range(50, 150)
        ]
        for number in range(110):
            await service.publish("trades.X", 2**60, ts=number)
        await browser.until("document.querySelectorAll('#events li').length == 100")
        await browser.run("document.querySelector('#channels').value = 'quotes.C599'")
        await browser.run("document.querySelector('form').requestSubmit()")
        await browser.until(f"{LATEST}.length == 1")
        assert await browser.run("document.querySelector('#more').hidden")


async def test_it_reads_patterns_as_the_service_does(service: Live) -> None:
    """Else a value would be shown as another feed's: the same answer for every pattern and name."""
    rng = random.Random(5)
    words = ("a", "b", "*", "#", "#")
    cases = []
    for _ in range(2_000):
        pattern = ".".join(rng.choices(words, k=rng.randint(1, 6)))
        name = ".".join(rng.choices(("a", "b", "c"), k=rng.randint(1, 6)))
        cases.append([pattern, name, Pattern(pattern).matches(name)])
    # Short to write, and long to match for one that tries everything.
    cases.append(["#.a" * 30 + ".b", "a." * 60 + "a", False])
    async with page(service, "?channels=quotes.A") as browser:
        wrong = await browser.run(f"""
            import('/static/feeds.js').then(({{covers}}) => {json.dumps(cases)}.filter(
                ([pattern, name, does]) => covers(pattern.split('.'), name.split('.')) !== does))
        """)
    assert wrong == []
    assert {does for _, _, does in cases} == {True, False}


def test_its_types_are_right(tmp_path: Path) -> None:
    """TypeScript's strict reading of the comments, as mypy reads the service."""
    npm = require("npm")
    for source in ("scripts/page", "service/tickfan/static"):
        shutil.copytree(
            ROOT / source, tmp_path / source, ignore=shutil.ignore_patterns("node_modules")
        )
    for words in (
        ["ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        ["run", "--silent", "check"],
    ):
        done = subprocess.run(
            [npm, *words],
            cwd=tmp_path / "scripts/page",
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
