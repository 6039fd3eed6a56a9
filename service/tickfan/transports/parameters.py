"""What streams and REST ask alike of a request: its parameters, and a body that is not packed.

Must not know any one address.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tickfan.core.errors import Refusal

if TYPE_CHECKING:
    from aiohttp import web

DIGITS_MAX = 9
"""Digits of a number: more than any parameter needs, and cheap to convert."""

_FLAGS = {"1": True, "true": True, "0": False, "false": False}

IGNORED = ("_", "evs_")
"""How a parameter begins that libraries add for themselves: ``_`` against caches (jQuery),
``evs_`` in eventsource-polyfill."""


def check_query(request: web.Request, *names: str) -> None:
    """Raise :class:`Refusal` (``bad_field``) for a parameter that is not one of these."""
    for name in request.query:
        if name not in names and not name.startswith(IGNORED):
            allowed = f"they are {', '.join(names)}" if names else "there are none here"
            raise Refusal("bad_field", f"{name[:80]!r} is not a parameter; {allowed}", name[:80])


def whole_number(text: str) -> int | None:
    """The number that a text of ASCII digits stands for; None for any other text."""
    is_number = text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX
    return int(text) if is_number else None


def yes_or_no(text: str) -> bool | None:
    """What a parameter says that is 1 or 0, true or false; None for any other text."""
    return _FLAGS.get(text.lower())


def check_encoding(request: web.Request) -> None:
    """Raise :class:`Refusal` (``unsupported_media_type``) for a body that would be unpacked."""
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise Refusal("unsupported_media_type", "send the body without Content-Encoding")
