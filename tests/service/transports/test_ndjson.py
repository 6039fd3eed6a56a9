"""The NDJSON door, through real sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest

from tests.support.live import Lines
from tests.support.raw import chunks, connect, request

if TYPE_CHECKING:
    from tests.support.fixtures import MakeLive
    from tests.support.live import Live


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_every_line_is_one_object_in_either_http_version(service: Live, version: str) -> None:
    """Chunks for HTTP/1.1, none for 1.0; an update has no event, everything else has."""
    await service.publish("tokens.A", "before")
    head = request(
        "/v1/ndjson?channels=tokens.A&until=done", version=version, Accept_Encoding="gzip"
    )
    async with connect(service, head) as wire:
        _, headers = await wire.head()
        opening = await wire.up_to(b"snapshot_end")
        await service.publish("tokens.A", "line\nbreak\u2028")
        await service.publish("tokens.A", None, type="done")
        body = opening + await wire.rest()

    if version == "1.1":
        assert headers["keep-alive"] == "timeout=1"
        assert "connection" not in headers
        body = b"".join(chunks(body))
    assert headers["content-type"].startswith("application/x-ndjson")
    assert headers["cache-control"] == "no-store, no-transform"
    assert headers["x-accel-buffering"] == "no"
    assert "content-encoding" not in headers
    assert body.endswith(b"}\n")
    lines = [orjson.loads(line) for line in body.removesuffix(b"\n").split(b"\n")]
    names = [line.get("event") for line in lines]
    assert names == ["subscribed", "snapshot_end", None, None, "closing"]
    assert lines[2]["data"] == "line\nbreak\u2028"
    assert lines[3]["type"] == "done"
    assert 1000 <= lines[0]["retry_ms"] <= 3000
    assert lines[4]["retry_ms"] is None


async def test_a_post_takes_the_subscription_as_its_body(service: Live) -> None:
    """The same fields as SSE."""
    await service.publish("quotes.A", 1)
    body = {"channels": ["quotes.*"], "snapshot": False}
    async with service.session.post(service.url("/v1/ndjson"), json=body) as response:
        opening = await Lines(response).read_until("snapshot_end")

    assert [line["event"] for line in opening] == ["subscribed", "snapshot_end"]
    assert opening[0]["channels"][0]["snapshot"] == "none"


async def test_a_cut_reader_goes_on_at_its_last_line(service: Live) -> None:
    """Each lossless line carries the cursor after it."""
    async with service.ndjson("channels=trades.A") as lines:
        await lines.read_until("snapshot_end")
        for number in range(5):
            await service.publish("trades.A", number)
        seen = await lines.updates(3)
    await service.publish("trades.A", 5)

    async with service.ndjson(f"channels=trades.A&cursor={seen[-1]['cursor']}") as lines:
        rest = await lines.updates(3)

    assert [line["data"] for line in seen + rest] == [0, 1, 2, 3, 4, 5]
    assert rest[0]["prev"] == seen[-1]["seq"]


async def test_a_quiet_stream_beats(make_live: MakeLive) -> None:
    """A heartbeat after heartbeat_s, with a cursor on a lossless feed."""
    service = await make_live(STREAM__HEARTBEAT_S="1")
    async with service.ndjson("channels=trades.A") as lines:
        await lines.read_until("snapshot_end")
        beat = await lines.next()

    assert beat["event"] == "heartbeat"
    assert beat["cursor"].startswith("1~trades.")
