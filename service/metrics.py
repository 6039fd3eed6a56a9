"""``/metrics``: the process's counts in Prometheus's text format.

Nothing is counted here: the values are read from the hub when a scrape comes,
so the hot path pays for plain integers only. Must not know who scrapes.
"""

from __future__ import annotations

from collections import Counter
from itertools import product
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from service.core.closing import REASONS
from service.core.errors import POISON_REASONS, RESET_REASONS
from service.wire.formats import FORMAT_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prometheus_client import Metric

    from service.connections import Connections
    from service.core.feed import Feed
    from service.hub import Hub
    from service.wire.base import Encodings


def registry(hub: Hub, connections: Connections, encodings: Encodings) -> CollectorRegistry:
    """A registry of this service's metrics and its process's."""
    own = CollectorRegistry()
    own.register(HubCollector(hub, connections, encodings))
    ProcessCollector(registry=own)
    PlatformCollector(registry=own)
    return own


class HubCollector(Collector):
    """Reads the tally. Labels are feeds, formats and reasons: closed sets all."""

    def __init__(self, hub: Hub, connections: Connections, encodings: Encodings) -> None:
        self._hub = hub
        self._connections = connections
        self._encodings = encodings

    def collect(self) -> Iterable[Metric]:
        """The families of one scrape."""
        yield from self._upstream()
        yield from self._fan_out()
        yield from self._clients()

    def _upstream(self) -> Iterator[Metric]:
        tally, feeds = self._hub.tally, list(self._hub.feeds.values())
        yield _by_feed("tickfan_messages_in", "Messages from the broker", tally.messages_in, feeds)
        yield _by_feed("tickfan_updates_in", "Updates in those messages", tally.updates_in, feeds)
        yield _by_feed(
            "tickfan_updates_conflated",
            "Updates replaced by a newer one before any tick could send them",
            tally.folded,
            feeds,
        )
        yield _by_feed("tickfan_gaps", "Gaps told on lossless feeds", tally.gaps, feeds)
        yield _by_reason(
            "tickfan_poison",
            "Refused updates",
            "feed",
            tally.poison,
            product((feed.name for feed in feeds), POISON_REASONS),
        )
        yield _by_reason(
            "tickfan_resets",
            "Streams that went on anew",
            "feed",
            tally.resets,
            product((feed.name for feed in feeds if feed.is_lossless), RESET_REASONS),
        )
        state = GaugeMetricFamily(
            "tickfan_feed_live", "1 if the feed's source is being read", labels=("feed",)
        )
        channels = GaugeMetricFamily("tickfan_channels", "Channels with a value", labels=("feed",))
        kept = GaugeMetricFamily("tickfan_history_bytes", "Bytes of history", labels=("feed",))
        for feed in feeds:
            state.add_metric((feed.name,), feed.upstream.value == "live")
            channels.add_metric((feed.name,), len(feed.channels))
            kept.add_metric((feed.name,), feed.history.size)
        yield from (state, channels, kept)

    def _fan_out(self) -> Iterator[Metric]:
        tally, encodings = self._hub.tally, self._encodings
        yield _plain("tickfan_updates_out", "Updates written to clients", tally.updates_out)
        yield _plain("tickfan_writes", "Writes of updates to clients", tally.writes)
        yield _plain("tickfan_sent_bytes", "Bytes written on the shared path", tally.bytes_out)
        yield _plain("tickfan_parkings", "Times a client left the shared path", tally.parked)
        encoded = CounterMetricFamily("tickfan_encodings", "Updates encoded", labels=("encoder",))
        encoded.add_metric(("json_object",), encodings.json_objects)
        encoded.add_metric(("json_row",), encodings.json_rows)
        encoded.add_metric(("msgpack_row",), encodings.msgpack_rows)
        yield encoded
        yield GaugeMetricFamily("tickfan_audiences", "Audiences", value=len(self._hub.directory))
        yield GaugeMetricFamily(
            "tickfan_parked", "Clients off the shared path", len(self._hub.pump)
        )
        yield GaugeMetricFamily(
            "tickfan_slice_longest_seconds",
            "Longest time that writing has held the event loop",
            value=self._hub.slices.longest_s,
        )

    def _clients(self) -> Iterator[Metric]:
        tally = self._hub.tally
        now = Counter(connection.subscriber.format.name for connection in self._connections)
        connections = GaugeMetricFamily(
            "tickfan_connections", "Open connections", labels=("format",)
        )
        connects = CounterMetricFamily(
            "tickfan_connects", "Connections that were taken in", labels=("format",)
        )
        for name, count in tally.connects.items():
            connects.add_metric((name,), count)
            connections.add_metric((name,), now[name])
        resumes = CounterMetricFamily("tickfan_resumes", "Resumes asked for", labels=("recovered",))
        for recovered in (True, False):
            resumes.add_metric((str(recovered).lower(),), tally.resumes[recovered])
        yield from (connections, connects, resumes)
        yield _by_reason(
            "tickfan_closes",
            "Connections ended",
            "format",
            tally.closes,
            product(FORMAT_NAMES, REASONS),
        )


def _plain(name: str, text: str, value: int) -> Metric:
    return CounterMetricFamily(name, text, value=value)


def _by_feed(name: str, text: str, counts: Counter[str], feeds: Iterable[Feed]) -> Metric:
    family = CounterMetricFamily(name, text, labels=("feed",))
    for feed in feeds:
        family.add_metric((feed.name,), counts[feed.name])
    return family


def _by_reason(
    name: str,
    text: str,
    label: str,
    counts: Counter[tuple[str, str]],
    known: Iterable[tuple[str, str]],
) -> Metric:
    """Counts by ``label`` and reason; the known ones from 0 on.

    A counter that begins with 1 has no increase that a rate could see.
    """
    family = CounterMetricFamily(name, text, labels=(label, "reason"))
    for pair in dict.fromkeys((*known, *counts)):
        family.add_metric(pair, counts[pair])
    return family
