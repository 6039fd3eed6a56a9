"""A listener's TLS, from the settings. Must not know connections."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from tickfan.core.errors import Refusal
from tickfan.transports.certificate import Certificate
from tickfan.transports.errors import bare_answer
from tickfan.transports.line import release
from tickfan.transports.tlsline import Tls, TlsLine

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    from tickfan.config.sections import HttpSettings


def tls_of(
    http: HttpSettings,
    add_job: Callable[[Callable[[], None]], object],
    handshakes: Counter[str],
) -> Tls | None:
    """What ``http.tls_cert_file`` asks for; None: no TLS.

    Raises :class:`~tickfan.transports.certificate.CertificateError` for files that cannot be
    used.
    """
    if not http.tls_cert_file:
        return None
    certificate = Certificate(http.tls_cert_file, http.tls_key_file)
    refusal = Refusal("tls_required", "this port speaks TLS: write https:// (for WebSocket wss://)")
    return Tls(certificate, add_job, handshakes, bare_answer(refusal))


class Entrance(asyncio.Protocol):
    """A new connection on a listener with TLS: the handler gets a transport of ours."""

    def __init__(self, handler: asyncio.Protocol, tls: Tls) -> None:
        self.handler = handler
        self.tls = tls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; a client that has gone by now, or that gets no file, is let go."""
        given = cast("asyncio.Transport", transport)
        try:
            sock = release(given)
        except OSError:
            given.abort()
            return
        try:
            TlsLine(asyncio.get_running_loop(), sock, self.handler, self.tls)
        except OSError:
            sock.close()
