"""The service's page in a real browser, and where on it what is.

Must not know what is tested.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from tests.support.browser import Browser

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.live import Live

STATE = "document.body.dataset.state"
SAID = "document.querySelector('header').innerText.replace(/\\n+/g, '\\n')"
TAPE = "[...document.querySelectorAll('#tape tbody tr')].reverse().map((row) => row.innerText)"
LATEST = "[...document.querySelectorAll('#latest tbody tr')].map((row) => row.innerText)"
OLD = "[...document.querySelectorAll('#latest .old th')].map((one) => one.innerText)"
EVENTS = "document.querySelector('#events').innerText"


@asynccontextmanager
async def page(live: Live, query: str = "") -> AsyncIterator[Browser]:
    """The page, subscribed; in the end it must have done nothing wrong."""
    async with Browser() as browser:
        await browser.visit(live.url(f"/{query}"))
        await browser.until(f"{STATE} == 'live'")
        yield browser
        await browser.run("true")  # whatever it has said until now is heard
        assert not browser.complaints
