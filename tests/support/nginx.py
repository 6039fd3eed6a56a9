"""The nginx configuration that we recommend, run as it stands but for its addresses.

Must not know what is tested.
"""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.frontproxy import FrontProxy
from tests.support.programs import require

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support.frontproxy import Replica

CONFIG = Path(__file__).parents[2] / "config" / "nginx.conf"


class Nginx(FrontProxy):
    """nginx."""

    RELOADS = signal.SIGHUP

    def prepare(self, replicas: Sequence[Replica], idle_timeout_s: int | None) -> list[str]:
        binary = require("nginx")
        directory = self._directory
        text = CONFIG.read_text()
        ports = iter(replicas)
        text = re.sub(
            r"server 127\.0\.0\.1:\d+", lambda _: f"server 127.0.0.1:{next(ports).port}", text
        )
        text = re.sub(r"listen 127\.0\.0\.1:\d+", f"listen 127.0.0.1:{self.port}", text)
        if idle_timeout_s is not None:
            text, count = re.subn(
                r"(proxy_(?:read|send)_timeout) 120s", rf"\1 {idle_timeout_s}s", text
            )
            assert count == 2
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
        config = directory / "nginx.conf"
        config.write_text(head + text.replace("http {\n", "http {\n" + temp))
        return [binary, "-p", str(directory), "-c", str(config)]
