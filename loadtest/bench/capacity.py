"""What so many screens take of replicas and of RabbitMQ: a model of one process a core.

Pure arithmetic: figures and a workload in, sizes out. Must not know where the
figures come from, nor how the result is shown.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil
from typing import Any

GROWTH, E, G = '`make bench ARGS="--growth"`', "`… --shapes E`", "`… --shapes G`"
CHECKED_SCREENS = 4000
"""The model is held against a measured point: the last of growth's axis ``screens``."""


def _said(text: str, source: str = "", default: Any = None) -> Any:
    """A number, what it says, and the command that shows it (none: it is assumed)."""
    metadata = {"text": text, "source": source}
    return (
        field(metadata=metadata) if default is None else field(metadata=metadata, default=default)
    )


@dataclass(frozen=True)
class Figures:
    """What was measured. Times are CPU of one core, in microseconds."""

    write_us: float = _said("us of a write whose bytes many share (clients, last row)", GROWTH)
    own_us: float = _said(
        "us of a write of one update that nobody shares (lossless layouts, last)", GROWTH
    )
    update_us: float = _said("us that each further update adds to that (layouts, last)", GROWTH)
    update_bytes: float = _said("bytes of an update in a MessagePack batch (layouts, last)", GROWTH)
    lossless_bytes: float = _said(
        "bytes of a write with one lossless update (lossless layouts, last)", GROWTH
    )
    screen_kib: float = _said(
        "KiB of memory of a client at work, whose subscriptions nobody shares (screens, last)",
        GROWTH,
    )
    screens_core: float = _said("of a core: the last of screens, to hold the model to", GROWTH)
    start_mib: float = _said("MiB of a replica before its first client", GROWTH)
    message_us: float = _said("us to take in a message, without its updates (stream)", G)
    ingest_us: float = _said("us to take in each of its updates (stream, 20 against 1)", G)
    broker_us: float = _said(
        "us of RabbitMQ to hand a message to one replica (20 updates; queue or stream, the worse)",
        G,
    )
    connect_us: float = _said("us to let a client in and subscribe it", E)


@dataclass(frozen=True)
class Workload:
    """What screens show and the market does: assumed, to be replaced by your own."""

    conflated_channels: int = _said("conflated channels of a screen", default=50)
    interval_ms: int = _said("ms between two values of one of them", default=250)
    lossless_channels: int = _said("lossless channels of a screen", default=2)
    flush_ms: int = _said("ms that lossless updates may wait to share a write", default=10)
    team: int = _said("screens that show exactly the same. 1, the worst case: no two do", default=1)
    quotes_per_s: int = _said("updates/s of all conflated channels together", default=20_000)
    quotes_channels: int = _said("channels that share these updates equally", default=10_000)
    trades_per_s: int = _said("updates/s of all lossless channels together", default=2_000)
    trades_channels: int = _said("channels that share these updates equally", default=400)
    per_message: int = _said("updates in a message of RabbitMQ", default=20)
    amqp_bytes: int = _said("bytes of an update between RabbitMQ and a replica", default=130)
    packet_bytes: int = _said("bytes around each write: Ethernet, IP, TCP, TLS", default=90)
    zones: int = _said("zones, of which one may be lost; 1: no reserve", default=3)
    busy_max: float = _said(
        "share of its core that a replica may use while a zone is lost", default=0.8
    )
    connections_max: int = _said(
        "connections of a replica, also while a zone is lost", default=20_000
    )
    feed_mib: int = _said("MiB: `history_bytes_max` and `state_bytes_max` of one feed", default=128)
    slow_share: float = _said("share of all clients that are slow at the same time", default=0.01)
    slow_mib: int = _said("MiB that wait for a slow client", default=4)
    broker_cores: int = _said("cores of a RabbitMQ node", default=8)
    broker_gbit: float = _said("Gbit/s of a RabbitMQ node's network", default=10)
    broker_busy_max: float = _said("share of both that may be used", default=0.6)


@dataclass(frozen=True)
class Screen:
    """What one screen takes in a second."""

    updates: float
    writes: float
    cpu_us: float
    bytes: float


@dataclass(frozen=True)
class Size:
    """What so many screens take. ``busy``: of each replica's core, all zones there.

    ``bound_by`` is why fewer replicas are not enough: the core or the connections of each,
    or that each zone has one.
    """

    screens: int
    replicas: int
    screens_each: int
    bound_by: str
    busy: float
    busy_zone_lost: float
    memory_mib: float
    reconnect_s: float
    clients_gbit: float
    broker_messages: float
    broker_gbit: float
    broker_cores: float
    broker_nodes: int


