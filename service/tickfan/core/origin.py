"""An origin of a web page, as browsers write it: ``https://app.example.com``.

Must not know who asks, nor whether it may.
"""

from __future__ import annotations

_DEFAULT_PORTS = {"http": ":80", "https": ":443"}

PATTERN = (
    r"[a-z][a-z0-9+.-]{0,31}://"
    r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])"
    r"(?::[0-9]{1,5})?"
)
"""A scheme, a host and perhaps a port (RFC 6454, section 6.2). Names of other scripts are
written as in DNS (``xn--``). The schemes of apps that show pages are allowed, too."""


def plain(origin: str) -> str:
    """The one form of an origin: small letters, and no port that its scheme has anyway."""
    origin = origin.lower()
    port = _DEFAULT_PORTS.get(origin.partition("://")[0])
    return origin if port is None else origin.removesuffix(port)
