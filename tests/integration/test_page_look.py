"""What the page looks like and says of itself, in a real Chromium: to the eye and to others."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.support.page import LATEST, TAPE, page

if TYPE_CHECKING:
    from tests.support.live import Live

QUOTE = {"bid": "91420.5", "ask": "91420.7", "bid_size": "0.4000", "ask_size": "12.5", "last": "1"}
TRADE = {"price": "91420.5", "size": "0.4000", "side": "sell", "id": 123456}
HEADS = "[...document.querySelectorAll('#latest thead th')].map((one) => one.innerText)"


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
        for width in (360, 412, 639, 640, 800, 1024, 1215, 1280, 1920):
            await browser.look(width=width)
            over = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            assert await browser.run(over) == 0, width
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
