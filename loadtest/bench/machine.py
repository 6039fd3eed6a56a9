"""The machine: its cores, what a process has cost, what versions are at work.

Linux only: it reads /proc. Must not know what is measured.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import ssl
import subprocess
import sys
import threading
import time
from http.client import HTTPConnection, HTTPException
from importlib.metadata import version
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Mapping, Sequence

ANSWER_TIMEOUT_S = 150.0
PROBE_EVERY_S = 0.05
NICE = -8
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class Cores:
    """The server's core, and those of everything else."""

    def __init__(self) -> None:
        allowed = sorted(os.sched_getaffinity(0))
        self.server = {allowed[0]}
        self.load = set(allowed[1:]) or self.server

    @contextlib.contextmanager
    def on_server(self) -> Iterator[None]:
        """What is started inside runs on the server's core, its threads too."""
        os.sched_setaffinity(0, self.server)
        try:
            yield
        finally:
            os.sched_setaffinity(0, self.load)


def cpu_s(pid: int) -> float:
    """User and system time of a process so far, all its threads.

    Of the process's own clock: /proc counts in ticks of 10 ms. The clock's number is
    that of clock_getcpuclockid(3), which Python offers for threads only.
    """
    return time.clock_gettime(~pid << 3 | 2)


def rss_bytes(pid: int) -> int:
    """Resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise ProcessLookupError(pid)


class Shares:
    """What each part of a measurement, and everything else, took of the machine.

    In cores. ``others`` are programs that are no part of it: noise.
    """

    def __init__(self, pids: Mapping[str, list[int]]) -> None:
        self._pids = pids
        self._before: dict[str, float] = {}
        self._began = 0.0

    def start(self) -> None:
        """Begin to count."""
        self._before = self._now()
        self._began = time.perf_counter()

    def end(self) -> dict[str, float]:
        """The shares since :meth:`start`."""
        took = time.perf_counter() - self._began
        now = self._now()
        shares = {part: (now[part] - self._before[part]) / took for part in now}
        shares["others"] -= sum(share for part, share in shares.items() if part != "others")
        return {part: round(share, 3) for part, share in shares.items()}

    def _now(self) -> dict[str, float]:
        used = {part: sum(map(cpu_s, pids)) for part, pids in self._pids.items()}
        # cpu user nice system idle iowait irq softirq steal ... (proc(5), /proc/stat)
        times = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
        busy = sum(int(field) for field in times[:8]) - int(times[3]) - int(times[4])
        return {**used, "others": busy * _TICK_S}


class Child:
    """A helper process that speaks lines of JSON: a module, or what ``runs`` runs."""

    def __init__(
        self,
        module: str,
        *arguments: str,
        runs: Sequence[str] = (sys.executable, "-m"),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._process = subprocess.Popen(  # noqa: S603
            [*runs, module, *arguments],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in: IO[str] = self._process.stdin
        self._out: IO[str] = self._process.stdout
        self.pid = self._process.pid

    def read(self) -> dict[str, Any]:
        """The next line. Raises :class:`RuntimeError` when the process has ended."""
        timer = threading.Timer(ANSWER_TIMEOUT_S, self._process.kill)
        timer.start()
        try:
            line = self._out.readline()
        finally:
            timer.cancel()
        if not line:
            raise RuntimeError(f"{self._process.args!r} has ended: {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def tell(self, line: str) -> None:
        """Write a line."""
        self._in.write(line + "\n")
        self._in.flush()

    def ask(self, line: str) -> dict[str, Any]:
        """Write a line and read the answer."""
        self.tell(line)
        return self.read()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._in.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._out.close()


class Probe(threading.Thread):
    """Asks the service's /livez all the time: what the loop's holds look like outside.

    Over one connection: a new one for each costs the server 0.4 ms, 1 % of what is measured.
    """

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._connection = HTTPConnection("127.0.0.1", port, timeout=10)
        self._ended = threading.Event()
        self.answers_ms: list[float] = []

    def run(self) -> None:
        """Ask until :meth:`end`."""
        while not self._ended.wait(PROBE_EVERY_S):
            began = time.perf_counter()
            try:
                self._connection.request("GET", "/livez")
                self._connection.getresponse().read()
            except (OSError, HTTPException):
                self._connection.close()  # the next request opens it again
            self.answers_ms.append((time.perf_counter() - began) * 1000)
        self._connection.close()

    def end(self) -> float | None:
        """Stop; the longest answer in ms."""
        self._ended.set()
        self.join(15)
        return max(self.answers_ms, default=None)


_ANYBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_ANYBODY.check_hostname, _ANYBODY.verify_mode = False, ssl.CERT_NONE


def with_tls(sock: socket.socket) -> ssl.SSLSocket:
    """A connected client's socket after the handshake, whatever the certificate."""
    sock.setblocking(True)
    wrapped = _ANYBODY.wrap_socket(sock)
    wrapped.setblocking(False)
    return wrapped


def prefer(pid: int) -> None:
    """Let a process run before those of other people, where that is allowed.

    The load shares its core with the broker; of a shared machine the server
    shares its core with whatever runs there.
    """
    with contextlib.suppress(OSError):
        # Where sessions are scheduled as groups (sched(7), autogroup), a nice
        # value counts only inside of its own.
        Path(f"/proc/{pid}/autogroup").write_text(str(NICE))
    with contextlib.suppress(PermissionError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            os.setpriority(os.PRIO_PROCESS, int(task.name), NICE)


def describe() -> dict[str, str]:
    """What the figures were taken on."""
    cpu = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
            break
    packages = ("aiohttp", "aiohttp-sse", "aio-pika", "aiormq", "msgpack", "orjson", "uvloop")
    return {
        "cpu": f"{cpu}, {os.cpu_count()} cores",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }
