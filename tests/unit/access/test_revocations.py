"""Which identities a revocation refuses, and for how long it is kept."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tickfan.access.identity import Identity
from tickfan.access.revocations import FORGET_EVERY_S, Held, Revocation, Revocations
from tickfan.core.scope import NONE

AGE_S = 1000.0
NOW = 1_800_000_000

ISSUERS = st.sampled_from(["https://a/", "https://b/"])
SUBJECTS = st.sampled_from(["alice", "bob"])
IDS = st.sampled_from(["", "t1", "t2"])
TIMES = st.integers(NOW - 5, NOW + 5)

IDENTITIES = st.builds(
    lambda subject, issuer, token_id, issued: Identity(
        NONE, subject=subject, issuer=issuer, token_id=token_id, issued_at=float(issued)
    ),
    SUBJECTS, ISSUERS, IDS, TIMES,
)  # fmt: skip

ANY_ISSUER = st.one_of(st.just(""), ISSUERS)
REVOCATIONS = st.one_of(
    st.builds(Revocation, SUBJECTS, st.just(""), ANY_ISSUER, TIMES.map(lambda s: s * 1000)),
    st.builds(Revocation, st.just(""), IDS.filter(bool), ANY_ISSUER, st.just(NOW * 1000)),
    st.builds(Revocation, st.just(""), st.just(""), ANY_ISSUER, TIMES.map(lambda s: s * 1000)),
)


class Time:
    """A wall clock that a test sets."""

    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now


def _names(revocation: Revocation, identity: Identity) -> bool:
    """What the module's words say, written a second time."""
    subject, token_id, issuer, before_ms = revocation
    if issuer and issuer != identity.issuer:
        return False
    if token_id:
        return token_id == identity.token_id
    if subject and subject != identity.subject:
        return False
    return identity.issued_at < before_ms / 1000


@given(st.lists(REVOCATIONS, max_size=6), st.lists(IDENTITIES, max_size=6))
def test_exactly_those_that_one_of_them_names_are_refused(
    revocations: list[Revocation], identities: list[Identity]
) -> None:
    """Whatever others came before or after it."""
    known = Revocations(AGE_S, Time())
    known.add(revocations)
    for identity in identities:
        assert known.refuses(identity) is any(_names(each, identity) for each in revocations)


@given(st.lists(REVOCATIONS, max_size=6))
def test_the_order_does_not_count(revocations: list[Revocation]) -> None:
    """Replicas may read them in other batches, and what came twice counts once."""
    one, other = Revocations(AGE_S, Time()), Revocations(AGE_S, Time())
    one.add(revocations)
    for revocation in reversed(revocations + revocations):
        other.add([revocation])
    held = [{each.revocation for each in known.after(0, 100)} for known in (one, other)]
    assert held[0] == held[1]


def _subject(name: str, **fields: Any) -> Revocation:
    return Revocation(name, "", "", fields.get("before_ms", NOW * 1000))


def test_who_signs_in_anew_gets_in_again() -> None:
    """A token that was issued at the time of the revocation, or after, is another one."""
    known = Revocations(AGE_S, Time())
    known.add([_subject("alice")])
    for issued, is_refused in [(NOW - 0.001, True), (NOW, False), (NOW + 1, False)]:
        alice = Identity(NONE, subject="alice", issuer="https://a/", issued_at=issued)
        assert known.refuses(alice) is is_refused


def test_what_is_no_token_of_an_issuer_cannot_be_revoked() -> None:
    """publish.token and somebody without a token have no issuer, whatever they are called."""
    known = Revocations(AGE_S, Time())
    known.add([Revocation("", "", "", (NOW + 5) * 1000), _subject("publish.token")])
    assert not known.refuses(Identity(NONE))
    assert not known.refuses(Identity(NONE, subject="publish.token"))
    assert known.refuses(Identity(NONE, subject="publish.token", issuer="https://a/"))


def test_one_is_forgotten_when_no_token_that_it_names_can_be_good() -> None:
    """Not a moment earlier; the last such token was issued just before it."""
    time = Time()
    known = Revocations(AGE_S, time)
    known.add([_subject("alice"), _subject("bob", before_ms=(NOW - 10) * 1000)])
    time.now = NOW + AGE_S - 10 - 0.001
    known.forget()
    assert len(known) == 2
    time.now = NOW + AGE_S - 10
    known.forget()
    assert [held.revocation.subject for held in known.after(0, 10)] == ["alice"]
    time.now = NOW + AGE_S
    known.forget()
    assert not len(known)


def test_what_is_over_goes_by_itself() -> None:
    """While others come: nobody has to ask for it."""
    time = Time()
    known = Revocations(AGE_S, time)
    known.add([_subject("alice")])
    time.now += AGE_S + FORGET_EVERY_S
    known.add([_subject("bob", before_ms=int(time.now * 1000))])
    assert len(known) == 1


def test_pages_follow_each_other() -> None:
    """One that comes again is on a later page, and is not twice on any."""
    known = Revocations(AGE_S, Time())
    known.add([_subject(name) for name in "abcd"])
    first = list(known.after(0, 2))
    assert [held.revocation.subject for held in first] == ["a", "b"]
    known.add([_subject("a", before_ms=NOW * 1000 + 1), _subject("b")])
    rest = list(known.after(first[-1].number, 10))
    assert [held.revocation.subject for held in rest] == ["c", "d", "a"]
    assert rest[-1] == Held(5, _subject("a", before_ms=NOW * 1000 + 1))
