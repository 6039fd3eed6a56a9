"""What the banner of `tickfan serve` says of a real RabbitMQ."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadtest.rig.waiting import until
from tests.support.furnished import FANOUT, TOPIC, login

if TYPE_CHECKING:
    from loadtest.rig.rabbitmq import RabbitNode
    from tests.integration.conftest import MakeService


async def test_the_banner_says_what_is_wrong(
    furnished: RabbitNode, make_service: MakeService
) -> None:
    """Where a person looks first. A broker that is well is shown by its address."""
    address = login(furnished, "guest", "hunter2")
    shown = f"127.0.0.1:{furnished.port}/"
    for url, exchange, words in (
        (address, TOPIC, f"not connected: login refused (amqp://guest:***@{shown})"),
        (furnished.url, FANOUT, f"not read: wrong exchange type (amqp://guest:***@{shown})"),
        (furnished.url, "x-banner", f"amqp://guest:***@{shown}"),
    ):
        service = make_service(
            {
                "BROKER__URL": url,
                "BROKER__EXCHANGE": exchange,
                "LOG__FORMAT": "console",
                # Of one feed all is known soon, on a busy machine, too.
                "FEEDS": '[{"name": "quotes", "bind": ["quotes.#"], "delivery": "conflated"}]',
            }
        ).start(wait_ready=False)
        await until(lambda: "Tickfan is up" in service.output)  # noqa: B023
        [line] = [line for line in service.output.splitlines() if line.startswith("broker ")]
        assert line.split(maxsplit=1)[1] == words
        service.kill()