def screen(figures: Figures, load: Workload) -> Screen:
    """A screen's share. Updates come at random moments: a write opens a window for more."""
    changed = load.quotes_per_s / load.quotes_channels * load.interval_ms / 1000
    batch = load.conflated_channels * min(1.0, changed)
    flushes = min(1.0, batch) * 1000 / load.interval_ms
    conflated = batch * 1000 / load.interval_ms
    trades = load.lossless_channels * load.trades_per_s / load.trades_channels
    together = 1 + trades * load.flush_ms / 1000
    writes = trades / together
    return Screen(
        updates=conflated + trades,
        writes=flushes + writes,
        cpu_us=flushes * _write_us(figures, load, max(1.0, batch))
        + writes * _write_us(figures, load, together),
        bytes=(conflated + trades - writes) * figures.update_bytes
        + writes * figures.lossless_bytes
        + (flushes + writes) * load.packet_bytes,
    )


def _write_us(figures: Figures, load: Workload, updates: float) -> float:
    """A write: a client's own part, and what is done once for all of its team."""
    alone = figures.own_us + (updates - 1) * figures.update_us
    return figures.write_us + max(0.0, alone - figures.write_us) / load.team


def ingest(figures: Figures, load: Workload) -> float:
    """Of a core, in every replica: each reads the whole market."""
    per_s = load.quotes_per_s + load.trades_per_s
    return per_s * (figures.message_us / load.per_message + figures.ingest_us) / 1e6


def screens_max(figures: Figures, load: Workload) -> tuple[int, str]:
    """How many screens a replica may have, and what bounds them.

    Raises :class:`ValueError` where a replica cannot even take the market in.
    """
    base = ingest(figures, load)
    most = int((load.busy_max - base) * 1e6 / screen(figures, load).cpu_us)
    if most < 1:
        raise ValueError(
            f"every replica needs {base:.2f} of its core to take the market in, busy_max is "
            f"{load.busy_max:g}: more updates in a message, or fewer feeds for a replica"
        )
    if most > load.connections_max:
        return load.connections_max, "connections"
    return most, "core"


def market_max(figures: Figures, load: Workload) -> float:
    """Updates/s at which a replica has nothing left for screens."""
    return load.busy_max * 1e6 / (figures.message_us / load.per_message + figures.ingest_us)


def replicas_a_node(figures: Figures, load: Workload) -> int:
    """How many replicas one RabbitMQ node feeds with the whole market."""
    per_s = load.quotes_per_s + load.trades_per_s
    by_cores = load.broker_cores * 1e6 / (per_s / load.per_message * figures.broker_us)
    by_network = load.broker_gbit * 1e9 / (per_s * load.amqp_bytes * 8)
    return int(min(by_cores, by_network) * load.broker_busy_max)


def size(screens: int, figures: Figures, load: Workload) -> Size:
    """What so many screens take. Raises :class:`ValueError` as :func:`screens_max` does."""
    most, bound_by = screens_max(figures, load)
    staying = max(1, load.zones - 1)
    a_zone = ceil(screens / most / staying)
    replicas = a_zone * load.zones
    each, each_lost = screens / replicas, screens / (a_zone * staying)
    base, one = ingest(figures, load), screen(figures, load)
    per_s = replicas * (load.quotes_per_s + load.trades_per_s)
    messages, gbit = per_s / load.per_message, per_s * load.amqp_bytes * 8 / 1e9
    cores = messages * figures.broker_us / 1e6
    nodes = max(cores / load.broker_cores, gbit / load.broker_gbit) / load.broker_busy_max
    waiting_mib = load.slow_share * load.slow_mib
    return Size(
        screens=screens,
        replicas=replicas,
        screens_each=ceil(each),
        bound_by=bound_by if a_zone > 1 else "zones",
        busy=base + each * one.cpu_us / 1e6,
        busy_zone_lost=base + each_lost * one.cpu_us / 1e6,
        memory_mib=figures.start_mib
        + load.feed_mib
        + each_lost * (figures.screen_kib / 1024 + waiting_mib),
        reconnect_s=(each_lost - each) * figures.connect_us / 1e6 / (1 - load.busy_max),
        clients_gbit=screens * one.bytes * 8 / 1e9,
        broker_messages=messages,
        broker_gbit=gbit,
        broker_cores=cores,
        broker_nodes=max(load.zones, ceil(nodes)),
    )
