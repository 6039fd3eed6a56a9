"""The nginx configuration that we recommend, run as it stands but for its ports.

Must not know what is tested.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

from tests.support.rabbitmq import free_port

if TYPE_CHECKING:
    from collections.abc import Sequence

CONFIG = Path(__file__).parents[2] / "config" / "nginx.conf"
START_TIMEOUT_S = 10


def require_nginx() -> str:
    """The path of nginx; skip without it, under CI=true fail."""
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if found is None:
        sentence = "nginx is not installed: apt-get install nginx"
        if os.environ.get("CI") == "true":
            pytest.fail(sentence)
        pytest.skip(sentence)
    return found


class Nginx:
    """nginx in front of replicas, on a port of its own."""

    def __init__(self, directory: Path, upstreams: Sequence[int]) -> None:
        self.port = free_port()
        self._binary = require_nginx()
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        text = CONFIG.read_text()
        servers = iter(upstreams)
        text = re.sub(
            r"server 127\.0\.0\.1:\d+", lambda _: f"server 127.0.0.1:{next(servers)}", text
        )
        text = re.sub(r"listen 127\.0\.0\.1:\d+", f"listen 127.0.0.1:{self.port}", text)
        # Workers as the user that runs the tests, files in a directory of the test's own.
        head = f"daemon off;\npid {directory}/nginx.pid;\nerror_log {directory}/nginx.log warn;\n"
        if os.geteuid() == 0:
            head += "user root;\n"
        # So that the log of opened files does not need root.
        text = text.replace("worker_rlimit_nofile 65536;", "")
        text = text.replace("worker_connections 32768;", "worker_connections 4096;")
        temp = "".join(
            f"    {kind}_temp_path {directory}/{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        self._config = directory / "nginx.conf"
        self._config.write_text(head + text.replace("http {\n", "http {\n" + temp))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [self._binary, "-p", str(self._directory), "-c", str(self._config)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            if self._process.poll() is not None:
                assert self._process.stderr is not None
                raise AssertionError(self._process.stderr.read().decode())
            assert time.monotonic() < deadline, "nginx does not listen"
            time.sleep(0.02)

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        self._process.terminate()
        self._process.wait(10)
        self._process.stderr.close()
