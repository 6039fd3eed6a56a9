"""Shapes that are not a steady load: E (connections), F (stalled clients), G (ingest).

Must not know how results are shown.
"""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loadtest.bench.histogram import Histogram
from loadtest.bench.load import LoadSpec
from loadtest.bench.machine import Child, Shares, cpu_s, rss_bytes
from loadtest.bench.publish import PublishSpec
from loadtest.bench.shapes import TRADE, quotes
from loadtest.bench.subject import EXCHANGE, QUOTES, TRADES, service

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadtest.bench.run import Bench
    from loadtest.rig.process import ServiceProcess

E_CLIENTS = 10_000
E_UPDATES_S = 8
F_HEALTHY, F_SAMPLE, F_STALLED = 980, 20, 100
F_STALL_S = 6.0
G_MESSAGES = 80_000
"""Below the feed's ``length_max``, as they wait in its queue."""
G_POLL_S = 0.05
G_TIMEOUT_S = 60.0


def pid_of(process: ServiceProcess) -> int:
    """The service's process id."""
    assert process.process is not None
    return process.process.pid


@contextmanager
def publishing(spec: PublishSpec) -> Iterator[Child]:
    """A publisher at work."""
    with Child("loadtest.bench.publish", spec.text()) as child:
        child.read()
        child.tell("go")
        yield child


def load(stack: ExitStack, process: ServiceProcess, seed: int, **more: Any) -> Child:
    """A process of load clients, of which none is open yet."""
    spec: dict[str, Any] = {
        "path": "/v1/ws", "wire": "rows", "lossless": False, "seed": seed,
        "source": f"127.0.0.{seed + 2}", **more,
    }  # fmt: skip
    return stack.enter_context(Child("loadtest.bench.load", LoadSpec(process.port, **spec).text()))


def ages(*children: Child) -> Histogram:
    """The ages since the last mark."""
    found = Histogram()
    for child in children:
        found.merge(Histogram.from_pairs(child.ask("mark")["ages"]))
    return found


def connections(bench: Bench, *, tls: bool = False) -> dict[str, object]:
    """E: many connections; what each holds, how fast they come, one update to all."""
    with ExitStack() as stack:
        process = stack.enter_context(
            service(bench.directory, bench.node.url, bench.cores, tls=tls)
        )
        pid = pid_of(process)
        half = E_CLIENTS // 2
        common = {"channels": TRADE, "decode": True, "lossless": True, "tls": tls}
        loads = [
            load(stack, process, 0, **common),
            load(stack, process, 1, path="/v1/sse", wire="sse", **common),
        ]
        time.sleep(1)
        before, cpu, began = rss_bytes(pid), cpu_s(pid), time.monotonic()
        for child in loads:
            child.tell(f"open {half}")
        for child in loads:
            child.read()
        took, cpu = time.monotonic() - began, cpu_s(pid) - cpu
        time.sleep(2)
        idle = rss_bytes(pid)
        at_connect = process.stats()["longest_slice_ms"]
        shares = Shares({"server": [pid], "clients": [child.pid for child in loads]})
        shares.start()
        with publishing(PublishSpec(bench.node.port, TRADE, rate=1)) as publisher:
            time.sleep(E_UPDATES_S)
            publisher.ask("stop")
        time.sleep(1)
        others = shares.end()["others"]
        websocket, sse = ages(loads[0]), ages(loads[1])
        results = [child.ask("finish {}") for child in loads]
        both = Histogram(websocket.buckets)
        both.merge(sse)
        return {
            "connections": E_CLIENTS,
            "connects_per_s": round(E_CLIENTS / took),
            "connects_per_s_of_server_cpu": round(E_CLIENTS / cpu),
            "kb_each_idle": round((idle - before) / E_CLIENTS / 1024, 2),
            "age_p50_ms": both.percentile_ms(0.5),
            "age_p99_ms": both.percentile_ms(0.99),
            "age_p99_ms_websocket": websocket.percentile_ms(0.99),
            "age_p99_ms_sse": sse.percentile_ms(0.99),
            "longest_slice_ms_connecting": at_connect,
            "longest_slice_ms": process.stats()["longest_slice_ms"],
            "received": [(result["least"], result["most"]) for result in results],
            "wrong": [result["wrong"] for result in results],
            "others": others,
        }


