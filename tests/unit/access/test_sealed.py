"""What is sealed comes back as it was, and nobody else can make, read, change or misuse it."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwe
from joserfc.jwk import OctKey

from tests.support.updates import LAW
from tickfan.access.identity import Identity
from tickfan.access.sealed import SEALED_BYTES_MAX, TICKET_S, Purpose, Seals, UsedTicket
from tickfan.core.errors import Refusal
from tickfan.core.scope import Scope

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = 1_800_000_000.0
OLD, NEW = "an-old-secret-" + "0" * 32, "a-new-secret-" + "1" * 32
PAGE = "https://app.example.com"
WORDS = st.lists(
    st.sampled_from(["quotes", "trades", "A", "B-2", "*", "#"]), min_size=1, max_size=4
)
SCOPES = st.lists(WORDS.map(".".join), max_size=5).map(Scope)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
IDENTITIES = st.builds(
    Identity,
    reads=SCOPES,
    writes=SCOPES,
    subject=TEXTS.filter(bool),
    issuer=TEXTS.filter(bool),
    token_id=TEXTS,
    issued_at=st.floats(0, 2e9),
    expires_at=st.floats(NOW + 60, NOW + 1e6),
    interval_ms_min=st.integers(0, 60_000),
    connections_max=st.none() | st.integers(0, 1_000_000),
)
ALICE = Identity(
    Scope(["trades.A"]), subject="alice", issuer="https://login.test/", expires_at=NOW + 600
)


class Wall:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
def seals(wall: Wall) -> Seals:
    return Seals([NEW], wall)


def code(seals: Seals, text: str, purpose: Purpose = Purpose.TICKET) -> str:
    """How it is refused. The sentence never repeats what came."""
    with pytest.raises(Refusal) as caught:
        seals.open(text, purpose)
    assert len(text) < 40 or text not in caught.value.message
    return caught.value.code


@LAW
@given(IDENTITIES, st.sampled_from(["", PAGE]))
def test_what_is_sealed_comes_back_on_each_replica(identity: Identity, origin: str) -> None:
    """All of it; each ticket has a name of its own."""
    one, another = Seals([NEW], lambda: NOW), Seals([NEW], lambda: NOW + 1)
    tickets = [one.ticket(identity, origin)[0] for _ in range(2)]
    opened = [another.open(ticket, Purpose.TICKET) for ticket in tickets]
    assert [(found.identity, found.origin) for found in opened] == [(identity, origin)] * 2
    assert opened[0].seal_id != opened[1].seal_id
    cookie, left_s = one.cookie(identity, 5)
    assert another.open(cookie, Purpose.COOKIE).identity == identity
    assert left_s == identity.expires_at - NOW


@LAW
@given(st.data())
def test_a_changed_character_is_refused(data: st.DataObject) -> None:
    """Each character counts, also the last of a part, which has bits to spare."""
    seals = Seals([NEW], lambda: NOW)
    ticket, _ = seals.ticket(ALICE, PAGE)
    at = data.draw(st.integers(0, len(ticket) - 1))
    other = data.draw(st.characters(max_codepoint=300).filter(lambda char: char != ticket[at]))
    assert code(seals, ticket[:at] + other + ticket[at + 1 :]) == "bad_ticket"


@LAW
@given(st.text(max_size=200) | st.binary(max_size=100).map(lambda data: data.decode("latin-1")))
def test_what_was_never_sealed_is_refused(text: str) -> None:
    """Nothing that is sent makes it fail in another way."""
    seals = Seals([NEW], lambda: NOW)
    assert code(seals, text) == "bad_ticket"
    ticket, _ = seals.ticket(ALICE, PAGE)
    for wrong in (ticket + text + "A", ticket[: len(text)], ticket.replace("..", f".{text}A.")):
        assert code(seals, wrong) == "bad_ticket"


def test_it_cannot_be_read_without_the_secret(seals: Seals) -> None:
    """Neither who, nor what is allowed."""
    ticket, _ = seals.ticket(ALICE, PAGE)
    parts = [urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in ticket.split(".")]
    for secret in (b"alice", b"trades", b"login", b"app.example"):
        assert not any(secret in part for part in parts)


def test_a_key_of_ones_own_opens_nothing(seals: Seals) -> None:
    """Nor does a header that brings another algorithm, or packs what is inside."""
    for header in (
        {"alg": "dir", "enc": "A256GCM"},
        {"alg": "dir", "enc": "A256GCM", "zip": "DEF"},
    ):
        own = OctKey.import_key(b"k" * 32)
        assert code(seals, jwe.encrypt_compact(header, b'{"for": "x"}', own)) == "bad_ticket"


def test_a_ticket_is_no_cookie_and_a_cookie_is_no_ticket(seals: Seals) -> None:
    """A ticket in a log would else be a cookie until the end of the token."""
    ticket, cookie = seals.ticket(ALICE, "")[0], seals.cookie(ALICE, 0)[0]
    assert code(seals, ticket, Purpose.COOKIE) == "bad_token"
    assert code(seals, cookie, Purpose.TICKET) == "bad_ticket"


def test_a_secret_is_changed_without_a_pause(wall: Wall) -> None:
    """First it opens in all replicas, then it seals, then the old one goes."""
    before, both = Seals([OLD], wall), Seals([OLD, NEW], wall)
    turned, after = Seals([NEW, OLD], wall), Seals([NEW], wall)
    for sealing, opening in (
        (before, (both, turned)),
        (both, (before, turned)),
        (turned, (both, after)),
    ):
        ticket, _ = sealing.ticket(ALICE, "")
        for replica in opening:
            assert replica.open(ticket, Purpose.TICKET).identity == ALICE
    assert code(after, before.ticket(ALICE, "")[0]) == "bad_ticket"
    assert code(before, after.cookie(ALICE, 0)[0], Purpose.COOKIE) == "bad_token"


def test_a_ticket_lives_for_a_moment(seals: Seals, wall: Wall) -> None:
    """A page uses it at once. One that is too late is told to take another."""
    ticket, life_s = seals.ticket(ALICE, "")
    assert life_s == TICKET_S == 30
    wall.now += 29.9
    assert seals.open(ticket, Purpose.TICKET).identity == ALICE
    wall.now += 0.1
    with pytest.raises(UsedTicket) as caught:
        seals.open(ticket, Purpose.TICKET)
    assert caught.value.code == "bad_ticket"
    assert "older than 30 s; POST /v1/tickets makes another one" in caught.value.message


def test_neither_outlives_its_token(seals: Seals, wall: Wall) -> None:
    """A cookie ends a little before, with the streams that it opened."""
    wall.now = ALICE.expires_at - 10
    ticket, life_s = seals.ticket(ALICE, "")
    cookie, left_s = seals.cookie(ALICE, 5)
    assert (life_s, left_s) == (10, 10)
    wall.now += 4.9
    assert seals.open(cookie, Purpose.COOKIE).identity == ALICE
    wall.now += 0.1
    assert code(seals, cookie, Purpose.COOKIE) == "expired"
    assert seals.open(ticket, Purpose.TICKET)
    wall.now += 5
    assert code(seals, ticket) == "bad_ticket"


def test_what_no_browser_would_keep_is_not_made(seals: Seals) -> None:
    """And what is longer is not looked at. A ticket that is made has room for its cookie."""
    patterns = [f"trades.{number:03}" for number in range(256)]
    wide = Identity(Scope(patterns), subject="alice", issuer="x", expires_at=NOW + 600)
    makes: list[Callable[[], object]] = [
        lambda: seals.ticket(wide, ""), lambda: seals.cookie(wide, 5),
    ]  # fmt: skip
    for make in makes:
        with pytest.raises(Refusal) as caught:
            make()
        assert caught.value.code == "too_large"
        assert "fewer patterns" in caught.value.message
    assert code(seals, seals.ticket(ALICE, "")[0] + "A" * SEALED_BYTES_MAX) == "bad_ticket"


def test_a_ticket_that_is_made_has_room_for_its_cookie() -> None:
    """Of any length up to the bound, at any moment."""
    wall = Wall()
    seals = Seals([NEW], wall)
    for length in range(2600, 2900):
        wall.now += 1 / 7
        long = Identity(
            Scope([]), subject="a" * length, issuer="x", expires_at=wall.now + length / 3
        )
        try:
            seals.ticket(long, "")
        except Refusal:
            return
        assert len(seals.cookie(long, 5)[0]) <= SEALED_BYTES_MAX
    pytest.fail("the bound was not reached")
