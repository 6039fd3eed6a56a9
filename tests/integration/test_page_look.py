"""What the page looks like and says of itself, in a real Chromium: to the eye and to others."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from loadtest.rig.waiting import until
from tests.support.page import EVENTS, LATEST, OLD, SAID, STATE, TAPE, page
from tickfan.clock import now_ms
from tickfan.core import closing
from tickfan.core.feed import Upstream

if TYPE_CHECKING:
    from tests.support.browser import Browser
    from tests.support.fixtures import MakeLive
    from tests.support.live import Live

QUOTE = {"bid": "91420.5", "ask": "91420.7", "bid_size": "0.4000", "ask_size": "12.5", "last": "1"}
TRADE = {"price": "91420.5", "size": "0.4000", "side": "sell", "id": 123456}
CLOCK = r"\d\d:\d\d:\d\d"
HEADS = "[...document.querySelectorAll('#latest thead th')].map((one) => one.innerText)"
CHIP = "document.querySelector('[data-feed=quotes]').innerText"
LEGEND = "document.querySelector('#legend').open"

# Of each text that stands there: its words, its contrast (WCAG 2.2, 1.4.3) as it is mixed with
# what is behind it, and how far all around it dims it.
TEXTS = """(() => {
    const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b]
        .map((part) => part / 255)
        .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
        .reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
    const measure = (element, style, words) => {
        let [opacity, ground] = [1, null];
        for (let one = element; one; one = one.parentElement) {
            const {opacity: dim, backgroundColor} = getComputedStyle(one);
            opacity *= Number(dim);
            if (!ground && parts(backgroundColor)[3] !== 0) ground = parts(backgroundColor);
        }
        const ink = parts(style.color).slice(0, 3)
            .map((part, at) => part * opacity + ground[at] * (1 - opacity));
        const [dark, bright] = [light(ink), light(ground)].sort((a, b) => a - b);
        const isOld = Boolean(element.closest('.old :is(th, td) > span'))
            && !element.closest('.break');
        return {words, contrast: (bright + 0.05) / (dark + 0.05), opacity, isOld};
    };
    const texts = [];
    for (const element of document.querySelectorAll('body, body *')) {
        if (!element.checkVisibility() || element.closest('noscript, option')) continue;
        const own = [...element.childNodes].filter((node) => node.nodeType === 3);
        const words = own.map((node) => node.data.trim()).join('') || element.value;
        if (words) texts.push(measure(element, getComputedStyle(element), words));
        const before = getComputedStyle(element, '::before');
        if (!['none', 'normal'].includes(before.content)) {
            texts.push(measure(element, before, before.content));
        }
    }
    return texts;
})()"""


async def look_at(browser: Browser) -> list[dict[str, Any]]:
    """Each text of the page, in the light and in the dark, wide and narrow."""
    seen = []
    for scheme in ("light", "dark"):
        for width in (1280, 360):
            await browser.look(width=width, scheme=scheme)
            seen += await browser.run(TEXTS)
    return seen


def too_faint(texts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those below what WCAG's level AA asks of small text."""
    return [text for text in texts if text["contrast"] < 4.5]


