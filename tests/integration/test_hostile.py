"""Hostile load beside healthy clients, in short: what is counted, and not how long it took."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from loadtest.hostile import attacks
from loadtest.hostile.run import SETTINGS, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadtest.rig.process import ServiceProcess


async def test_healthy_clients_miss_nothing_beside_attackers(
    make_service: Callable[[dict[str, str]], ServiceProcess], amqp: dict[str, str]
) -> None:
    """Each attack was made, some of it was refused by name, and nothing of it is left."""
    if amqp["BROKER__URL"].startswith("amqps"):
        pytest.skip("the publisher of load speaks no TLS")
    service = make_service({**amqp, **SETTINGS}).start()
    figures = await run(
        service, urlsplit(amqp["BROKER__URL"]), amqp["BROKER__EXCHANGE"],
        seconds=6, clients=20, channels=2000, scale=0.1, alone_s=0.5,
    )  # fmt: skip
    assert not figures.broken
    assert figures.seen > 1000
    assert len(figures.done) == len(attacks.ATTACKS), figures.done
    assert any("refusals" in name for name in figures.refused), figures.refused
    assert figures.sockets_left <= 0
    assert figures.tasks_left <= 0
    assert "Traceback" not in service.output
    assert '"level":"error"' not in service.output.replace(" ", "")
