"""The service as users run it: a process of its own, from the command line.

Must not know what is tested.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any, Self

from loadtest.rig.rabbitmq import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 60.0


class ServiceProcess:
    """``tickfan serve`` with settings from the environment, on ports of its own.

    ``settings`` are variables without their ``TICKFAN_``. Its output goes to a
    file in ``directory`` and is readable as ``output``. ``runs`` is a Python with
    its arguments instead of the command, ``environ`` what else it finds in its environment.
    """

    def __init__(
        self,
        directory: Path,
        settings: Mapping[str, str],
        runs: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._runs = runs or (sys.executable, "-m", "tickfan", "serve")
        self.port = free_port()
        self.admin_port = free_port()
        self._output = directory / f"tickfan-{self.port}.log"
        self._environ = {
            **os.environ,
            **(environ or {}),
            "TICKFAN_HTTP__PORT": str(self.port),
            "TICKFAN_HTTP__ADMIN_PORT": str(self.admin_port),
            # Both are said, as earlier releases have other defaults.
            "TICKFAN_BROKER__URL": "memory://",
            "TICKFAN_MARKET__ENABLED": "false",
            **{f"TICKFAN_{name}": value for name, value in settings.items()},
        }
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return self._output.read_text(errors="replace") if self._output.exists() else ""

    def start(self, *, wait_ready: bool = True) -> Self:
        """Start it and wait until it is ready (or only listens)."""
        with self._output.open("ab") as output:
            self.process = subprocess.Popen(  # noqa: S603 - our own program
                self._runs,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while (status := self.ready_status()) != 200 and not (status and not wait_ready):
            assert self.process.poll() is None, f"the service ended:\n{self.output[-3000:]}"
            assert time.monotonic() < deadline, f"not ready:\n{self.output[-3000:]}"
            time.sleep(0.05)
        return self

    def ready_status(self) -> int | None:
        """The status of /readyz, None without an answer."""
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.admin_port}/readyz", timeout=5
            ) as answer:
                status: int = answer.status
                return status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return None

    def stats(self) -> dict[str, Any]:
        """What /v1/stats says."""
        with urllib.request.urlopen(
            f"http://127.0.0.1:{self.admin_port}/v1/stats", timeout=5
        ) as answer:
            found: dict[str, Any] = json.load(answer)
            return found

    def stop(self) -> int:
        """SIGTERM, and the exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_TIMEOUT_S)

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Hang while inside: sockets stay open, and nothing is answered."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()
