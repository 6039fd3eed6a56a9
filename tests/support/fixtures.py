"""The running service as fixtures; a conftest.py imports them.

Must not know what is tested.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from loadtest.rig.waiting import DEADLINE_S
from tests.support.live import PARTS, Live, live
from tests.support.tls import Certificates, make_certificates

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.support.live import MakeClient
    from tickfan.parts import Parts

    MakeLive = Callable[..., Awaitable[Live]]


@pytest.fixture
async def make_live(aiohttp_client: MakeClient) -> AsyncIterator[MakeLive]:
    """Starts services with settings such as ``STREAM__HEARTBEAT_S="1"``."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(
            *, parts: Parts = PARTS, header_timeout_s: float = DEADLINE_S, **settings: str
        ) -> Live:
            return await stack.enter_async_context(
                live(aiohttp_client, settings, parts, header_timeout_s)
            )

        yield start


@pytest.fixture
async def service(make_live: MakeLive) -> Live:
    """A service with the default settings, without a market."""
    return await make_live()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """An authority, and certificates of it."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def tls_settings(certificates: Certificates) -> dict[str, str]:
    """Those of a service with TLS."""
    return {
        "HTTP__TLS_CERT_FILE": certificates.server_cert,
        "HTTP__TLS_KEY_FILE": certificates.server_key,
    }


@pytest.fixture(params=["plain", "tls"])
def over(request: pytest.FixtureRequest, tls_settings: dict[str, str]) -> dict[str, str]:
    """Settings of a service without TLS, and of one with it: what holds on both."""
    return tls_settings if request.param == "tls" else {}
