"""What the endpoints of channels share: how many are asked for, and what is looked up by name.

Must not know any one of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tickfan.core.errors import Refusal
from tickfan.core.pattern import check_channel_name
from tickfan.transports.parameters import whole_number

if TYPE_CHECKING:
    from aiohttp import web

    from tickfan.access.identity import Identity
    from tickfan.core.feed import Channel, Feed
    from tickfan.core.feeds import Feeds
    from tickfan.core.scope import Scope


def limit_of(request: web.Request, default: int, most: int) -> int:
    """The parameter ``limit``, from 1 to ``most``. Raises :class:`Refusal` (``bad_field``)."""
    text = request.query.get("limit")
    if text is None:
        return default
    number = whole_number(text)
    if number is None or not 1 <= number <= most:
        raise Refusal(
            "bad_field",
            f"limit must be a whole number from 1 to {most}, not {text[:40]!r}",
            "limit",
        )
    return number


def number_of(request: web.Request, name: str) -> int:
    """A parameter that is a whole number; 0 without it. Raises :class:`Refusal` (``bad_field``)."""
    text = request.query.get(name, "0")
    number = whole_number(text)
    if number is None:
        raise Refusal("bad_field", f"{name} must be a whole number, not {text[:40]!r}", name)
    return number


def find_channel(feeds: Feeds, name: str, identity: Identity) -> Channel:
    """The channel of that name, for a client that may read it.

    Raises :class:`Refusal`: ``bad_channel``, ``unauthorized`` or ``forbidden``, ``no_feed``
    with what the feeds bind, ``no_value`` for a channel without an update.
    """
    check_channel_name(name)
    if not identity.reads.matches(name):
        raise identity.cannot_read(name)
    feed = feed_of(feeds, name, identity.reads)
    channel = feed.channels.get(name)
    if channel is None:
        raise no_value(name)
    return channel


def feed_of(feeds: Feeds, name: str, allowed: Scope) -> Feed:
    """The feed that covers the name. Raises :class:`Refusal` (``no_feed``).

    It tells of the feeds' bindings those that are ``allowed``.
    """
    feed = feeds.covering(name)
    if feed is None:
        raise feeds.no_feed(name, allowed)
    return feed


def no_value(name: str) -> Refusal:
    """The refusal of a channel without an update."""
    return Refusal("no_value", f"{name!r} has had no update since this replica started", name)