def stalled(bench: Bench) -> dict[str, object]:
    """F: a tenth of the clients stops reading; who notices, and what waits for them."""
    channels = quotes(100)
    publish = PublishSpec(bench.node.port, channels, rate=5000, batch=50)
    with ExitStack() as stack:
        process = stack.enter_context(service(bench.directory, bench.node.url, bench.cores))
        common: dict[str, Any] = {"channels": ["quotes.#"], "interval_ms": 100}
        bulk = load(stack, process, 0, **common)
        sample = load(stack, process, 1, decode=True, **common)
        asleep = load(stack, process, 2, decode=True, **common)
        for _ in range(F_SAMPLE):
            bulk.ask(f"open {F_HEALTHY // F_SAMPLE}")
            sample.ask("open 1")
            asleep.ask(f"open {F_STALLED // F_SAMPLE}")
        publisher = stack.enter_context(publishing(publish))
        time.sleep(3)
        ages(sample)
        shares = Shares({"server": [pid_of(process)], "publisher": [publisher.pid],
                         "broker": [bench.broker_pid],
                         "clients": [bulk.pid, sample.pid, asleep.pid]})  # fmt: skip
        time.sleep(F_STALL_S)
        healthy = ages(sample)
        asleep.ask("stall")
        shares.start()
        time.sleep(1)
        ages(sample)
        time.sleep(F_STALL_S)
        beside = ages(sample)
        parts = shares.end()
        there = asleep.ask("unread")
        kernel = kernel_bytes(process.port, set(there["ports"]))
        asleep.ask("wake")
        time.sleep(3)
        final = json.dumps(publisher.ask("stop")["final"])
        time.sleep(1)
        ends = {name: child.ask(f"finish {final}")
                for name, child in (("sample", sample), ("asleep", asleep))}  # fmt: skip
        old: list[int] = ends["asleep"]["old_bytes"]
        ours = [size - unread for size, unread in zip(old, there["unread"], strict=True)]
        return {
            "healthy_p99_ms": healthy.percentile_ms(0.99),
            "beside_stalled_p99_ms": beside.percentile_ms(0.99),
            "old_kb_until_fresh_most": round(max(old) / 1024, 1),
            "in_their_receive_buffer_kb": round(max(there["unread"]) / 1024, 1),
            "on_our_side_kb_most": round(max(ours) / 1024, 1),
            "of_it_in_our_kernel_kb_most": round(max(kernel, default=0) / 1024, 1),
            "wrong": {name: end["wrong"] for name, end in ends.items()},
            "parts": parts,
        }


def kernel_bytes(port: int, peers: set[int]) -> list[int]:
    """The bytes in the send queues of a server's sockets (proc(5), /proc/net/tcp)."""
    found = []
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        local, remote = (int(fields[at].rpartition(":")[2], 16) for at in (1, 2))
        if local == port and remote in peers:
            found.append(int(fields[4].partition(":")[0], 16))
    return found


def ingest(bench: Bench) -> dict[str, object]:
    """G: what waits in RabbitMQ is taken as fast as one process can."""
    many = quotes(1000)
    trades = [f"trades.T{index:04d}" for index in range(1000)]
    return {
        "queue, 1 update a message": queue_ingest(bench, many, 1),
        "queue, 20 updates a message": queue_ingest(bench, many, 20),
        "queue, 100 updates a message": queue_ingest(bench, many, 100),
        "stream at start, 1 update a message": stream_ingest(bench, trades, 1),
        "stream at start, 20 updates a message": stream_ingest(bench, trades, 20),
    }


def queue_ingest(bench: Bench, channels: list[str], batch: int) -> dict[str, object]:
    """The service is stopped while its queue fills, and then goes on."""
    messages = G_MESSAGES if batch < 100 else G_MESSAGES // 8
    with service(bench.directory, bench.node.url, bench.cores) as process:
        pid = pid_of(process)
        os.kill(pid, signal.SIGSTOP)
        try:
            fill(bench, channels, batch, messages)
        finally:
            os.kill(pid, signal.SIGCONT)
        return rate(bench, process, QUOTES, messages, batch)


def stream_ingest(bench: Bench, channels: list[str], batch: int) -> dict[str, object]:
    """A new process reads a stream back."""
    prefix = f"ingest{batch}."
    with service(bench.directory, bench.node.url, bench.cores, prefix=prefix):
        fill(bench, channels, batch, G_MESSAGES)
    with service(
        bench.directory, bench.node.url, bench.cores, prefix=prefix, warm="1h", wait=False
    ) as process:
        return rate(bench, process, TRADES, G_MESSAGES, batch)


def fill(
    bench: Bench, channels: list[str], batch: int, messages: int, exchange: str = EXCHANGE
) -> None:
    """Publish so many messages as fast as RabbitMQ takes them."""
    most = messages * batch
    spec = PublishSpec(bench.node.port, channels, batch=batch, most=most, exchange=exchange)
    with publishing(spec) as publisher:
        while publisher.ask("mark")["updates"] < most:
            time.sleep(0.1)
        publisher.ask("stop")
    time.sleep(0.5)


def rate(  # noqa: PLR0913 - the rest by name
    bench: Bench,
    process: ServiceProcess,
    feed: str,
    messages: int,
    batch: int,
    *,
    had: int = 0,
) -> dict[str, Any]:
    """How fast the service takes what waits for it, from the first it took.

    ``had``: messages that it had taken before. Raises :class:`RuntimeError` if it
    takes too few to tell.
    """
    pid = pid_of(process)
    shares = Shares({"server": [pid], "broker": [bench.broker_pid]})
    began = taken = 0
    start = end = time.monotonic()
    cpu = cpu_s(pid)
    deadline = start + G_TIMEOUT_S
    while taken < messages and end < deadline:
        time.sleep(G_POLL_S)
        try:
            taken = process.stats()["feeds"][feed]["messages_in"] - had
        except OSError:
            continue
        end = time.monotonic()
        if taken and not began:
            began, start, cpu = taken, end, cpu_s(pid)
            shares.start()
    cpu = cpu_s(pid) - cpu
    done = taken - began
    if not done:
        raise RuntimeError(f"{taken} of {messages} messages came, all before the first look")
    return {
        "messages": taken,
        "messages_per_s": round(done / (end - start)),
        "updates_per_s": round(done * batch / (end - start)),
        "cpu_us_a_message": round(cpu * 1e6 / done, 2),
        "cpu_us_an_update": round(cpu * 1e6 / done / batch, 2),
        "parts": shares.end(),
    }
