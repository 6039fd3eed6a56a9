"""How far a reader has received, over all the lossless feeds it reads.

A cursor is text that a client keeps and gives back: ``1~trades.9qi.AAECAwQFBgc``.
After the version comes one *place* for each lossless feed, in the order of
their names: the feed's name, the ``seq`` in base 36, and the fingerprint of
the message there. All characters are unreserved in URLs (RFC 3986, 2.3) and
allowed in header values and SSE ids.

Replicas need not agree on an epoch. A replica recovers a reader if its own history
holds that seq with that fingerprint. The history of a re-created stream does not.

Must not know who keeps the history.
"""

from __future__ import annotations

import base64
import re
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

from tickfan.core.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet

VERSION = "1"
FEED_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
LOSSLESS_FEEDS_MAX = 16
# 1, and for each feed: ~ name(32) . seq(11) . fingerprint(11)
CURSOR_BYTES_MAX = 1 + LOSSLESS_FEEDS_MAX * (1 + 32 + 1 + 11 + 1 + 11)

START = "-" * 11
"""The fingerprint of a place before the first message of a stream."""

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_PLACE = re.compile(r"([a-z][a-z0-9_-]{0,31})\.([0-9a-z]{1,11})\.([A-Za-z0-9_-]{11})")
_SEQ_MAX = 2**53 - 1


class Place(NamedTuple):
    """One feed's part of a cursor, taken apart."""

    seq: int
    fingerprint: str

    @property
    def replay_from(self) -> int:
        """The seq after which updates were missed; below all of them at the start."""
        return -1 if self.fingerprint == START else self.seq


def fingerprint(
    routing_key: str, body: bytes, message_id: str | None = None, ts: int | None = None
) -> str:
    """64 bits that tell a message from any other at the same offset.

    The message's id and time count too, so that the same prices published
    again into a re-created stream are not taken for the old ones.
    """
    mark = blake2b(body, digest_size=8)
    mark.update(f"\0{routing_key}\0{message_id or ''}\0{ts or ''}".encode())
    return base64.urlsafe_b64encode(mark.digest()).rstrip(b"=").decode()


def place(feed: str, seq: int, mark: str) -> str:
    """The text of one place."""
    digits = ""
    while True:
        seq, digit = divmod(seq, 36)
        digits = _DIGITS[digit] + digits
        if not seq:
            return f"{feed}.{digits}.{mark}"


def parse(text: str) -> dict[str, Place]:
    """Take a client's cursor apart: feed name to place.

    Raises :class:`Refusal` (``bad_cursor``) for anything this service cannot
    have written.
    """
    version, *parts = text.split("~")
    if version != VERSION or len(text) > CURSOR_BYTES_MAX:
        raise _bad(text)
    places: dict[str, Place] = {}
    for part in parts:
        match = _PLACE.fullmatch(part)
        if match is None:
            raise _bad(text)
        feed, digits, mark = match.groups()
        seq = int(digits, 36)
        if feed in places or seq > _SEQ_MAX:
            raise _bad(text)
        places[feed] = Place(seq, mark)
    return places


def _bad(text: str) -> Refusal:
    return Refusal(
        "bad_cursor",
        f"{text[:80]!r} is not a cursor of this service: send the last one that you "
        "received, unchanged, or none to begin anew",
        "cursor",
    )


class Trail:
    """The place that a reader (or an audience) has reached in each feed."""

    __slots__ = ("_places",)

    def __init__(self, places: Mapping[str, str] | None = None) -> None:
        """``places`` maps feed names to the text of a place."""
        self._places = dict(places or {})

    def text(self) -> str:
        """The cursor."""
        places = self._places
        return "~".join([VERSION, *(places[feed] for feed in sorted(places))])

    def follow(self, feed: str, place_text: str) -> str:
        """Take the place just after an update of ``feed``, and return the cursor there."""
        places = self._places
        places[feed] = place_text
        if len(places) == 1:  # nearly always: one lossless feed a connection
            return f"{VERSION}~{place_text}"
        return self.text()

    def jump(self, places: Mapping[str, str]) -> None:
        """Take the given places, keeping those of feeds that are not named."""
        self._places.update(places)

    def set(self, feed: str, at: Place) -> None:
        """Take one place that came with a client's cursor."""
        self._places[feed] = place(feed, at.seq, at.fingerprint)

    def fill(self, places: Mapping[str, str]) -> None:
        """Take the places of feeds that have none yet."""
        self._places = {**places, **self._places}

    def keep(self, feeds: AbstractSet[str]) -> None:
        """Forget the places of all but these feeds."""
        self._places = {feed: at for feed, at in self._places.items() if feed in feeds}

    def copy(self) -> Trail:
        """A trail of its own, at the same places."""
        return Trail(self._places)
