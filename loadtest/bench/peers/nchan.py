"""nchan, the fastest peer found: an nginx with one worker and its module.

Debian: `apt-get install libnginx-mod-nchan`. Must not know what is measured.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Self

from loadtest.rig.rabbitmq import free_port

_MODULES = ("/usr/lib/nginx/modules/ngx_nchan_module.so",)
START_TIMEOUT_S = 10.0

_CONFIG = """
load_module {module};
worker_processes 1;
daemon off;
user {user};
pid {directory}/pid;
error_log {directory}/error.log;
worker_rlimit_nofile 20000;
events {{ worker_connections 15000; }}
http {{
  access_log off;
  client_body_temp_path {directory}/a; proxy_temp_path {directory}/b;
  fastcgi_temp_path {directory}/c; uwsgi_temp_path {directory}/d; scgi_temp_path {directory}/e;
  nchan_shared_memory_size 256M;
  keepalive_requests 1000000000;
  tcp_nodelay on;
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    location = /publish {{ nchan_publisher; nchan_channel_id x; nchan_message_buffer_length 50; }}
    location = /subscribe {{
      nchan_subscriber websocket eventsource; nchan_channel_id x;
      nchan_subscriber_first_message newest; nchan_websocket_ping_interval 0;
    }}
  }}
}}
"""


def find_nginx() -> str | None:
    """Its path. Debian has it in a directory that is on root's PATH alone."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


def find_module() -> str | None:
    """The module's path, None where nginx or nchan is not installed."""
    if find_nginx() is None:
        return None
    return next((path for path in _MODULES if Path(path).exists()), None)


def missing() -> str | None:
    """Why it cannot be run here, in a sentence; None if it can."""
    return None if find_module() else "nginx or nchan is not installed (libnginx-mod-nchan)"


def _nginx() -> str:
    found = find_nginx()
    assert found is not None, "nginx is not installed"
    return found


def version() -> str:
    """Nginx's version."""
    answer = subprocess.run([_nginx(), "-v"], capture_output=True, text=True, check=True)  # noqa: S603
    match = re.search(r"nginx/([\d.]+)", answer.stderr)
    return match[1] if match else "unknown"


class Nchan:
    """One nginx of its own, on the cores that its starter may use."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self.pid = 0

    def __enter__(self) -> Self:
        self._directory.mkdir(parents=True, exist_ok=True)
        config = self._directory / "nginx.conf"
        module = find_module()
        user = "root" if os.geteuid() == 0 else ""
        text = _CONFIG.format(
            module=module, directory=self._directory, port=self.port, user=user or "nobody"
        )
        config.write_text(text)
        self._process = subprocess.Popen(  # noqa: S603
            [_nginx(), "-c", str(config), "-e", str(self._directory / "error.log")]
        )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not (workers := self._workers()):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self._directory / "error.log").read_text()[-2000:])
            time.sleep(0.05)
        self.pid = workers[0]
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)

    def _workers(self) -> list[int]:
        assert self._process is not None
        pid = self._process.pid
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        # The master starts it and then listens: both show in the order of config.
        return [int(child) for child in found]
