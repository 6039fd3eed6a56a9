"""A service with TLS. Tests elsewhere that have ``over`` run on it, too."""

from __future__ import annotations

import asyncio
import shutil
import ssl
from collections import Counter
from typing import TYPE_CHECKING

import orjson
import pytest

from loadtest.rig.waiting import until
from tests.service.transports.opened import KINDS, open_stream
from tests.support.raw import connect, request
from tests.support.tls import make_certificates, trusting
from tickfan.config.sections import HttpSettings
from tickfan.transports.tls import tls_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.fixtures import MakeLive
    from tests.support.tls import Certificates


@pytest.mark.parametrize("kind", KINDS)
async def test_each_wire_from_its_first_byte_to_its_last(
    make_live: MakeLive, tls_settings: dict[str, str], kind: str
) -> None:
    """A live update, the reason for the end, and an end that is no cut."""
    service = await make_live(**tls_settings)
    async with connect(service, KINDS[kind]) as wire:
        await open_stream(wire, kind)
        await service.publish("trades.A", "a price")
        await wire.up_to(b"a price")
        await service.service.drain(0)
        assert b'"drain"' in await wire.rest()
    await until(lambda: not service.service.connected)
    assert service.service.tally.handshakes == {"done": 1}


async def test_http_without_tls_is_answered_by_name(
    make_live: MakeLive, tls_settings: dict[str, str]
) -> None:
    """400 with what to write; it is counted, and whoever speaks TLS is served."""
    service = await make_live(**tls_settings)
    async with connect(service, request("/v1/channels"), tls=False) as wire:
        status, headers = await wire.head()
        error = orjson.loads(await wire.rest())["error"]
    assert (status, headers["connection"], headers["server"]) == (400, "close", "tickfan")
    assert error["code"] == "tls_required"
    assert "https://" in error["message"]
    async with connect(service, request("/v1/channels")) as wire:
        assert (await wire.head())[0] == 200
    assert service.service.tally.handshakes == {"plain": 1, "done": 1}


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01\x02\x00\x01"])
async def test_a_handshake_that_does_not_end_is_cut(
    make_live: MakeLive, tls_settings: dict[str, str], said: bytes
) -> None:
    """It is a part of the time for the first request's headers."""
    service = await make_live(**tls_settings, header_timeout_s=0.2)
    async with connect(service, said, tls=False) as wire:
        assert await wire.rest() == b""
    async with connect(service) as wire:  # with the handshake, and without a request
        assert await wire.rest() == b""
    async with connect(service, KINDS["sse"]) as wire:
        await wire.up_to(b"snapshot_end")
        await asyncio.sleep(0.3)  # a stream has begun in time
        await service.publish("trades.A", "a price")
        await wire.up_to(b"a price")


async def test_a_new_pair_is_for_new_connections(
    make_live: MakeLive, certificates: Certificates, tmp_path: Path
) -> None:
    """Nobody is cut: who came before goes on with what it began with."""
    pair = tmp_path / "tls.crt", tmp_path / "tls.key"
    shutil.copyfile(certificates.ca, tmp_path / "ca.pem")
    new = tmp_path / "new"
    new.mkdir()
    others = make_certificates(new)

    def write(source: Certificates) -> None:
        shutil.copyfile(source.server_cert, pair[0])
        shutil.copyfile(source.server_key, pair[1])

    write(certificates)
    service = await make_live(HTTP__TLS_CERT_FILE=str(pair[0]), HTTP__TLS_KEY_FILE=str(pair[1]))
    tls = service.service.tls
    assert tls is not None
    async with connect(service, KINDS["sse"]) as old:
        await open_stream(old, "sse")
        write(others)
        tls.certificate.look()
        tls.certificate.look()
        with pytest.raises(ssl.SSLCertVerificationError):
            async with connect(service):
                pass
        service.trust = trusting(others.ca)
        async with connect(service, KINDS["sse"]) as young:
            await open_stream(young, "sse")
            await service.publish("trades.A", "a price")
            for wire in (old, young):
                await wire.up_to(b"a price")


async def test_the_files_are_looked_at_by_themselves(
    certificates: Certificates, tmp_path: Path
) -> None:
    """While the service listens, and not after."""
    cert = tmp_path / "tls.pem"
    shutil.copyfile(certificates.server_cert, cert)
    http = HttpSettings(tls_cert_file=str(cert), tls_key_file=certificates.server_key)
    tls = tls_of(http, print, Counter())
    assert tls is not None
    tls.certificate.start(asyncio.get_running_loop(), look_s=0.01)
    cert.write_text("no certificate")
    await until(lambda: tls.certificate.is_refused)
    tls.certificate.stop()


def test_without_a_file_there_is_no_tls() -> None:
    """A proxy in front has it."""
    assert tls_of(HttpSettings(), print, Counter()) is None
