"""Which answers are compressed, and for whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tickfan.api.compression import takes_gzip

if TYPE_CHECKING:
    from tests.support.live import Live


@pytest.mark.parametrize(
    ("accepts", "does"),
    [
        ("gzip", True),
        ("gzip, deflate, br, zstd", True),  # what browsers say
        ("br, GZip;q=0.5", True),
        ("gzip;q=0", False),
        ("deflate, gzip ; q=0.000", False),
        ("deflate", False),
        ("identity", False),
        ("xgzip", False),
        ("", False),
        (",;,gzip;q=0.001", True),
    ],
)
async def test_a_large_answer_is_gzipped_for_who_takes_it(
    service: Live, accepts: str, does: bool
) -> None:
    """From a packet's size on; a small one and a stream come as they are."""
    assert takes_gzip(accepts) is does
    for index in range(200):
        await service.publish(f"trades.C{index}", index)

    async def encoding(path: str) -> str | None:
        headers = {"Accept-Encoding": accepts}
        async with service.session.get(service.url(path), headers=headers) as answer:
            assert answer.status == 200
            if path == "/v1/channels":
                assert len((await answer.json())["channels"]) == 200
                assert answer.headers["Vary"] == "Accept-Encoding"
            return answer.headers.get("Content-Encoding")

    for path in ("/v1/channels", "/static/app.js"):
        assert await encoding(path) == ("gzip" if does else None)
    for path in ("/v1/channels/trades.C1", "/static/icon.svg"):
        assert await encoding(path) is None
    for path in ("/v1/ndjson?channels=trades.C1", "/v1/sse?channels=trades.C1"):
        assert await encoding(path) is None


async def test_metrics_are_gzipped_for_prometheus(service: Live) -> None:
    """Tens of kilobytes every few seconds, which shrink to a tenth."""
    headers = {"Accept-Encoding": "gzip"}
    async with service.admin.get("/metrics", headers=headers) as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
        assert "tickfan_connections" in await answer.text()
