"""The recent updates of a lossless channel, in three formats."""

from __future__ import annotations

import csv
import io
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from tickfan.api.history import SCAN_MAX, SCANNED_AT_ONCE, find
from tickfan.core.history import OVERHEAD_BYTES
from tickfan.wire.csvtable import COLUMNS_MAX

if TYPE_CHECKING:
    from tests.support.fixtures import MakeLive
    from tests.support.live import Live
    from tickfan.core.update import Update

URL = "/v1/channels/trades.A/history"


async def read(live: Live, query: str = "", accept: str = "*/*") -> tuple[str, bytes]:
    headers = {"Accept": accept}
    async with live.session.get(live.url(f"{URL}?{query}"), headers=headers) as response:
        assert response.status == 200, await response.text()
        assert response.headers["Cache-Control"] == "no-store"
        return response.content_type, await response.read()


def rows(body: bytes) -> list[dict[str, Any]]:
    return list(csv.DictReader(io.StringIO(body.decode(), newline="")))


async def test_the_newest_come_oldest_first(service: Live) -> None:
    """Of this channel only, at most ``limit``, without gaps' places."""
    for number in range(150):
        await service.publish("trades.A", number)
        await service.publish("trades.B", -number)
    await service.publish("trades.A", 2**60)  # poison: a gap

    for query, expected in (
        ("", range(50, 150)), ("limit=3", range(147, 150)), ("limit=10000", range(150)),
    ):  # fmt: skip
        _, body = await read(service, query)
        found = orjson.loads(body)
        assert [update["data"] for update in found["updates"]] == list(expected)
    assert (found["channel"], found["history_start"]) == ("trades.A", 0)
    chain = [(update["seq"], update["prev"]) for update in found["updates"]]
    assert all(prev == before[0] for before, (_, prev) in pairwise(chain))


@pytest.mark.parametrize(
    ("query", "accept", "kind"),
    [
        ("", "*/*", "application/json"),
        ("", "text/html, application/json;q=0.5", "application/json"),
        ("", "application/x-ndjson", "application/x-ndjson"),
        ("", "text/plain, text/csv;q=0.9", "text/csv"),
        ("format=json", "text/csv", "application/json"),
        ("format=ndjson", "*/*", "application/x-ndjson"),
        ("format=csv", "application/json", "text/csv"),
    ],
)
async def test_the_format_is_chosen(service: Live, query: str, accept: str, kind: str) -> None:
    """By ``format``, else by Accept, else JSON."""
    await service.publish("trades.A", 1)
    assert (await read(service, query, accept))[0] == kind


async def test_ndjson_is_the_same_objects(service: Live) -> None:
    """One a line."""
    for number in range(3):
        await service.publish("trades.A", {"n": number})
    lines = (await read(service, "format=ndjson"))[1].splitlines()
    updates = orjson.loads((await read(service))[1])["updates"]
    assert [orjson.loads(line) for line in lines] == updates


async def test_csv_has_a_column_for_each_field(service: Live) -> None:
    """Of all updates; what is no object has a column of its own (RFC 4180)."""
    await service.publish("trades.A", {"price": "1.5", "size": 2})
    await service.publish("trades.A", {"price": '1,5\n"quoted"', "side": None}, type="trade_bust")
    await service.publish("trades.A", "plain")
    body = (await read(service, "format=csv"))[1]
    assert body.split(b"\r\n")[0] == (
        b"channel,seq,ts,type,data.price,data.size,data.side,data,prev"
    )
    found = rows(body)
    assert [row["data.price"] for row in found] == ["1.5", '1,5\n"quoted"', ""]
    assert [row["data.size"] for row in found] == ["2", "", ""]
    assert [row["data"] for row in found] == ["", "", "plain"]
    assert [row["type"] for row in found] == ["update", "trade_bust", "update"]
    assert {row["channel"] for row in found} == {"trades.A"}


async def test_csv_shows_a_gap_by_its_chain(service: Live) -> None:
    """A gap is no row: its ``seq`` is the ``prev`` of the next one, as in the other formats."""
    for value in (1, {"prev": "2"}, 2**60, 4):
        await service.publish("trades.A", value)
    chain = [(row["seq"], row["prev"]) for row in rows((await read(service, "format=csv"))[1])]
    assert chain == [("0", ""), ("1024", "0"), ("3072", "2048")]
    updates = orjson.loads((await read(service))[1])["updates"]
    assert [update["prev"] for update in updates] == [None, 0, 2048]


async def test_csv_of_plain_values_or_of_nothing(service: Live) -> None:
    """The column ``data``; without a row, the head alone."""
    await service.publish("trades.A", 2**60)
    assert (await read(service, "format=csv"))[1] == b"channel,seq,ts,type,data,prev\r\n"
    await service.publish("trades.A", [1, {"a": True}])
    assert [row["data"] for row in rows((await read(service, "format=csv"))[1])] == [
        '[1,{"a":true}]'
    ]


