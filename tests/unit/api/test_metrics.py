"""``/metrics``: the address; what is in it is tested in tests/unit/test_metrics.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from tests.support.live import Live


async def test_a_scrape_is_prometheus_text(service: Live) -> None:
    """The content type that Prometheus asks for, and a text that its parser takes."""
    answer = await service.admin.get("/metrics")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = list(text_string_to_metric_families(await answer.text()))
    assert {"tickfan_feed_live", "process_open_fds", "python_info"} <= {
        family.name for family in families
    }
