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

_HOST = re.compile(r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])")
_PORT = re.compile(r"[0-9]{1,5}")
_USERINFO = re.compile(r"(://)[^\s/@:]*(:?)\S*@")


def urls(url: str) -> tuple[str, ...]:
    """The URL taken apart: one URL for each of its hosts, in order.

    ``amqp://user:password@a,b:5673/prices`` gives two. The URI form is
    RabbitMQ's (amqp-uri-specification). Raises :class:`ValueError` for anything else than
    :data:`ALLOWED` says: a sentence that names the part that is wrong. It repeats nothing of
    the URL, as any part may be a piece of a password that is not encoded.
    """
    if url == MEMORY:
        return (url,)
    scheme, _, rest = url.partition("://")
    user, at, behind = rest.rpartition("@")
    hosts, slash, vhost = behind.partition("/")
    _check(
        scheme in ("amqp", "amqps"),
        "it is not memory://, and does not begin with amqp:// or amqps://",
    )
    _check(re.search(r"\s", url) is None, "there is a space or a line break in it")
    _check(not set("?#") & set(rest), "there is a ? or a # in it; in a password it is %3F or %23")
    _check("@" not in user, "there are two @ in it; in a user or a password it is %40")
    _check("/" not in user, "there is a / before the @; in a user or a password it is %2F")
    _check("," not in user, "there is a comma before the @; in a user or a password it is %2C")
    _check(user.count(":") < 2, "there are two : before the @; in a user or a password it is %3A")
    _check("/" not in vhost, "there is a second / behind the hosts; in a vhost it is %2F")
    names = hosts.split(",")
    for number, name in enumerate(names, start=1):
        which = f"host {number} of {len(names)}" if len(names) > 1 else "the host"
        _check_host(name, which, "" if at else "; or the host behind user:password@ is missing")
    return tuple(f"{scheme}://{user}{at}{name}{slash}{vhost}" for name in names)


def masked(text: str) -> str:
    """``text`` with the password (or all user information) of any URL in it masked."""
    return _USERINFO.sub(_mask, text)


def _check(is_right: bool, wrong: str) -> None:
    if not is_right:
        raise ValueError(wrong)


def _check_host(text: str, which: str, otherwise: str) -> None:
    """``otherwise``: what else the fault may be."""
    _check(text != "", f"{which} is missing")
    bracket = text.rfind("]")
    colon = text.find(":", bracket + 1)
    name, port = (text, None) if colon < 0 else (text[:colon], text[colon + 1 :])
    _check(_HOST.fullmatch(name) is not None, f"{which} is no host name and no IP address")
    _check(
        port is None or (_PORT.fullmatch(port) is not None and 1 <= int(port) <= 65535),
        f"the port of {which} is not a whole number from 1 to 65535{otherwise}",
    )


def _mask(match: re.Match[str]) -> str:
    if not match[2]:
        return f"{match[1]}***@"
    user = match[0].removeprefix("://").partition(":")[0]
    return f"{match[1]}{user}:***@"
