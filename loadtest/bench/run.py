"""A shape with all its servers, one after the other, in the same run.

Must not know how results are shown.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from loadtest.bench.load import LoadSpec
from loadtest.bench.machine import Child, Cores, Shares, cpu_s, prefer
from loadtest.bench.peers import nchan, nodejs, webstomp
from loadtest.bench.steady import Row, Span, Steady
from loadtest.bench.subject import ON_ASYNCIO
from loadtest.bench.targets import naive, nchan_of, ours, stomp, ws_on_node

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from loadtest.bench.shapes import Shape
    from loadtest.bench.steady import Target
    from loadtest.rig.rabbitmq import RabbitNode

RAW_S = 3.0


def absent() -> dict[str, str]:
    """The peers that cannot be run here, each with the reason."""
    reasons = {"nchan": nchan.missing(), "ws": nodejs.missing(), "stomp": webstomp.missing()}
    return {peer: reason for peer, reason in reasons.items() if reason}


def versions(without: Mapping[str, str]) -> dict[str, str]:
    """The versions of the peers that are run."""
    known = {"nginx with nchan": ("nchan", nchan.version), "ws": ("ws", nodejs.version)}
    return {name: version() for name, (peer, version) in known.items() if peer not in without}


@dataclass
class Bench:
    """What all runs share. ``say`` shows progress, ``absent`` are peers to leave out.

    ``quick``: peers in A only, as most of them do not hold more. ``tls``: our rows with
    TLS, too.
    """

    directory: Path
    node: RabbitNode
    broker_pid: int
    cores: Cores
    span: Span
    repeat: int
    alone: bool
    say: Callable[[str], None]
    absent: Mapping[str, str] = field(default_factory=dict)
    quick: bool = False
    tls: bool = False

    def shape(self, shape: Shape) -> list[Row]:
        """All rows of a steady shape: ours, the peers that are installed, the limit."""
        wires = ("rows", "sse") if shape.sse else ("rows",)
        ways = (False, True) if self.tls else (False,)
        rows = [self._best(shape, wire, tls=tls) for wire in wires for tls in ways]
        if self.alone:
            return rows
        measures = {
            "asyncio": self._asyncio, "nchan": self._nchan, "ws": self.ws, "stomp": self.stomp,
            "naive": self._naive,
        }  # fmt: skip
        for peer, measure in measures.items():
            if self.quick and shape.name != "A":
                break
            if peer in shape.peers and peer not in self.absent:
                rows += self.tried(shape, peer, measure)
        if "raw" in shape.peers:
            for row in [row for row in rows if row.server.startswith("tickfan")]:
                self._raw(row)
        return rows

    def _best(self, shape: Shape, wire: str, *, tls: bool) -> Row:
        """Of ``repeat`` runs, the one that other programs have disturbed least."""
        rows = [self._row(shape, ours(self, shape, wire, tls=tls)) for _ in range(self.repeat)]
        best = min(rows, key=lambda row: row.parts["others"])
        best.extra["cpu_us_of_runs"] = [round(row.cpu_us or 0, 4) for row in rows]
        best.extra["p99_ms_of_runs"] = [row.p99_ms for row in rows]
        best.extra["checked_of_runs"] = [row.checked for row in rows]
        if any(row.checked != "ok" for row in rows):
            best.checked = "; ".join(sorted({row.checked for row in rows} - {"ok"}))
        return best

    def _asyncio(self, shape: Shape) -> Iterator[Row]:
        yield self._row(shape, ours(self, shape, "rows", name="ours on asyncio", before=ON_ASYNCIO))

    def _row(self, shape: Shape, opening: AbstractContextManager[Target]) -> Row:
        with opening as target:
            self.say(f"{shape.name}: {target.server}")
            return Steady(shape, target, self.cores, self.span).run()

    @staticmethod
    def tried(shape: Shape, peer: str, measure: Callable[[Shape], Iterator[Row]]) -> Iterator[Row]:
        """A peer's rows. One that breaks is shown as broken, and the rest goes on."""
        try:
            yield from measure(shape)
        except (OSError, RuntimeError, AssertionError) as error:  # the last: a RabbitNode's
            yield Row(shape.name, peer, shape.title, checked="failed", extra={"error": str(error)})

    def _nchan(self, shape: Shape) -> Iterator[Row]:
        yield self._row(shape, nchan_of(self, shape, "frames"))
        if shape.sse:
            yield self._row(shape, nchan_of(self, shape, "events"))

    def _naive(self, shape: Shape) -> Iterator[Row]:
        for wire in ("frames", "events"):
            yield self._row(shape, naive(self, shape, wire))

    def ws(self, shape: Shape) -> Iterator[Row]:
        """The row of ws on Node."""
        yield self._row(shape, ws_on_node(self, shape))

    def stomp(self, shape: Shape) -> Iterator[Row]:
        """The row of RabbitMQ's own WebSockets."""
        yield self._row(shape, stomp(self, shape))

    def _raw(self, row: Row) -> None:
        """The same writes (count, size, sockets) by a loop of ``send()``: the limit."""
        self.say(f"{row.shape}: raw send of what {row.server} wrote")
        rate = row.writes_s / row.clients
        arguments = str(row.clients), str(round(row.bytes_write)), str(rate)
        with ExitStack() as stack:
            with self.cores.on_server():
                raw = Child("loadtest.bench.peers.raw", *arguments)
            stack.enter_context(raw)
            prefer(raw.pid)
            port = raw.read()["port"]
            spec = LoadSpec(port, "", "bytes", source="127.0.0.2")
            load = stack.enter_context(Child("loadtest.bench.load", spec.text()))
            load.ask(f"open {row.clients}")
            time.sleep(1)
            shares = Shares({"server": [raw.pid], "clients": [load.pid]})
            shares.start()
            before, cpu = raw.ask("mark"), cpu_s(raw.pid)
            time.sleep(RAW_S)
            after, cpu = raw.ask("mark"), cpu_s(raw.pid) - cpu
            writes = after["writes"] - before["writes"]
        if not writes or not row.cpu_us:
            return
        per_write = row.out_per_s / row.writes_s
        raw_us = cpu * 1e6 / writes / per_write
        row.extra["raw_us"] = raw_us
        row.extra["raw_us_write"] = cpu * 1e6 / writes
        row.of_raw = row.cpu_us / raw_us if raw_us else None