async def test_a_byte_order_mark_for_spreadsheets(service: Live) -> None:
    """With it Excel reads UTF-8; the rest is the same, and without it no byte is added."""
    await service.publish("trades.A", {"name": "Zürich"})
    plain = (await read(service, "format=csv"))[1]
    assert not plain.startswith(b"\xef\xbb\xbf")
    assert (await read(service, "bom=0", "text/csv"))[1] == plain
    for query, accept in (("format=csv&bom=1", "*/*"), ("bom=true", "text/csv")):
        assert (await read(service, query, accept))[1] == b"\xef\xbb\xbf" + plain


async def test_a_channels_name_is_no_formula_either(make_live: MakeLive) -> None:
    """Names may begin with ``=``; a field's name stands behind ``data.``."""
    feeds = '[{"name": "all", "bind": ["#"], "delivery": "lossless"}]'
    service = await make_live(FEEDS=feeds)
    await service.publish("=1+1", {"=1+1": "=1+1"})
    url = service.url("/v1/channels/%3D1%2B1/history?format=csv")
    async with service.session.get(url) as response:
        [row] = rows(await response.read())
    assert row["channel"] == row["data.=1+1"] == "'=1+1"


async def test_other_channels_are_passed_over_up_to_a_bound(make_live: MakeLive) -> None:
    """A quiet channel's request takes no longer: the last within the bound comes."""
    held = (SCAN_MAX + 2) * OVERHEAD_BYTES * 2
    service = await make_live(
        FEEDS=f'[{{"name": "trades", "bind": ["trades.#"], "delivery": "lossless", '
        f'"history_bytes_max": {held}}}]'
    )
    feed = service.service.feeds["trades"]
    for seq in range(SCAN_MAX + 1):
        # The quiet one's updates: just beyond the bound, and just within it.
        name = "trades.A" if seq < 2 else "trades.B"
        service.hub.publish(feed, name, seq, 1, seq=seq, fingerprint="x")
    assert len(feed.history) == SCAN_MAX + 1
    found = orjson.loads((await read(service))[1])
    assert [update["data"] for update in found["updates"]] == [1]


@pytest.mark.parametrize("format_", ["json", "ndjson", "csv"])
@pytest.mark.parametrize("coding", ["identity", "gzip"])
async def test_a_long_history_is_made_beside_what_else_is_asked(
    service: Live, format_: str, coding: str
) -> None:
    """In slices, with turns of the loop between them; and nothing is lost on the way."""
    feed = service.service.feeds["trades"]
    for seq in range(10_000):
        service.hub.publish(feed, "trades.A", {f"k{seq % 2000}": seq}, 1, seq=seq, fingerprint="x")
    headers = {"Accept-Encoding": coding}
    url = service.url(f"{URL}?limit=10000&format={format_}")
    async with (
        service.counted_turns() as turns,
        service.session.get(url, headers=headers) as response,
    ):
        assert response.status == 200
        body = await response.read()
    assert turns["making"] >= 5
    if format_ == "json":
        found = [each["data"] for each in orjson.loads(body)["updates"]]
    elif format_ == "ndjson":
        found = [orjson.loads(line)["data"] for line in body.splitlines()]
    else:
        table = rows(body)
        assert len(table[0]) == 4 + COLUMNS_MAX + 2
        values = [orjson.loads(row["data"] or "null") for row in table]
        for place, row in enumerate(table):
            name = f"k{place % 2000}"
            value = values[place] or {name: int(row[f"data.{name}"])}
            assert value == {name: place}
        return
    assert found == [{f"k{seq % 2000}": seq} for seq in range(10_000)]


async def test_a_history_that_begins_anew_meanwhile_is_not_mixed(service: Live) -> None:
    """Of two streams, which may count from 0 both, an answer has one."""
    feed = service.service.feeds["trades"]
    for seq in range(3 * SCANNED_AT_ONCE):
        service.hub.publish(feed, "trades.A", "old", 1, seq=seq, fingerprint="x")
    found: list[Update] = []
    steps = find(feed.channels["trades.A"], 10_000, found)
    next(steps)
    feed.restart()
    for seq in range(3 * SCANNED_AT_ONCE):
        service.hub.publish(feed, "trades.A", "new", 1, seq=seq, fingerprint="y")
    assert list(steps) == []
    assert {update.data for update in found} == {"old"}
    assert len(found) == SCANNED_AT_ONCE


async def test_a_conflated_channel_has_no_history(service: Live) -> None:
    """409 by name; a bad limit or format too."""
    await service.publish("quotes.A", 1)
    await service.publish("trades.A", 1)
    for path, status, code in (
        ("/v1/channels/quotes.A/history", 409, "not_lossless"),
        (f"{URL}?limit=0", 400, "bad_field"),
        (f"{URL}?limit=10001", 400, "bad_field"),
        (f"{URL}?format=xml", 400, "bad_field"),
        (f"{URL}?format=csv&bom=yes", 400, "bad_field"),
        (f"{URL}?bom=1", 400, "bad_field"),
    ):
        async with service.session.get(service.url(path)) as response:
            assert response.status == status
            assert (await response.json())["error"]["code"] == code
