"""The HAProxy configuration that we recommend, run as it stands but for its addresses.

Must not know what is tested.
"""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.frontproxy import FrontProxy
from tests.support.programs import require

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support.frontproxy import Replica

CONFIG = Path(__file__).parents[2] / "config" / "haproxy.cfg"


class Haproxy(FrontProxy):
    """HAProxy."""

    RELOADS = signal.SIGUSR2

    def prepare(self, replicas: Sequence[Replica], idle_timeout_s: int | None) -> list[str]:
        binary = require("haproxy")
        text = CONFIG.read_text()
        for number, replica in zip((1, 2), replicas, strict=True):
            text, count = re.subn(
                rf"(server {number}) 127\.0\.0\.1:\d+", rf"\1 127.0.0.1:{replica.port}", text
            )
            assert count == 4
            text, count = re.subn(
                rf"(server {number} .* check port) \d+", rf"\1 {replica.admin_port}", text
            )
            assert count == 1
        text = re.sub(r"bind 127\.0\.0\.1:\d+", f"bind 127.0.0.1:{self.port}", text)
        if idle_timeout_s is not None:
            text, count = re.subn(
                r"(timeout (?:client|server|tunnel)) 120s", rf"\1 {idle_timeout_s}s", text
            )
            assert count == 3
        # A limit of files that every machine has.
        text = text.replace("maxconn 32000", "maxconn 400")
        config = self._directory / "haproxy.cfg"
        config.write_text(text)
        return [binary, "-W", "-db", "-f", str(config)]
