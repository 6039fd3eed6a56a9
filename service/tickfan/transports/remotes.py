"""From what address a client comes, also behind proxies.

A proxy adds the address that it was connected from to the header ``X-Forwarded-For``, at
the right. Anybody can write what stands at the left. So the list is read from the right,
and only as far as a trusted proxy has written it. (RFC 7239's ``Forwarded`` is not read:
whoever reads both has to say which one counts, and most proxies do not write it.)
Must not know what an address is used for.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aiohttp import web

    Address = IPv4Address | IPv6Address

HEADER = "X-Forwarded-For"

HOPS_MAX = 16
"""Addresses of a list that are read, from the right."""

ADDRESS_CHARS_MAX = 64
"""Characters of an address, with brackets and port; a longer one is none."""

ADDRESSES_KEPT = 1024
"""Addresses that are remembered with whether they are trusted. Those of proxies stay: each
request has one."""


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
            return peer
        return self.behind(peer, request.headers.getall(HEADER, ()))

    def behind(self, peer: str, lists: Sequence[str]) -> str:
        """The address of a client, from that of the socket and the header's lines.

        It is the first from the right that no trusted proxy has. Where a list says
        something that is no address, it is the proxy that wrote so.
        """
        found, is_trusted = self._look(peer)
        if not is_trusted:
            return peer
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
