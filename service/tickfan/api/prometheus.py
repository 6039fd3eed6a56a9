"""``/metrics`` on the admin port: the process's counts in Prometheus's text format 0.0.4.

Nothing is counted here: the values are read from the parts when a scrape comes,
so the hot path pays for plain integers only. Must not know who scrapes.
"""

from __future__ import annotations

from collections import Counter
from itertools import product
from typing import TYPE_CHECKING, Protocol

from aiohttp import web
from prometheus_client import (
    CollectorRegistry,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from tickfan.api.accessmetrics import of_access, of_revocations
from tickfan.api.families import by_feed, by_two, histogram, histograms, plain
from tickfan.api.listenermetrics import of_answers, of_tls
from tickfan.api.throttledmetrics import of_throttled
from tickfan.clock import now_ms
from tickfan.core.closing import REASONS
from tickfan.core.errors import POISON_REASONS, REFUSAL_CODES, RESET_REASONS
from tickfan.core.feed import Upstream
from tickfan.ingest import FUTURE_MS
from tickfan.wire.formats import FORMAT_NAMES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping

    from prometheus_client import Metric

    from tickfan.access.gate import Gate
    from tickfan.access.revocationlist import RevocationList
    from tickfan.broker.base import Broker
    from tickfan.core.feed import Feed
    from tickfan.core.feeds import Feeds
    from tickfan.core.tally import Tally
    from tickfan.fanout.directory import Directory
    from tickfan.fanout.pump import Pump
    from tickfan.fanout.slices import Slices
    from tickfan.session.connections import Connections
    from tickfan.transports.answers import Answers
    from tickfan.transports.certificate import Certificate
    from tickfan.wire.base import Encodings

SOCKET_REASONS = ("address_limit", "no_files", "overload")
"""Why a socket is not taken; see :mod:`tickfan.transports.door`."""

UNRECOVERED_REASONS = ("history_lost", "recreated", "unknown_feed")
"""What :meth:`tickfan.core.feed.Feed.why_not` says."""


class Parts(Protocol):
    """What is looked at when a scrape comes."""

    feeds: Feeds
    connections: Connections
    directory: Directory
    pump: Pump
    slices: Slices
    answers: Mapping[str, Answers]
    tally: Tally
    broker: Broker
    certificate: Certificate | None
    encodings: Encodings
    is_simulated: bool
    gate: Gate
    revocations: RevocationList | None

    @property
    def sockets(self) -> Callable[[], int]:
        """How many sockets of the public listener are open."""


def registry(parts: Parts) -> CollectorRegistry:
    """A registry of this service's metrics and its process's."""
    own = CollectorRegistry()
    own.register(ServiceCollector(parts))
    ProcessCollector(registry=own)
    PlatformCollector(registry=own)
    return own


def metrics(registry: CollectorRegistry) -> Callable[[web.Request], Awaitable[web.Response]]:
    """A handler that shows ``registry``."""

    async def handler(_request: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(registry),
            headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
        )

    return handler


class ServiceCollector(Collector):
    """Reads the tally. Labels are feeds, formats and reasons: closed sets all."""

    def __init__(self, parts: Parts) -> None:
        self._of = parts

    def collect(self) -> Iterable[Metric]:
        """The families of one scrape."""
        feeds = list(self._of.feeds.values())
        yield from self._upstream(feeds)
        yield from self._feeds(feeds)
        yield from self._fan_out()
        yield from self._slow()
        yield from self._clients()
        yield from self._requests(feeds)
        yield from self._losses(feeds)
        yield from of_access(self._of.gate)
        if self._of.revocations is not None:
            yield from of_revocations(self._of.revocations)
        yield from of_answers(self._of.answers)
        yield from of_tls(self._of.certificate, self._of.tally.handshakes)

    def _upstream(self, feeds: list[Feed]) -> Iterator[Metric]:
        tally = self._of.tally
        yield by_feed("tickfan_messages_in", "Messages from the broker", tally.messages_in, feeds)
        yield by_feed("tickfan_updates_in", "Updates in those messages", tally.updates_in, feeds)
        yield by_feed(
            "tickfan_updates_conflated",
            "Updates replaced by a newer one before any tick could send them",
            tally.conflated,
            feeds,
        )
        yield histograms(
            "tickfan_upstream_lag_seconds",
            "Time from a message's ts, if its publisher gave one, to its receipt",
            "feed",
            {feed.name: tally.upstream_lag[feed.name] for feed in feeds},
        )
        yield by_feed(
            "tickfan_updates_from_future",
            f"Updates with a ts of more than {FUTURE_MS} ms ahead of this replica's clock",
            tally.from_future,
            feeds,
        )

    def _feeds(self, feeds: list[Feed]) -> Iterator[Metric]:
        yield by_two(
            "tickfan_feed_changes",
            "How often a feed's source became live, or stale",
            ("feed", "state"),
            self._of.tally.feed_changes,
            product((feed.name for feed in feeds), (Upstream.LIVE.value, Upstream.STALE.value)),
        )
        state = GaugeMetricFamily(
            "tickfan_feed_live", "1 if the feed's source is being read", labels=("feed",)
        )
        channels = GaugeMetricFamily("tickfan_channels", "Channels with a value", labels=("feed",))
        kept = GaugeMetricFamily("tickfan_history_bytes", "Bytes of history", labels=("feed",))
        for feed in feeds:
            state.add_metric((feed.name,), feed.upstream is Upstream.LIVE)
            channels.add_metric((feed.name,), len(feed.channels))
            kept.add_metric((feed.name,), feed.history.size)
        yield from (state, channels, kept)
        health = self._of.broker.health()
        yield by_feed(
            "tickfan_unbound",
            "How often a feed's exchange was gone while the feed used it",
            health.unbound,
            feeds,
        )
        yield GaugeMetricFamily(
            "tickfan_broker_blocked", "1 if RabbitMQ takes none of our messages", health.is_blocked
        )
        yield GaugeMetricFamily(
            "tickfan_simulated_market", "1 if the prices are invented", self._of.is_simulated
        )

    def _fan_out(self) -> Iterator[Metric]:
        tally, encodings = self._of.tally, self._of.encodings
        yield plain("tickfan_updates_out", "Updates written to clients", tally.updates_out)
        yield plain("tickfan_writes", "Writes of updates to clients", tally.writes)
        yield plain("tickfan_sent_bytes", "Bytes of updates written to clients", tally.bytes_out)
        yield plain("tickfan_parkings", "How often a client left the shared path", tally.parked)
        encoded = CounterMetricFamily("tickfan_encodings", "Updates encoded", labels=("encoder",))
        encoded.add_metric(("json_object",), encodings.json_objects)
        encoded.add_metric(("json_row",), encodings.json_rows)
        encoded.add_metric(("msgpack_row",), encodings.msgpack_rows)
        yield encoded
        yield GaugeMetricFamily("tickfan_audiences", "Audiences", value=len(self._of.directory))
        yield histograms(
            "tickfan_delivery_age_seconds",
            "Time from the publisher's ts to the write, on the shared path",
            "delivery",
            {"conflated": tally.conflated_age, "lossless": tally.lossless_age},
        )
        yield histogram(
            "tickfan_loop_lag_seconds", "How long a timer that was due had to wait", tally.loop_lag
        )
        yield GaugeMetricFamily(
            "tickfan_slice_longest_seconds",
            "Longest time for which writing has held the event loop",
            value=self._of.slices.longest_s,
        )

    def _slow(self) -> Iterator[Metric]:
        # There may be as many as connections: what costs is done once.
        backlogs = [parked.backlog for parked in self._of.pump if parked.backlog is not None]
        queues = [backlog.queue for backlog in backlogs if backlog.queue]
        now = now_ms()
        oldest = min((next(iter(queue)).ts for queue in queues), default=now)
        yield GaugeMetricFamily("tickfan_parked", "Clients off the shared path", len(self._of.pump))
        yield GaugeMetricFamily(
            "tickfan_slow_subscribers",
            "Clients that have not taken what was last written to them",
            sum(each.stuck_bytes > 0 for each in backlogs),
        )
        backlog = GaugeMetricFamily(
            "tickfan_backlog_updates", "Updates that wait for slow clients", labels=("delivery",)
        )
        backlog.add_metric(("conflated",), sum(len(each.marks) for each in backlogs))
        backlog.add_metric(("lossless",), sum(len(queue) for queue in queues))
        yield backlog
        yield GaugeMetricFamily(
            "tickfan_backlog_bytes",
            "Bytes of lossless updates that wait for slow clients",
            sum(queue.size for queue in queues),
        )
        yield GaugeMetricFamily(
            "tickfan_backlog_age_seconds",
            "Age of the oldest lossless update that waits for a slow client, by its ts",
            max(0.0, now - oldest) / 1000,
        )

    def _clients(self) -> Iterator[Metric]:
        tally = self._of.tally
        now = Counter(connection.subscriber.format.name for connection in self._of.connections)
        connections = GaugeMetricFamily(
            "tickfan_connections", "Open connections", labels=("format",)
        )
        connects = CounterMetricFamily(
            "tickfan_connects", "Connections that were accepted", labels=("format",)
        )
        for name in FORMAT_NAMES:
            connects.add_metric((name,), tally.connects[name])
            connections.add_metric((name,), now[name])
        resumes = CounterMetricFamily("tickfan_resumes", "Resumes asked for", labels=("recovered",))
        abandoned = CounterMetricFamily(
            "tickfan_abandoned", "Clients that left before their first update", labels=("format",)
        )
        for name in FORMAT_NAMES:
            abandoned.add_metric((name,), tally.abandoned[name])
        for recovered in (True, False):
            resumes.add_metric((str(recovered).lower(),), tally.resumes[recovered])
        yield from (connections, connects, resumes, abandoned)
        yield by_two(
            "tickfan_closes",
            "Connections ended",
            ("format", "reason"),
            tally.closes,
            product(FORMAT_NAMES, REASONS),
        )
        yield histogram(
            "tickfan_first_update_seconds",
            "Time from the connect to the first update, snapshots included",
            tally.first_update,
        )
        yield histograms(
            "tickfan_stream_duration_seconds",
            "How long connections lasted that have ended",
            "format",
            {name: tally.durations[name] for name in FORMAT_NAMES},
        )

    def _requests(self, feeds: list[Feed]) -> Iterator[Metric]:
        tally = self._of.tally
        yield by_feed(
            "tickfan_published", "Updates published over HTTP, confirmed", tally.published, feeds
        )
        refusals = CounterMetricFamily(
            "tickfan_refusals", "Requests and commands refused", labels=("code",)
        )
        for code in REFUSAL_CODES:
            refusals.add_metric((code,), tally.refusals[code])
        yield refusals
        yield GaugeMetricFamily(
            "tickfan_sockets", "Open sockets of the public listener", self._of.sockets()
        )
        sockets = CounterMetricFamily(
            "tickfan_sockets_refused",
            "Sockets refused before any request was read",
            labels=("reason",),
        )
        for reason in SOCKET_REASONS:
            sockets.add_metric((reason,), tally.sockets_refused[reason])
        yield sockets
        yield from of_throttled(tally)

    def _losses(self, feeds: list[Feed]) -> Iterator[Metric]:
        tally = self._of.tally
        lossless = [feed.name for feed in feeds if feed.is_lossless]
        labels = ("feed", "reason")
        yield by_feed("tickfan_gaps", "Gaps told on lossless feeds", tally.gaps, feeds)
        yield by_two(
            "tickfan_poison",
            "Refused updates",
            labels,
            tally.poison,
            product((feed.name for feed in feeds), POISON_REASONS),
        )
        yield by_two(
            "tickfan_resets",
            "Streams that began anew",
            labels,
            tally.resets,
            product(lossless, RESET_REASONS),
        )
        yield by_two(
            "tickfan_unrecovered",
            "Cursors that could not be continued: clients that were told so and began anew",
            labels,
            tally.unrecovered,
            product(lossless, UNRECOVERED_REASONS),
        )
