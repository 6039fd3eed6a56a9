"""A proxy in front of replicas, as a process: what nginx and HAProxy share.

Must not know which it is, nor what is tested.
"""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol, Self

from loadtest.rig.rabbitmq import free_port

if TYPE_CHECKING:
    import signal
    from collections.abc import Sequence

START_TIMEOUT_S = 10


class Replica(Protocol):
    """Where a replica is."""

    @property
    def port(self) -> int: ...

    @property
    def admin_port(self) -> int: ...


class Ports(NamedTuple):
    """The ports of what stands for a replica."""

    port: int
    admin_port: int


class FrontProxy:
    """A proxy in front of two replicas, while inside, on a ``port`` of its own."""

    RELOADS: ClassVar[signal.Signals]
    """What makes it read its configuration again."""

    def __init__(
        self, directory: Path, replicas: Sequence[Replica], *, idle_timeout_s: int | None = None
    ) -> None:
        """``idle_timeout_s`` shortens the time-outs; else they are the configuration's."""
        self.port = free_port()
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self._command = self.prepare(replicas, idle_timeout_s)

    def prepare(self, replicas: Sequence[Replica], idle_timeout_s: int | None) -> list[str]:
        """Write the configuration; the command that runs it in the foreground."""
        raise NotImplementedError

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def workers(self) -> set[int]:
        """The processes that serve, also those that a reload has left behind."""
        assert self._process is not None
        pid = self._process.pid
        return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))

    def reload(self) -> None:
        """Read the configuration again, as its service does; new workers come, see there."""
        assert self._process is not None
        self._process.send_signal(self.RELOADS)

    def restart(self) -> None:
        """Stop it, which cuts everybody, and start it again."""
        self.__exit__()
        self.__enter__()

    def __enter__(self) -> Self:
        log = self._directory / f"proxy-{self.port}.log"
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            assert self._process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, f"it does not listen: {log.read_text()}"
            time.sleep(0.02)

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(10)
