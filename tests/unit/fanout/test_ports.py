"""tickfan.fanout.ports: what a subscriber stands between, held against the real parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.fanout import FakePipe, Fanout, skips_time
from tickfan.transports.line import Line

if TYPE_CHECKING:
    from tickfan.fanout.ports import Lossless, Pipe


def test_the_transport_of_a_socket_is_a_pipe() -> None:
    """The tests' pipe has nothing that the real one lacks."""
    fake: Pipe = FakePipe()
    names = ("send", "write", "get_write_buffer_size")
    assert all(hasattr(Line, name) and hasattr(fake, name) for name in names)


@skips_time
async def test_a_queue_has_the_largest_bounds_of_an_audiences_feeds() -> None:
    """Who reads two feeds may owe as much as who reads either."""
    client = (fanout := Fanout()).client("json", "fast", "trades.a", "book.a")
    audience: Lossless | None = client.subscriber.audience
    assert audience is not None
    assert [feed.name for feed in audience.feeds] == ["book", "trades"]
    specs = [fanout.feeds[name].spec for name in ("book", "trades")]
    assert audience.queue().items_max == max(spec.queue_updates_max for spec in specs)
    assert audience.queue().size_max == max(spec.queue_bytes_max for spec in specs)
