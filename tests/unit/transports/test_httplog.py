"""What aiohttp says of requests that it cannot read."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from aiohttp import http_exceptions

from tickfan.transports.httplog import HttpLog

if TYPE_CHECKING:
    import pytest


def test_what_is_no_http_gets_no_trace_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Anybody can send it, as often as they like; a failure of ours keeps its trace."""
    report = HttpLog(logging.getLogger("aiohttp.server"), {}).exception
    with caplog.at_level(logging.DEBUG):
        report("Error handling request", exc_info=http_exceptions.BadStatusLine("\x16\x03"))
        report("Unhandled exception", exc_info=ZeroDivisionError())
    quiet, loud = caplog.records
    assert (quiet.levelname, quiet.exc_info) == ("DEBUG", None)
    assert (loud.levelname, loud.exc_info is None) == ("ERROR", False)
