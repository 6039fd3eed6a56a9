"""What a call of an operator says: the entries of a list of revocations.

Must not know what is done with them.
"""

from __future__ import annotations

from typing import Any

import orjson

from tickfan.access.revocations import Revocation
from tickfan.access.tokens import SUBJECT_CHARS_MAX
from tickfan.core.errors import Poison, Refusal
from tickfan.core.times import as_ms

ENTRIES_MAX = 100
"""Revocations of one call."""

AHEAD_MS_MAX = 300_000
"""How far in the future a time may lie: the clock of an issuer may be ahead of ours."""

NAMING = ("subject", "jti", "issued_before")
FIELDS = (*NAMING, "issuer", "before")


def revocations_of(body: bytes, now_ms: int) -> list[Revocation]:
    """What the body of a call asks for. Raises :class:`Refusal`, which names the entry."""
    try:
        given = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Refusal("bad_json", "the body is no JSON") from None
    entries = given.get("revocations") if isinstance(given, dict) else None
    if not isinstance(entries, list) or set(given) != {"revocations"}:
        raise Refusal("bad_field", 'send {"revocations": [...]} and nothing beside', "revocations")
    if not 1 <= len(entries) <= ENTRIES_MAX:
        raise Refusal("bad_field", f"send 1 to {ENTRIES_MAX} at once", "revocations")
    return [_revocation(entry, f"revocations[{i}]", now_ms) for i, entry in enumerate(entries)]


def _revocation(entry: Any, where: str, now_ms: int) -> Revocation:
    if not isinstance(entry, dict):
        raise Refusal("bad_field", f"{where} must be an object", where)
    if unknown := sorted(set(entry) - set(FIELDS)):
        raise Refusal(
            "bad_field", f"{where}: {unknown[0][:40]!r} is none of {', '.join(FIELDS)}", where
        )
    naming = [name for name in NAMING if name in entry]
    if len(naming) != 1:
        raise Refusal("bad_field", f"{where} must have one of {', '.join(NAMING)}", where)
    if "before" in entry and naming != ["subject"]:
        raise Refusal("bad_field", f"{where}: before goes with subject alone", where)
    before_ms = now_ms
    for name in ("before", "issued_before"):
        if name in entry:
            before_ms = _time(entry[name], f"{where}.{name}", now_ms)
    subject, token_id, issuer = (_text(entry, name, where) for name in ("subject", "jti", "issuer"))
    return Revocation(subject, token_id, issuer, before_ms)


def _text(entry: dict[str, Any], name: str, where: str) -> str:
    if name not in entry:
        return ""
    value = entry[name]
    if not isinstance(value, str) or not 1 <= len(value) <= SUBJECT_CHARS_MAX:
        raise Refusal(
            "bad_field",
            f"{where}.{name} must be a text of 1 to {SUBJECT_CHARS_MAX} characters",
            f"{where}.{name}",
        )
    return value


def _time(value: object, where: str, now_ms: int) -> int:
    try:
        ms = as_ms(value)
    except Poison as poison:
        raise Refusal("bad_field", f"{where}: {poison.detail}", where) from None
    if ms is None or ms > now_ms + AHEAD_MS_MAX:
        raise Refusal(
            "bad_field",
            f"{where} must be a time in ms since 1970 UTC, at most {AHEAD_MS_MAX // 1000} s ahead",
            where,
        )
    return ms
