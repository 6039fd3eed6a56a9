"""One steady shape: warm up, measure, settle, check.

Must not know which shapes there are, nor how results are shown.
"""

from __future__ import annotations

import json
import time
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from loadtest.bench.greeting import SUBSCRIBING
from loadtest.bench.histogram import Histogram
from loadtest.bench.load import LoadSpec
from loadtest.bench.machine import Child, Probe, Shares, cpu_s, prefer, rss_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadtest.bench.machine import Cores
    from loadtest.bench.publish import PublishSpec
    from loadtest.bench.shapes import Shape
    from loadtest.rig.process import ServiceProcess

SETTLE_S = 15.0
STILL_S = 0.7
LOAD_SPAN = 2500
"""Clients of one load process: its sample must be served in time."""


@dataclass(frozen=True)
class Span:
    """How long: seconds of warm-up and of measuring.

    ``settle_s``: how long a peer may take to deliver the rest.
    """

    warm_s: float
    measure_s: float
    settle_s: float = SETTLE_S


@dataclass
class Row:
    """One line of the result."""

    shape: str
    server: str
    title: str
    clients: int = 0
    in_per_s: float = 0.0
    out_per_s: float = 0.0
    cpu_us: float | None = None
    core: float = 0.0
    parts: dict[str, float] = field(default_factory=dict)
    p50_ms: float | None = None
    p99_ms: float | None = None
    p999_ms: float | None = None
    kb_s_client: float = 0.0
    bytes_write: float = 0.0
    writes_s: float = 0.0
    rss_mb: float = 0.0
    slice_ms: float | None = None
    livez_ms: float | None = None
    backlog: tuple[int, int] = (0, 0)
    checked: str = ""
    of_nchan: float | None = None
    of_raw: float | None = None
    ages: list[tuple[int, int]] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For the JSON file."""
        return asdict(self)


@dataclass
class Target:
    """A server to measure: where clients connect, and whose time counts."""

    server: str
    pid: int
    port: int
    path: str
    wire: str
    publish: PublishSpec
    service: ServiceProcess | None = None
    broker_pid: int | None = None
    tls: bool = False


class Steady:
    """One run of one shape against one server."""

    def __init__(self, shape: Shape, target: Target, cores: Cores, span: Span) -> None:
        self._shape = shape
        self._target = target
        self._cores = cores
        self._span = span
        self._loads: list[Child] = []
        self._publisher: Child
        self._extra: dict[str, Any] = {}
        self._had_in = self._due_in = 0

    def run(self) -> Row:
        """Measure once. Raises :class:`RuntimeError` when a part of the load has failed."""
        with self.opened():
            row = self.turn()
            self.check(row)
            return row

    @contextmanager
    def opened(self) -> Iterator[None]:
        """All clients are connected inside, and nothing is published yet."""
        start_mb = rss_bytes(self._target.pid) / 2**20
        with ExitStack() as stack:
            connect_s = self._connect(stack)
            self._publisher = stack.enter_context(
                Child("loadtest.bench.publish", self._target.publish.text())
            )
            self._publisher.read()
            prefer(self._publisher.pid)
            self._had_in = self._taken_in()
            self._extra = {"connect_s": round(connect_s, 2), "start_mb": round(start_mb, 1)}
            yield

    def turn(self) -> Row:
        """Publish, and measure after the warm-up. Afterwards nothing is published any more."""
        self._publisher.tell("go")
        time.sleep(self._span.warm_s)
        row = self._measure(self._publisher)
        is_ours = self._target.service is not None
        published = self._publisher.ask("pause")["updates"]
        self._due_in = self._had_in + published if is_ours else 0
        row.extra |= self._extra
        return row

    def settle(self, still_s: float = STILL_S) -> None:
        """Wait until ours has taken in all, and nothing has come for so long.

        A busy machine may deliver nothing for a while, with much still in RabbitMQ.
        """
        is_ours = self._target.service is not None
        deadline = time.monotonic() + (SETTLE_S if is_ours else self._span.settle_s)
        while self._taken_in() < self._due_in and time.monotonic() < deadline:
            time.sleep(still_s)
        self._mark()
        while time.monotonic() < deadline:
            time.sleep(still_s)
            if not self._mark()["updates"]:
                break

    def _taken_in(self) -> int:
        """The updates that ours has taken in; 0 of a peer, which does not say."""
        service = self._target.service
        if service is None:
            return 0
        return sum(feed["updates_in"] for feed in service.stats()["feeds"].values())

    def _connect(self, stack: ExitStack) -> float:
        """Open all clients, those that decode evenly spread among the others.

        A flush serves them in the order in which they came.
        """
        shape = self._shape
        bulk = [self._load(stack, seed) for seed in range(-(-shape.clients // LOAD_SPAN))]
        self._loads = bulk
        decoding = shape.decode if self._target.wire != "bytes" else 0
        if not decoding:
            return sum(self._open(load, shape.clients // len(bulk)) for load in bulk)
        sample = self._load(stack, len(bulk), decode=True)
        self._loads = [*bulk, sample]
        took = 0.0
        for index in range(decoding):
            of = shape.clients - decoding
            count = of * (index + 1) // decoding - of * index // decoding
            if count:
                took += self._open(bulk[index * len(bulk) // decoding], count)
            took += self._open(sample, 1)
        return took

    @staticmethod
    def _open(load: Child, count: int) -> float:
        return float(load.ask(f"open {count}")["connect_s"])

    def _load(self, stack: ExitStack, seed: int, *, decode: bool = False) -> Child:
        shape, target = self._shape, self._target
        names = target.wire in SUBSCRIBING
        spec = LoadSpec(
            target.port, target.path, target.wire,
            decode=decode,
            lossless=shape.lossless,
            channels=(list(shape.subscribe) or shape.channels) if names else [],
            each=shape.each if names else 0,
            layouts=shape.layouts,
            interval_ms=shape.interval_ms,
            tls=target.tls,
            source=f"127.0.0.{seed + 2}",
            seed=seed,
        )  # fmt: skip
        return stack.enter_context(Child("loadtest.bench.load", spec.text()))

    def _pids(self, publisher: Child) -> dict[str, list[int]]:
        broker = self._target.broker_pid
        return {
            "server": [self._target.pid],
            "clients": [load.pid for load in self._loads],
            "publisher": [publisher.pid],
            "broker": [broker] if broker is not None else [],
        }

    def _mark(self) -> dict[str, Any]:
        """What all clients got since the last mark."""
        for load in self._loads:
            load.tell("mark")
        answers = [load.read() for load in self._loads]
        ages = Histogram()
        for answer in answers:
            ages.merge(Histogram.from_pairs(answer["ages"]))
        sums: dict[str, Any] = {
            name: sum(answer[name] for answer in answers)
            for name in ("updates", "bytes", "total", "lost")
        }
        return {**sums, "ages": ages}

    def _backlog(self, published: int, total: int) -> int:
        """Deliveries that are due and have not come (lossless only)."""
        shape = self._shape
        if not shape.lossless:
            return 0
        share = shape.each / len(shape.channels) if shape.each else 1
        return round(published * shape.clients * share) - total

    def _measure(self, publisher: Child) -> Row:
        shape, target = self._shape, self._target
        service = target.service
        probe = Probe(service.admin_port) if service else None
        if probe:
            probe.start()
        shares = Shares(self._pids(publisher))
        before = publisher.ask("mark")
        start = self._mark()
        stats = service.stats() if service else {}
        cpu, began = cpu_s(target.pid), time.perf_counter()
        shares.start()
        time.sleep(self._span.measure_s)
        cpu, took = cpu_s(target.pid) - cpu, time.perf_counter() - began
        parts = shares.end()
        now = service.stats() if service else {}
        got = self._mark()
        after = publisher.ask("mark")
        longest_ms = probe.end() if probe else None
        ages: Histogram = got["ages"]
        writes = (now["writes"] - stats["writes"]) if service else 0
        return Row(
            shape.name, target.server, shape.title,
            clients=shape.clients,
            in_per_s=(after["updates"] - before["updates"]) / took,
            out_per_s=got["updates"] / took,
            cpu_us=cpu * 1e6 / got["updates"] if got["updates"] else None,
            core=cpu / took,
            parts=parts,
            p50_ms=ages.percentile_ms(0.5),
            p99_ms=ages.percentile_ms(0.99),
            p999_ms=ages.percentile_ms(0.999),
            kb_s_client=got["bytes"] / took / shape.clients / 1000,
            bytes_write=got["bytes"] / writes if writes else 0,
            writes_s=writes / took,
            rss_mb=rss_bytes(target.pid) / 2**20,
            slice_ms=now.get("longest_slice_ms"),
            livez_ms=longest_ms,
            backlog=(
                self._backlog(before["updates"], start["total"]),
                self._backlog(after["updates"], got["total"]),
            ),
            ages=ages.as_pairs(),
            extra={
                "publisher_behind_ms": round(after["behind_s"] * 1000, 1),
                "audiences": now.get("audiences"),
            },
        )  # fmt: skip

    def check(self, row: Row) -> None:
        """Settle, then compare what came with what was published. Ends the publisher."""
        end = self._publisher.ask("stop")
        self.settle()
        final = json.dumps(end.get("final", {}))
        answers = [load.ask(f"finish {final}") for load in self._loads]
        wrong: dict[str, int] = {}
        for answer in answers:
            for what, count in answer["wrong"].items():
                wrong[what] = wrong.get(what, 0) + count
        lost = sum(answer["lost"] for answer in answers)
        if lost:
            wrong["connections lost"] = lost
        if self._shape.lossless and not self._shape.each and self._target.wire != "bytes":
            least = min(answer["least"] for answer in answers)
            most = max(answer["most"] for answer in answers)
            if (least, most) != (end["updates"], end["updates"]):
                wrong[f"counts {least}..{most} of {end['updates']}"] = 1
        decoded = sum(answer["decoded"] for answer in answers)
        row.extra["decoded"] = decoded
        row.extra["wrong"] = wrong
        row.checked = "ok" if not wrong else ", ".join(f"{k}: {v}" for k, v in wrong.items())
