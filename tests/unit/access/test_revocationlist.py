"""What goes into the list that replicas share, and what a replica makes of what comes."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickfan.access.revocationlist import RevocationList, decode, encode
from tickfan.access.revocations import Revocation, Revocations
from tickfan.clock import Clock
from tickfan.core.feed import Upstream

ALICE = Revocation("alice", "", "", 1_800_000_000_000)


class Came(NamedTuple):
    body: bytes


class Replica:
    """A list with a wall clock of its own, and three connections to be ended."""

    def __init__(self) -> None:
        self.now_ms = 1_800_000_000_000
        self.left = 3
        self.walks = 0
        self.known = Revocations(1000, lambda: self.now_ms / 1000)
        self.list = RevocationList(self.known, self._end, Clock(lambda: 0.0, lambda: self.now_ms))

    def _end(self) -> asyncio.Future[int]:
        self.walks += 1
        walk: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        walk.set_result(self.left)
        self.left = 0
        return walk

    async def turn(self) -> None:
        await asyncio.sleep(0)


@given(
    st.lists(st.builds(Revocation, st.text(), st.text(), st.text(), st.integers(0, 2**53))),
    st.text(),
)
def test_what_is_written_is_read(revocations: list[Revocation], by: str) -> None:
    """By each replica alike, whatever a subject is called."""
    assert decode(encode(by, revocations)) == (by, revocations)


def test_what_a_newer_replica_adds_is_ignored() -> None:
    """Two versions run side by side in a rollout."""
    message = orjson.loads(encode("x", [ALICE]))
    message["new"] = message["revocations"][0]["new"] = 1
    assert decode(orjson.dumps(message)) == ("x", [ALICE])


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"1", b"{}", b'{"v":2,"id":"a","revocations":[]}',
        b'{"v":1,"revocations":[]}', b'{"v":1,"id":"a"}', b'{"v":1,"id":1,"revocations":[]}',
        b'{"v":1,"id":"a","revocations":[1]}', b'{"v":1,"id":"a","revocations":[{}]}',
        encode("a", [ALICE]).replace(b"1800000000000", b"true"),
        encode("a", [ALICE]).replace(b'"alice"', b"null"),
        b"\xff" * 100, b"[" * 100_000,
    ],
)  # fmt: skip
async def test_what_is_none_of_ours_revokes_nothing(body: bytes) -> None:
    """It is counted, and the next one counts."""
    replica = Replica()
    replica.list.deliver("revocations", Came(body))
    assert (replica.list.malformed, replica.list.received, replica.walks) == (1, 0, 0)
    replica.list.deliver("revocations", Came(encode("b", [ALICE])))
    await replica.turn()
    assert (len(replica.known), replica.list.received, replica.list.ended) == (1, 1, 3)


@pytest.mark.parametrize("comes", ["before the confirm", "later"])
async def test_who_revokes_is_told_how_many_ended_here(comes: str) -> None:
    """Each is counted once, whichever comes first: the confirm, or the message itself."""
    replica = Replica()
    written: list[bytes] = []

    async def publish(body: bytes) -> None:
        written.append(body)
        if comes == "before the confirm":
            replica.list.deliver("revocations", Came(body))

    assert await replica.list.revoke([ALICE], publish) == 3
    if comes == "later":
        replica.list.deliver("revocations", Came(written[0]))
    await replica.turn()
    assert replica.list.ended == 3
    assert len(replica.known) == 1


async def test_what_was_not_confirmed_does_not_hold() -> None:
    """Whoever asked is told so, and asks again."""
    replica = Replica()

    async def publish(_body: bytes) -> None:
        raise RuntimeError("no broker")

    with pytest.raises(RuntimeError):
        await replica.list.revoke([ALICE], publish)
    assert (len(replica.known), replica.walks) == (0, 0)


def test_all_is_known_once_the_tail_was_reached() -> None:
    """In an outage what is known holds; how long it lasts is told."""
    replica = Replica()
    news = replica.list.upstream
    assert not replica.known.are_known
    replica.now_ms += 2000
    assert replica.list.unread_s == 2
    news("revocations", Upstream.STARTING, "no broker")
    assert (replica.known.are_known, replica.list.unread_s) == (False, 2)
    news("revocations", Upstream.LIVE, "")
    assert (replica.known.are_known, replica.list.unread_s) == (True, 0)
    replica.now_ms += 1000
    news("revocations", Upstream.STALE, "cut")
    replica.now_ms += 500
    news("revocations", Upstream.STALE, "cut again")
    assert (replica.known.are_known, replica.list.unread_s) == (True, 0.5)
    assert replica.list.why == "cut again"


async def test_a_list_that_began_anew_takes_nothing_back() -> None:
    """Somebody has deleted the stream: those who were put out stay out."""
    replica = Replica()
    replica.list.deliver("revocations", Came(encode("a", [ALICE])))
    replica.list.reset("revocations", "recreated")
    assert len(replica.known) == 1
