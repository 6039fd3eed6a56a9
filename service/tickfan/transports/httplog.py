"""What aiohttp's server says to the log.

Must not know our own log lines.
"""

from __future__ import annotations

import logging
from typing import Any

from tickfan.transports.server import UnreadableRequest


class HttpLog(logging.LoggerAdapter[logging.Logger]):
    """aiohttp's log, without a stack trace for each request that is no HTTP.

    Anybody can send such a thing, as often as they like.
    """

    def exception(self, msg: object, *args: object, exc_info: Any = True, **more: Any) -> None:
        """Log a failure; of a request that could not be read, its kind alone."""
        if isinstance(exc_info, UnreadableRequest):
            self.debug("a request could not be read: %s", type(exc_info).__name__)
            return
        super().exception(msg, *args, exc_info=exc_info, **more)
