"""A proxy in front of replicas, as a process: what nginx and HAProxy share.

Must not know which it is, nor what is tested.
"""

from __future__ import annotations

import socket
import subprocess
import time
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self

from loadtest.rig.rabbitmq import free_port

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

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