async def test_all_that_stands_there_can_be_read(make_live: MakeLive) -> None:
    """4.5 : 1 in light and dark, also when the last price matters; old rows are dimmed once."""
    live = await make_live(STREAM__RETRY_MS="60000")
    for move in (1, 2, 1):
        for name in "ABC":
            await live.publish(f"quotes.{name}", {"bid": move, "ask": 3 - move, "venue": "x"})
    async with page(live, "?channels=quotes.*,trades.*") as browser:
        await browser.press("?")
        await live.publish("trades.X", TRADE)
        await live.publish("trades.X", 2**60)
        await live.publish("quotes.A", {"bid": 2, "ask": 1, "venue": "y"})
        await browser.until(f"{LATEST}[0]?.includes('y') && {TAPE}.length == 2")
        seen = await look_at(browser)
        assert {"quotes.A", "trades.X", "123456", '"▲" / "rose to "'} <= {
            text["words"] for text in seen
        }
        assert not too_faint(seen)
        assert {text["opacity"] for text in seen} == {1}

        feed = live.service.feeds["quotes"]
        live.hub.upstream(feed, Upstream.STALE, "played", now_ms() - 90_000)
        await browser.until(f"{OLD}.length == 3")
        stale = await look_at(browser)
        live.hub.upstream(feed, Upstream.LIVE, "played", now_ms())
        await live.publish("quotes.A", {"bid": 3, "ask": 1, "venue": "z"})
        await browser.until(f"{OLD}.length == 2")
        unconfirmed = await look_at(browser)
        [connection] = live.service.connections
        connection.subscriber.end(closing.DRAIN)
        await browser.until(f"{STATE} == 'waiting' && {OLD}.length == 3")
        await browser.until("document.querySelectorAll('#tape .old').length")
        lost = await look_at(browser)
        for texts in (stale, unconfirmed, lost):
            assert not too_faint(texts)
            assert {(text["isOld"], text["opacity"]) for text in texts} == {(False, 1), (True, 0.7)}
        dimmed = {text["words"] for text in lost if text["isOld"]}
        assert {"quotes.A", "y", "trades.X", "sell"} - dimmed == {"y"}
        [gap] = {text["words"] for text in lost if text["words"].startswith("gap in")}
        assert gap not in dimmed, "it is as true as before"


async def test_each_sign_has_a_word_and_a_legend(service: Live) -> None:
    """One keystroke or one click away; and whoever does not see a sign hears what it says."""
    for bid in ("1", "2"):
        await service.publish("quotes.A", {"bid": bid, "ask": "5"})
    async with page(service, "?channels=quotes.*") as browser:
        await browser.until(f"{LATEST}.length == 1")
        await service.publish("quotes.A", {"bid": "3", "ask": "4"})
        await browser.until(f"{LATEST}[0].endsWith('\\t3\\t4')")
        assert await browser.named("cell") == [
            await browser.run("document.querySelector('#latest .time').innerText"),
            "rose to 3",
            "fell to 4",
        ]
        assert await browser.named("rowheader") == ["quotes.A"]
        service.hub.upstream(service.service.feeds["quotes"], Upstream.STALE, "played", now_ms())
        await browser.until(f"{OLD}.length == 1")
        assert await browser.named("rowheader") == ["not confirmed: quotes.A"]
        assert "stale" in next(name for name in await browser.named("button") if "quotes" in name)
        # A dot is the same to nobody who hears; the words beside it are.
        assert not any("●" in name for name in await browser.named("button"))

        assert not await browser.run(LEGEND)
        await browser.press("?")
        await browser.until(LEGEND)
        legend = " ".join(await browser.named("term"))
        assert {"▲", "▼"} <= set(
            await browser.run(
                "[...document.querySelectorAll('#legend dt')].map((one) => "
                "getComputedStyle(one, '::before').content[1])"
            )
        )
        assert "?" in legend
        # Each colour that a sign may have is there, as it is elsewhere.
        colours = (
            "[...document.querySelectorAll('#legend dt')].flatMap((one) => ['', '::before']"
            ".map((part) => getComputedStyle(one, part).color))"
        )
        explained = set(await browser.run(colours))
        for sign, part in (
            ("#latest .up", ""), ("#latest .down", ""), ("#latest .old .channel", "::before"),
            ("#state", "::before"), ("[data-feed=quotes]", "::before"),
            ("[data-feed=trades]", "::before"),
        ):  # fmt: skip
            await service.publish("quotes.B", {"bid": 1, "ask": 2})
            await service.publish("quotes.B", {"bid": 2, "ask": 1})
            colour = f"getComputedStyle(document.querySelector('{sign}'), '{part}').color"
            if "old" not in sign and sign.startswith("#latest"):
                continue  # of an old row it is that of the text
            assert await browser.run(colour) in explained, sign

        await browser.press("?")
        await browser.until(f"!({LEGEND})")
        await browser.run("document.querySelector('#channels').focus()")
        await browser.press("?")
        typed = "document.querySelector('#channels').value"
        await browser.until(f"{typed}.includes('?')")
        assert not await browser.run(LEGEND), "it is typed there, and no more"
        await browser.run("document.querySelector('#legend summary').click()")
        await browser.until(LEGEND)


