"""The certificate of a listener with TLS, read again when its files change.

Kubernetes swaps a mounted Secret, and certbot its links, while the service runs. Must not
know connections.
"""

from __future__ import annotations

import os
import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

import structlog

from tickfan.core.errors import TickfanError

if TYPE_CHECKING:
    import asyncio

log = structlog.get_logger("tickfan.tls")

LOOK_S = 5.0
"""How often the files are looked at. New ones count once they are as they were at the look
before: a program may be in the middle of writing the two."""

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2: forward secrecy, and no mode that is known to be weak. TLS 1.3 has its own."""

_NO_CHECK_TIME = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME of OpenSSL, for which Python has no name."""


class CertificateError(TickfanError):
    """The files cannot be used; one sentence says why."""


class Certificate:
    """A certificate with its key, from files."""

    def __init__(self, cert_file: str, key_file: str) -> None:
        """``key_file`` is empty if the key is in ``cert_file``. Raises CertificateError."""
        self.files = (cert_file, key_file or cert_file)
        """The certificate's and the key's."""
        self._timer: asyncio.TimerHandle | None = None
        self._seen = self._used = self._looks()
        self.context, self.expires_at = self._load()
        """For new connections; and when the certificate ends, in seconds since 1970."""
        self.is_refused = False
        """Whether the files have changed to what cannot be used."""

    def start(self, loop: asyncio.AbstractEventLoop, look_s: float = LOOK_S) -> None:
        """Look at the files from now on."""
        self._timer = loop.call_later(look_s, self._look_again, loop, look_s)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look_again(self, loop: asyncio.AbstractEventLoop, look_s: float) -> None:
        self.look()
        self.start(loop, look_s)

    def look(self) -> None:
        """Take changed files. If they cannot be used, say so once and keep what there is.

        Connections that are open go on with the certificate that they began with.
        """
        looks = self._looks()
        is_settled, self._seen = looks == self._seen, looks
        if looks == self._used or not is_settled:
            return
        self._used = looks
        names = {"tls_cert_file": self.files[0], "tls_key_file": self.files[1]}
        try:
            self.context, self.expires_at = self._load()
        except CertificateError as error:
            self.is_refused = True
            log.error(  # noqa: TRY400 - the sentence says it all
                "the new certificate cannot be used, the old one stays",
                detail=str(error),
                expires=_day(self.expires_at),
                **names,
            )
        else:
            self.is_refused = False
            log.info("a new certificate is used", expires=_day(self.expires_at), **names)

    def _looks(self) -> tuple[tuple[int, ...], ...]:
        """What changes when a file does, also behind a link; () for one that is not there."""
        return tuple(map(_stat, self.files))

    def _load(self) -> tuple[ssl.SSLContext, float]:
        cert_file, key_file = self.files
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(CIPHERS)
        context.set_alpn_protocols(["http/1.1"])
        # A client could make us compute keys as often as it likes (CVE-2011-1473).
        context.options |= ssl.OP_NO_RENEGOTIATION
        try:
            # A password would be asked for at the terminal.
            context.load_cert_chain(cert_file, key_file, password=lambda: "")
            return context, _tried(context, cert_file)
        except (OSError, ValueError) as error:
            raise CertificateError(
                f"http.tls_cert_file ({cert_file}) and http.tls_key_file ({key_file}) are no "
                f"certificate with its key, in PEM and without a password ({_said(error)})"
            ) from None


def _stat(path: str) -> tuple[int, ...]:
    try:
        found = os.stat(path)  # noqa: PTH116 - as fast as it gets, each few seconds
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _tried(context: ssl.SSLContext, cert_file: str) -> float:
    """When the certificate ends, in seconds since 1970, as a client sees it in a handshake.

    So no pair is taken that no client could use. Raises :class:`ssl.SSLError`.
    """
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_context.check_hostname = False
    client_context.load_verify_locations(cert_file)
    client_context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(down, up)
    server = context.wrap_bio(up, down, server_side=True)
    for side in (client, server) * 3:
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    found = client.getpeercert() or {}
    return float(ssl.cert_time_to_seconds(cast("str", found["notAfter"])))


def _said(error: Exception) -> str:
    """OpenSSL's words without the place in its source."""
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    return getattr(error, "strerror", None) or str(error)


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
