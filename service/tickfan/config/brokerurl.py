"""The broker's URL: one text that may name several hosts and hold a password.

Must not know who connects, nor log what it reads.
"""

from __future__ import annotations

import re

MEMORY = "memory://"
ALLOWED = (
    "memory://, or amqp:// or amqps:// with user:password@host:port/vhost; several hosts are "
    "joined by commas (user:password@a:5672,b:5672/vhost); special characters in a user, "
    "password or vhost are percent-encoded; nothing follows the vhost, as TLS and heartbeats "
    "have settings of their own"
)

_HOST = re.compile(r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::([0-9]{1,5}))?")
_WHOLE = re.compile(
    r"(?P<scheme>amqps?)://"
    r"(?:(?P<user>[^\s:@/?#,]*(?::[^\s:@/?#,]*)?)@)?"
    r"(?P<hosts>[^\s@/?#]+)"
    r"(?P<vhost>/[^\s@/?#]*)?"
)
_USERINFO = re.compile(r"(://)[^\s/@:]*(:?)\S*@")


def urls(url: str) -> tuple[str, ...]:
    """The URL taken apart: one URL for each of its hosts, in order.

    ``amqp://user:password@a,b:5673/prices`` gives two. The URI form is
    RabbitMQ's (amqp-uri-specification). Raises :class:`ValueError`, which
    never repeats the URL, for anything else than :data:`ALLOWED` says.
    """
    if url == MEMORY:
        return (url,)
    match = _WHOLE.fullmatch(url)
    if match is None:
        raise ValueError(ALLOWED)
    user = "" if match["user"] is None else f"{match['user']}@"
    hosts = match["hosts"].split(",")
    if not all(_is_host(host) for host in hosts):
        raise ValueError(ALLOWED)
    return tuple(f"{match['scheme']}://{user}{host}{match['vhost'] or ''}" for host in hosts)


def masked(text: str) -> str:
    """``text`` with the password (or all user information) of any URL in it masked."""
    return _USERINFO.sub(_mask, text)


def _is_host(text: str) -> bool:
    match = _HOST.fullmatch(text)
    return match is not None and (match[1] is None or 1 <= int(match[1]) <= 65535)


def _mask(match: re.Match[str]) -> str:
    if not match[2]:
        return f"{match[1]}***@"
    user = match[0].removeprefix("://").partition(":")[0]
    return f"{match[1]}{user}:***@"
