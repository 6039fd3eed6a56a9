"""tickfan.transports.certificate: a pair of files, and what becomes of it when they change."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from tests.support.tls import make_certificates
from tickfan.transports.certificate import Certificate, CertificateError

if TYPE_CHECKING:
    from tests.support.tls import Certificates


def copy(certificates: Certificates, directory: Path) -> tuple[Path, Path]:
    """The server's pair, as files of its own."""
    directory.mkdir(exist_ok=True)
    pair = directory / "tls.crt", directory / "tls.key"
    for source, target in zip(
        (certificates.server_cert, certificates.server_key), pair, strict=True
    ):
        shutil.copyfile(source, target)
    return pair


@pytest.fixture(scope="session")
def others(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Those of another authority."""
    return make_certificates(tmp_path_factory.mktemp("others"))


def shake(server: ssl.SSLContext, client: ssl.SSLContext) -> ssl.SSLObject:
    """A handshake in memory; the client's side. Raises :class:`ssl.SSLError`."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = (
        client.wrap_bio(down, up, server_hostname="127.0.0.1"),
        server.wrap_bio(up, down, server_side=True),
    )
    for side in sides * 3:
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    return sides[0]


def trusting(authority: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authority)


def test_it_knows_when_it_ends(certificates: Certificates) -> None:
    """As openssl reads the file; the key may stand in the same one."""
    said = subprocess.run(
        ["openssl", "x509", "-in", certificates.server_cert, "-noout", "-enddate"],
        check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    pair = Certificate(certificates.server_cert, certificates.server_key)
    assert pair.expires_at == ssl.cert_time_to_seconds(said.removeprefix("notAfter="))
    assert not pair.is_refused


def test_the_key_may_be_in_the_same_file(certificates: Certificates, tmp_path: Path) -> None:
    """As some authorities send it."""
    both = tmp_path / "both.pem"
    parts = (certificates.server_key, certificates.server_cert)
    both.write_text("".join(Path(each).read_text() for each in parts))
    shake(Certificate(str(both), "").context, trusting(certificates.ca))


def test_one_that_has_ended_is_used(certificates: Certificates, tmp_path: Path) -> None:
    """An alert has told of it for a week; not to start would be worse."""
    ended, made = tmp_path / "ended.pem", Path(certificates.ca).parent
    subprocess.run(
        ["openssl", "x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
         "-days", "-1", "-out", ended],
        cwd=made, check=True, capture_output=True,
    )  # fmt: skip
    found = Certificate(str(ended), certificates.server_key)
    assert found.expires_at < Path(ended).stat().st_mtime


def test_what_it_speaks(certificates: Certificates) -> None:
    """TLS from 1.2 on with forward secrecy, and HTTP/1.1."""
    server = Certificate(certificates.server_cert, certificates.server_key).context
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        client = trusting(certificates.ca)
        client.minimum_version = client.maximum_version = version
        client.set_alpn_protocols(["h2", "http/1.1"])
        made = shake(server, client)
        assert made.version() == version.name.replace("_", ".")
        assert made.selected_alpn_protocol() == "http/1.1"
        cipher = made.cipher()
        assert cipher is not None
        assert cipher[0].startswith(("ECDHE-", "TLS_"))
    assert server.options & ssl.OP_NO_RENEGOTIATION, "a client could make it compute for ever"
    for weak in ("ECDHE-ECDSA-AES256-SHA384", "ECDHE-ECDSA-AES128-SHA"):
        client = trusting(certificates.ca)
        client.maximum_version = ssl.TLSVersion.TLSv1_2
        client.set_ciphers(weak)
        with pytest.raises(ssl.SSLError):
            shake(server, client)


def _other_key(cert: Path, key: Path, others: Certificates) -> None:
    shutil.copyfile(others.server_key, key)


def _no_pem(cert: Path, key: Path, others: Certificates) -> None:
    cert.write_text("no certificate")


def _no_file(cert: Path, key: Path, others: Certificates) -> None:
    key.unlink()


def _password(cert: Path, key: Path, others: Certificates) -> None:
    subprocess.run(
        ["openssl", "pkey", "-in", others.server_key, "-aes256", "-passout", "pass:secret",
         "-out", key],
        check=True, capture_output=True,
    )  # fmt: skip
    shutil.copyfile(others.server_cert, cert)


@pytest.mark.parametrize("spoil", [_other_key, _no_pem, _no_file, _password])
def test_a_pair_that_cannot_be_used_is_named(
    certificates: Certificates, others: Certificates, tmp_path: Path, spoil: object
) -> None:
    """By its two settings and its files; nobody is asked for a password."""
    cert, key = copy(certificates, tmp_path)
    assert callable(spoil)
    spoil(cert, key, others)
    with pytest.raises(CertificateError) as caught:
        Certificate(str(cert), str(key))
    for word in ("http.tls_cert_file", str(cert), "http.tls_key_file", str(key)):
        assert word in str(caught.value)


def test_changed_files_are_taken_when_they_have_settled(
    certificates: Certificates, others: Certificates, tmp_path: Path
) -> None:
    """Not in the middle of a change, and not again without one."""
    cert, key = copy(certificates, tmp_path)
    found = Certificate(str(cert), str(key))
    first = found.context
    found.look()
    assert found.context is first
    with capture_logs() as logs:
        shutil.copyfile(others.server_cert, cert)
        found.look()
        shutil.copyfile(others.server_key, key)
        found.look()
        assert found.context is first
        found.look()
    assert found.context is not first
    shake(found.context, trusting(others.ca))
    assert [line["event"] for line in logs] == ["a new certificate is used"]
    second = found.context
    found.look()
    assert found.context is second


def test_a_swapped_link_is_a_change(
    certificates: Certificates, others: Certificates, tmp_path: Path
) -> None:
    """Kubernetes has the files behind a link to a directory, and swaps the link."""
    copy(certificates, tmp_path / "one")
    copy(others, tmp_path / "two")
    link, new = tmp_path / "..data", tmp_path / "..data_tmp"
    link.symlink_to("one")
    found = Certificate(str(link / "tls.crt"), str(link / "tls.key"))
    new.symlink_to("two")
    new.rename(link)
    found.look()
    found.look()
    shake(found.context, trusting(others.ca))


def test_a_broken_pair_changes_nothing_and_is_said_once(
    certificates: Certificates, others: Certificates, tmp_path: Path
) -> None:
    """The old one stays until a new one can be used."""
    cert, key = copy(certificates, tmp_path)
    found = Certificate(str(cert), str(key))
    first, ends = found.context, found.expires_at
    with capture_logs() as logs:
        cert.unlink()
        for _ in range(5):
            found.look()
        states = [found.is_refused]
        assert (found.context, found.expires_at) == (first, ends)
        copy(others, tmp_path)
        found.look()
        found.look()
        states.append(found.is_refused)
    assert states == [True, False]
    shake(found.context, trusting(others.ca))
    assert [(line["log_level"], line["tls_cert_file"]) for line in logs] == [
        ("error", str(cert)), ("info", str(cert)),
    ]  # fmt: skip
    assert "http.tls_cert_file" in logs[0]["detail"]
