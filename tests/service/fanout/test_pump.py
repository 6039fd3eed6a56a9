"""A client that does not read, on a real socket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from loadtest.rig.waiting import until
from tickfan.fanout.serving import STEP_BYTES
from tickfan.fanout.subscriber import Phase

if TYPE_CHECKING:
    from tests.support.fixtures import MakeLive


SIZE = 50_000


async def test_a_real_socket_that_is_not_read_holds_little_and_harms_nobody(
    make_live: MakeLive, over: dict[str, str]
) -> None:
    """Over TCP, and TLS: bounded on our side, one mark a channel, the newest value at the end."""
    service = await make_live(**over)
    async with (
        service.ndjson("channels=quotes.%23") as stalled,
        service.ndjson("channels=quotes.fast") as fast,
    ):
        await stalled.read_until("snapshot_end")
        await fast.read_until("snapshot_end")
        (slow,) = (
            one.subscriber for one in service.service.connections if "quotes.#" in one.grants
        )
        connection = stalled.response.connection
        assert connection is not None
        transport: Any = connection.transport
        transport.pause_reading()
        peak = count = 0
        while slow.backlog is None or len(slow.backlog.marks) < 20:
            for index in range(20):
                await service.publish(f"quotes.{index}", [count, "x" * SIZE])
            count += 1
            await service.publish("quotes.fast", count)
            (update,) = await fast.updates(1)
            assert update["data"] == count
            peak = max(peak, slow.pipe.get_write_buffer_size())
            assert count < 100, "the client was never slow"
        for index in range(20):
            await service.publish(f"quotes.{index}", "newest")
        assert slow.backlog is None or len(slow.backlog.marks) <= 21
        assert peak <= 2 * STEP_BYTES + SIZE
        assert slow.ended is None
        transport.resume_reading()
        newest: set[str] = set()
        while len(newest) < 20:
            (update,) = await stalled.updates(1)
            if update["data"] == "newest":
                newest.add(update["channel"])
        await until(lambda: slow.phase is Phase.SHARED)
