"""What the endpoints of channels share: the check of parameters, and the lookup by name.

Must not know any one of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tickfan.core.errors import Refusal
from tickfan.core.pattern import check_channel_name

if TYPE_CHECKING:
    from aiohttp import web

    from tickfan.core.feed import Channel, Feed
    from tickfan.core.feeds import Feeds


def check_query(request: web.Request, *names: str) -> None:
    """Raise :class:`Refusal` (``bad_field``) for a parameter that is not one of these."""
    for name in request.query:
        if name not in names and not name.startswith("_"):
            allowed = f"they are {', '.join(names)}" if names else "there are none here"
            raise Refusal("bad_field", f"{name[:80]!r} is not a parameter; {allowed}", name[:80])


def whole_number(text: str | None, name: str, default: int, most: int) -> int:
    """A query's number from 1 to ``most``. Raises :class:`Refusal` (``bad_field``)."""
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= most):
        raise Refusal(
            "bad_field", f"{name} must be a whole number from 1 to {most}, not {text[:40]!r}", name
        )
    return int(text)


def find_channel(feeds: Feeds, name: str) -> Channel:
    """The channel of that name.

    Raises :class:`Refusal`: ``bad_channel``, ``no_feed`` with what the feeds
    bind, ``no_value`` for a channel without an update.
    """
    check_channel_name(name)
    feed = feed_of(feeds, name)
    channel = feed.channels.get(name)
    if channel is None:
        raise no_value(name)
    return channel


def feed_of(feeds: Feeds, name: str) -> Feed:
    """The feed that covers the name. Raises :class:`Refusal` (``no_feed``)."""
    feed = feeds.covering(name)
    if feed is None:
        bound = feeds.bindings
        raise Refusal("no_feed", f"no feed covers {name!r}; the feeds bind: {bound}", name)
    return feed


def no_value(name: str) -> Refusal:
    """The refusal of a channel without an update."""
    return Refusal("no_value", f"{name!r} has had no update since this replica began", name)