async def test_it_says_since_when(make_live: MakeLive) -> None:
    """Of the connection and of a stale feed, also to whoever comes later: a time, and its age."""
    live = await make_live(STREAM__RETRY_MS="60000")
    await live.publish("quotes.A", 1)
    async with page(live, "?channels=quotes.*,trades.*") as browser:
        await browser.until(f"{LATEST}.length == 1")
        assert re.search(
            rf"Live since {CLOCK}\nfor \d+ s\n1 value confirmed", await browser.run(SAID)
        )

        feed, trades = live.service.feeds["quotes"], live.service.feeds["trades"]
        since = now_ms() - 125_000
        live.hub.upstream(feed, Upstream.STALE, "played", since)
        local = await browser.run(f"new Date({since}).toTimeString().slice(0, 8)")
        for _ in ("told by its status", "found so"):
            await browser.until(f"{STATE} == 'stale' && {CHIP} == 'quotes stale for 2 min'")
            assert f"quotes is stale since {local}\nfor 2 min" in await browser.run(SAID)
            await browser.visit(live.url("/?channels=quotes.*,trades.*"))
        await browser.until(f"{STATE} == 'stale'")
        live.hub.upstream(trades, Upstream.STALE, "played", 1_700_000_000_000)
        await browser.until(f"{SAID}.includes('trades is stale since 2023-11-1')")
        assert re.search(r"for up to \d{3,} d \d+ h", await browser.run(SAID))
        for one in (feed, trades):
            live.hub.upstream(one, Upstream.LIVE, "played", now_ms())
        await browser.until(f"{STATE} == 'unconfirmed'")

        [connection] = live.service.connections
        connection.subscriber.end(closing.DRAIN)
        await browser.until(f"{STATE} == 'waiting'")
        said = await browser.run(SAID)
        assert re.search(rf"Not connected since {CLOCK}\nfor \d+ s\n", said)
        assert re.search(rf"drain: .*Next attempt at {CLOCK}", said)
        assert await browser.run(CHIP) == "quotes", "nobody tells this page now"
        age = "document.querySelector('#since').innerText"
        await browser.until(f"{age} != {json.dumps(await browser.run(age))}")


async def test_a_time_of_another_day_says_so_and_an_age_has_two_units(service: Live) -> None:
    """Laws are in the code that has them; these are its examples."""
    async with page(service, "?channels=quotes.A") as browser:
        ages = await browser.run("""
            import('/static/times.js').then(({age}) => [-5e3, 0, 59_400, 60_000, 3_599_000,
                7_500_000, 86_400_000, 360_000_000].map((ms) => age(Date.now() - ms)))
        """)
        assert ages == ["0 s", "0 s", "59 s", "1 min", "59 min", "2 h 5 min", "1 d 0 h", "4 d 4 h"]
        clocks = await browser.run("""
            import('/static/times.js').then(({clock, time}) => [clock(Date.now()), time(Date.now()),
                clock(Date.now() - 172_800_000), clock(2 ** 53 - 1)])
        """)
        now, precise, earlier, never = clocks
        assert re.fullmatch(CLOCK, now)
        assert re.fullmatch(rf"{CLOCK}\.\d{{3}}", precise)
        assert re.fullmatch(rf"20\d\d-\d\d-\d\d {CLOCK}", earlier)
        assert never == str(2**53 - 1)


