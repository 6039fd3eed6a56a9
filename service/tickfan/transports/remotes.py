"""From what address a client comes, also behind proxies.

A proxy adds the address that it was connected from to the header ``X-Forwarded-For``, or to
``Forwarded`` (RFC 7239), at the right. Anybody can write what stands at the left. So the list
is read from the right, and only as far as a trusted proxy has written it.

If both headers come, ``X-Forwarded-For`` counts alone. A proxy mostly writes one of them,
and hands on the other as the client sent it. Most proxies write ``X-Forwarded-For``, so the
other one is mostly the client's own words. A proxy that writes ``Forwarded`` must delete
``X-Forwarded-For``; those in config/ delete ``Forwarded``.
Must not know what an address is used for.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aiohttp import web

    Address = IPv4Address | IPv6Address

HEADER = "X-Forwarded-For"
STANDARD_HEADER = "Forwarded"

HOPS_MAX = 16
"""Addresses of a list that are read, from the right."""

ADDRESS_CHARS_MAX = 64
"""Characters of an address, with brackets and port; a longer one is none."""

ADDRESSES_KEPT = 1024
"""Addresses that are remembered with whether they are trusted. Those of proxies stay: each
request has one."""

FORWARDED_CHARS_MAX = 4096
"""Characters of ``Forwarded`` that are read, from the right."""

HOST_PREFIX_BITS = 64
"""Of an address of IPv6, what one host has."""

# An element of the list, backwards: a quoted text may hold anything but a quote. And its `for`,
# whose value is a token or a quoted text. No address needs an escape.
_ELEMENTS = re.compile(r'(?:"[^"]*"|[^",])+')
_FOR = re.compile(r'(?i)(?:^|;)[ \t]*for=(?:"([^"\\]*)"|([^",; \t]*))[ \t]*(?:;|$)')


class Remotes:
    """Finds the address of a client, given whom to trust."""

    def __init__(self, trusted: Iterable[str]) -> None:
        """``trusted`` are the networks of the proxies, as in ``http.trusted_proxies``."""
        self._networks = [ip_network(network) for network in trusted]
        self._look = lru_cache(ADDRESSES_KEPT)(self._looked_at)

    def of(self, request: web.Request) -> str:
        """The address of the client that sends the request; empty if it has none."""
        peer = request.remote or ""
        if not self._networks:
            return self._look(peer)[0] or peer
        lists = request.headers.getall(HEADER, ())
        standard = () if lists else request.headers.getall(STANDARD_HEADER, ())
        return self.behind(peer, lists, standard)

    def trusts(self, peer: str) -> bool:
        """Whether an address is that of a trusted proxy."""
        return self._look(peer)[1]

    def has_sent(self, request: web.Request) -> bool:
        """Whether a trusted proxy has sent the request, so that what it has written counts."""
        return bool(self._networks) and self.trusts(request.remote or "")

    def behind(self, peer: str, lists: Sequence[str], standard: Sequence[str] = ()) -> str:
        """The address of a client, from that of the socket and the headers' lines.

        It is the first from the right that no trusted proxy has. Where a list says
        something that is no address, it is the proxy that wrote so. ``standard`` are the
        lines of ``Forwarded``, which count where there are none of the other header.
        """
        found, is_trusted = self._look(peer)
        if not is_trusted:
            return found or peer
        if not lists:
            lists = [forwarded_for(",".join(standard[-HOPS_MAX:]))]
        hops = ",".join(lists[-HOPS_MAX:]).rsplit(",", HOPS_MAX)[-HOPS_MAX:]
        for hop in reversed(hops):
            if not (text := hop.strip()):
                continue  # empty elements of a list do not count (RFC 9110, 5.6.1)
            address, is_trusted = self._look(text[: ADDRESS_CHARS_MAX + 1])
            found = address or found
            if not is_trusted:
                break
        return found

    def _looked_at(self, text: str) -> tuple[str, bool]:
        """An address in its one form, and whether it is trusted; an empty one: it is none."""
        address = parse(text)
        if address is None:
            return "", False
        return str(address), any(address in network for network in self._networks)


def forwarded_for(text: str) -> str:
    """The addresses of a ``Forwarded`` (RFC 7239, section 4), as a list of the other header.

    An element without ``for``, or with one that is no address, is ``unknown``. In a quoted
    text a comma or a semicolon divides nothing. Quotes are paired from the right, too: one
    that a client has left open must not swallow what a proxy added.
    """
    found = []
    for backwards in _ELEMENTS.findall(text[: -FORWARDED_CHARS_MAX - 1 : -1]):
        if element := backwards[::-1].strip():
            given = _FOR.search(element)
            value = "" if given is None else given[1] or given[2]
            found.append(value if value and "," not in value else "unknown")
    return ", ".join(reversed(found))


DIRECT = Remotes(())
"""For a listener that no proxy stands before: that of the admin port."""


@lru_cache(ADDRESSES_KEPT)
def host_of(text: str) -> str:
    """What counts as one address: one of IPv4, or a /64 of IPv6, as a host has all of that.

    (RFC 4291, section 2.5.1.) What is no address is itself.
    """
    address = parse(text.partition("%")[0])
    if not isinstance(address, IPv6Address):
        return text if address is None else str(address)
    return str(ip_network((address, HOST_PREFIX_BITS), strict=False))


def parse(text: str) -> Address | None:
    """An address as proxies write it, with or without a port; None if it is none.

    ``192.0.2.1``, ``192.0.2.1:443``, ``2001:db8::1``, ``[2001:db8::1]``,
    ``[2001:db8::1]:443``. One of IPv4 that is written as IPv6 (``::ffff:192.0.2.1``) is one
    of IPv4.
    """
    if len(text) > ADDRESS_CHARS_MAX or "%" in text:  # a zone says nothing on another machine
        return None
    if text.startswith("["):
        text, closed, rest = text[1:].partition("]")
        is_well = closed and (not rest or (rest[0] == ":" and _is_number(rest[1:])))
        if ":" not in text or not is_well:
            return None
    elif text.count(":") == 1:
        text, _, port = text.partition(":")
        if not _is_number(port):
            return None
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _is_number(port: str) -> bool:
    return port.isascii() and port.isdigit()
