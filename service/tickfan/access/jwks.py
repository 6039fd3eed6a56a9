"""Fetches the keys of issuers that publish them (a JWKS: RFC 7517, section 5), again and again.

The last good set stays when a fetch fails: an issuer that is away for an hour signs nobody
out. Must not know what a token says.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
import structlog
from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar

from tickfan.access.keys import BadKey, Key, key_from_jwk
from tickfan.core.errors import TickfanError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

log = structlog.get_logger("tickfan.access")

SET_BYTES_MAX = 262_144
"""Bytes of one set."""

SET_KEYS_MAX = 64
"""Keys of one set. A token that names no key is tried with each of its algorithm."""

PAUSE_S = 10.0
"""The least time between two fetches of one address, whoever asks: anybody can send a token
that names an unknown key."""

RETRY_S = 15.0
"""When a fetch has failed, the next one comes so soon, if not sooner."""


class BadSet(TickfanError):
    """An answer that is no set of keys."""


class Issued(NamedTuple):
    """Which keys of a set count: those of this algorithm, for tokens of this issuer."""

    issuer: str
    algorithm: str


@dataclass(slots=True)
class KeySet:
    """The keys at one address. ``fetched_at`` is on the loop's clock; None: never yet."""

    url: str
    issued: tuple[Issued, ...]
    keys: tuple[Key, ...] = ()
    fetched_at: float | None = None
    tried_at: float = float("-inf")
    failures: int = 0
    why: str = ""
    busy: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def issuers(self) -> list[str]:
        """Whose keys they are."""
        return list(dict.fromkeys(each.issuer for each in self.issued))


class KeySets:
    """Keeps the sets of all addresses fresh, once it runs."""

    def __init__(
        self,
        sets: Iterable[KeySet],
        on_change: Callable[[tuple[Key, ...]], None],
        time: Callable[[], float],
        *,
        refresh_s: float,
        timeout_s: float,
    ) -> None:
        """``on_change`` gets the keys of all sets when one has been fetched.

        ``time`` is the loop's. Each address is asked every ``refresh_s`` seconds, and has
        ``timeout_s`` for its answer.
        """
        self.sets = tuple(sets)
        self._on_change = on_change
        self._time, self._begun_at = time, time()
        self._refresh_s = refresh_s
        self._timeout_s = timeout_s

    @property
    def missing(self) -> list[KeySet]:
        """Those that have never been here: their tokens cannot be checked."""
        return [each for each in self.sets if each.fetched_at is None]

    def age_s(self, each: KeySet) -> float:
        """How old a set is; one that never came is as old as the service."""
        return self._time() - (self._begun_at if each.fetched_at is None else each.fetched_at)

    async def run(self) -> None:
        """Fetch each set, and again, until it is cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for each in self.sets:
                tasks.create_task(self._keep(each))

    async def look_again(self, issuer: str) -> bool:
        """Fetch the sets of an issuer that seems to have new keys; whether any was fetched.

        Those that were tried a moment ago are left alone.
        """
        found = False
        for each in self.sets:
            if issuer in each.issuers:
                found |= await self._fetch(each)
        return found

    async def _keep(self, each: KeySet) -> None:
        while True:
            await self._fetch(each)
            wait_s = min(self._refresh_s, RETRY_S) if each.why else self._refresh_s
            await asyncio.sleep(wait_s)

    async def _fetch(self, each: KeySet) -> bool:
        async with each.busy:
            if self._time() - each.tried_at < PAUSE_S:
                return False
            each.tried_at = self._time()
            try:
                keys = keys_of(await self._get(each.url), each.issued)
            except (ClientError, OSError, TimeoutError, BadSet) as error:
                each.failures += 1
                why = str(error) or type(error).__name__
                if why != each.why:
                    log.warning("the keys of an issuer could not be fetched", url=each.url,
                                issuers=each.issuers, why=why, kept=len(each.keys))  # fmt: skip
                each.why = why
                return False
        if each.why or each.fetched_at is None:
            log.info("the keys of an issuer are here", url=each.url, keys=len(keys))
        each.why, each.fetched_at = "", self._time()
        each.keys = keys
        self._on_change(tuple(key for one in self.sets for key in one.keys))
        return True

    async def _get(self, url: str) -> bytes:
        timeout = ClientTimeout(total=self._timeout_s)
        # The address is the operator's, and nobody else's: no redirect, no cookie, no proxy.
        async with (
            ClientSession(timeout=timeout, cookie_jar=DummyCookieJar(), auto_decompress=False,
                          headers={"Accept-Encoding": "identity"}) as session,
            session.get(url, allow_redirects=False) as response,
        ):  # fmt: skip
            if response.status != HTTPStatus.OK:
                raise BadSet(f"the answer has the status {response.status}, and 200 is needed")
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > SET_BYTES_MAX:
                    raise BadSet(f"the answer has more than {SET_BYTES_MAX} bytes")
            return bytes(body)


def keys_of(body: bytes, issued: Iterable[Issued]) -> tuple[Key, ...]:
    """The keys of a set that count.

    What is no key for one of the algorithms is passed over: a set may hold keys of other
    uses (RFC 7517, section 5). Raises :class:`BadSet` if none is left.
    """
    try:
        given: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise BadSet("the answer is no JSON") from None
    entries = given.get("keys") if isinstance(given, dict) else None
    if not isinstance(entries, list):
        raise BadSet('the answer is no set of keys: {"keys": [...]}')
    if len(entries) > SET_KEYS_MAX:
        raise BadSet(f"the set has {len(entries)} keys; at most {SET_KEYS_MAX} go")
    found, issued = [], tuple(issued)
    for entry, (issuer, algorithm) in product(entries, issued):
        with suppress(BadKey):
            found.append(key_from_jwk(entry if isinstance(entry, dict) else {}, issuer, algorithm))
    if not found:
        raise BadSet(f"the set has no key for {', '.join(each.algorithm for each in issued)}")
    return tuple(found)