async def test_five_fields_stand_in_columns(service: Live) -> None:
    """At 1,280 px, beside a tape: a line each, no scrolling, numbers below each other."""
    for number in range(30):
        await service.publish(f"quotes.DOGE-USD{number}", QUOTE | {"last": str(10**number % 99991)})
        await service.publish(f"quotes.DOGE-USD{number}", QUOTE)
    async with page(service, "?channels=quotes.*,trades.*") as browser:
        await browser.look(width=1280)
        for number in range(60):
            await service.publish("trades.DOGE-USD", TRADE | {"id": number * 10_000})
        await browser.until(f"{LATEST}.length == 30 && {TAPE}.length == 60")
        assert await browser.run(HEADS) == ["Channel", "Time", *QUOTE]
        cells = await browser.run("""
            [...document.querySelectorAll('#latest td.number, #tape td.number')].map((cell) => {
                const {textAlign, fontVariantNumeric} = getComputedStyle(cell);
                const title = cell.closest('table').tHead.rows[0].cells[cell.cellIndex];
                return {textAlign, fontVariantNumeric, head: getComputedStyle(title).textAlign,
                    off: title.getBoundingClientRect().right - cell.getBoundingClientRect().right,
                    lines: cell.firstChild.getClientRects().length,
                    height: cell.getBoundingClientRect().height};
            })
        """)
        assert len(cells) == 30 * 5 + 60 * 3
        for cell in cells:
            assert cell["textAlign"] == cell["head"] == "right"
            assert cell["fontVariantNumeric"] == "tabular-nums"
            assert abs(cell["off"]) < 1
            assert cell["lines"] == 1
            assert cell["height"] < 32
        wide = (
            "[...document.querySelectorAll('.scroll')].filter((one) => "
            "one.scrollWidth > one.clientWidth).length"
        )
        assert await browser.run(wide) == 0
        sides = "[...document.querySelectorAll('main section')].map((one) => one.offsetTop)"
        left, right = await browser.run(sides)
        assert left == right, "quotes and tape are side by side"


async def test_no_window_has_to_be_scrolled_sideways(service: Live) -> None:
    """From 360 px on, whatever is published; there each line is a card with its fields' names."""
    await service.publish("quotes.A", QUOTE)
    await service.publish(f"quotes.{'verylong' * 15}", {f"field_{n}": n / 7 for n in range(40)})
    await service.publish("quotes.note", {"note": "halted, pending news " * 20, "w": "W" * 999})
    async with page(service, "?channels=quotes.*,trades.*,book.*") as browser:
        await service.publish("book.X", {"bids": [["1.25", "2"]] * 40}, type="snapshot")
        await service.publish("trades.X", 2**60)
        await browser.until(f"{LATEST}.length == 3 && {TAPE}.length == 2")
        for is_open in (False, True):
            for width in (360, 412, 639, 640, 800, 1024, 1215, 1280, 1920):
                await browser.look(width=width)
                over = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
                assert await browser.run(over) == 0, (width, is_open)
            await browser.press("?")
        await browser.look(width=360)
        card = await browser.run("""
            (() => {
                const row = [...document.querySelectorAll('#latest tr')]
                    .find((one) => one.innerText.includes('quotes.A'));
                const table = row.closest('.scroll').getBoundingClientRect();
                return [...row.cells].filter((cell) => cell.innerText).map((cell) => {
                    const {left, right} = cell.getBoundingClientRect();
                    const title = getComputedStyle(cell, '::before').content;
                    return [title, cell.innerText, left >= table.left && right <= table.right];
                });
            })()
        """)
        assert all(is_inside for *_, is_inside in card)
        shown = {json.loads(title): text for title, text, _ in card if title.startswith('"')}
        assert shown == QUOTE
        assert "quotes.A" in await browser.named("rowheader"), "it is a table to who hears it"


async def test_live_is_said_of_what_is_confirmed_alone(service: Live) -> None:
    """Beside twenty values that may be old it says how many are, until the last has come again."""
    for number in range(20):
        await service.publish(f"quotes.C{number:02}", 1)
    async with page(service, "?channels=quotes.*") as browser:
        await browser.until(f"{LATEST}.length == 20 && {SAID}.includes('20 values confirmed')")
        assert "Live" in await browser.run(SAID)
        feed = service.service.feeds["quotes"]
        for state in (Upstream.STALE, Upstream.LIVE):
            service.hub.upstream(feed, state, "played", now_ms())
        await browser.until(f"{SAID}.includes('0 values confirmed, 20 not confirmed')")
        words = "document.body.innerText.replace(document.querySelector('#events').innerText, '')"
        done = 0
        for confirmed in (0, 1, 19, 20):
            for number in range(done, confirmed):
                await service.publish(f"quotes.C{number:02}", 2)
            done = confirmed
            if done < 20:
                await browser.until(f"{SAID}.includes('{20 - done} not confirmed')")
                assert "live" not in (await browser.run(words)).lower(), done
                assert await browser.run(CHIP) == f"quotes {20 - done} not confirmed"
        await browser.until(f"{SAID}.includes('Live since') && {CHIP} == 'quotes live'")
        assert "20 values confirmed" in await browser.run(SAID)
        assert "not confirmed" not in await browser.run(SAID)


async def test_what_is_empty_says_what_is_true(make_live: MakeLive) -> None:
    """No value, no update, no loss; each since when, or why there can be none."""
    live = await make_live(STREAM__RETRY_MS="60000")
    said = "[...document.querySelectorAll('.empty')].map((one) => one.innerText)"
    async with page(live, "?channels=quotes.*,trades.*") as browser:
        await browser.until(f"{said}[0] == 'No value yet since this replica started.'")
        _, updates, losses = await browser.run(said)
        assert re.fullmatch(rf"No update yet since {CLOCK}, when this page subscribed\.", updates)
        assert re.fullmatch(
            rf"No loss, refusal or cut was reported to this page since {CLOCK}\.", losses
        )
        await live.publish("quotes.A", 1)
        await live.publish("trades.A", 2**60)
        await browser.until(f"{LATEST}.length == 1 && {TAPE}.length == 1 && {EVENTS} != ''")
        visible = "[...document.querySelectorAll('.empty')].filter((one) => one.checkVisibility())"
        assert await browser.run(f"{visible}.length") == 0

        for channels, texts in (
            (
                "quotes.none",
                ["No value yet since this replica started.", "No lossless feed is subscribed."],
            ),
            ("trades.*", ["No conflated feed is subscribed.", updates]),
        ):
            await browser.visit(live.url(f"/?channels={channels}"))
            await browser.until(f"{STATE} == 'live'")
            shown = (await browser.run(said))[:2]
            assert [re.sub(CLOCK, "", one) for one in shown] == [
                re.sub(CLOCK, "", one) for one in texts
            ]
        await browser.visit(live.url("/?channels="))
        await browser.until(f"{STATE} == 'closed'")
        assert (await browser.run(said))[:2] == ["Nothing is subscribed yet."] * 2
        await until(lambda: not len(live.service.connections))


async def test_a_feed_of_many_shapes_hides_no_field(service: Live) -> None:
    """Twelve columns; what found no place there stands in the last one, with its name."""
    await service.publish("quotes.A", {f"f{number}": number for number in range(40)})
    await service.publish("quotes.B", {"bid": "1.5", "f3": "x"})
    await service.publish("quotes.C", "plain")
    async with page(service, "?channels=quotes.*") as browser:
        await browser.until(f"{LATEST}.length == 3")
        heads = await browser.run(HEADS)
        assert heads == ["Channel", "Time", *(f"f{number}" for number in range(12)), "Other fields"]
        first, second, third = await browser.run("""
            [...document.querySelectorAll('#latest tbody tr')]
                .map((row) => [...row.cells].map((cell) => cell.innerText))
        """)
        assert first[2:] == [*map(str, range(12)), "and 28 more fields"]
        assert (second[heads.index("f3")], second[-1]) == ("x", "bid 1.5")
        assert third[-1] == "plain"


async def test_each_feed_has_a_table_of_its_own(service: Live) -> None:
    """By name, as its fields are its own; a reset stands in that of its feed."""
    async with page(service, "?channels=%23") as browser:
        await service.publish("trades.X", TRADE)
        await service.publish("book.X", {"changes": [["bid", "1", "2"]]})
        await service.publish("quotes.X", {"bid": "1"})
        await browser.until(f"{TAPE}.length == 2 && {LATEST}.length == 1")
        assert sorted(await browser.named("table")) == ["book", "quotes", "trades"]
        broken = (
            "[...document.querySelectorAll('.break')]"
            ".map((one) => one.closest('table').caption.innerText)"
        )
        for feed in ("trades", "book"):
            service.hub.reset(service.service.feeds[feed], "recreated")
            await browser.until(f"{broken}.includes('{feed}')")
        assert sorted(await browser.run(broken)) == ["book", "trades"]
