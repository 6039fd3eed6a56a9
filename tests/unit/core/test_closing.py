"""The table of reasons."""

from __future__ import annotations

import re

from tickfan.core import closing
from tickfan.core.closing import REASONS, Reason


def test_every_reason_is_in_the_table() -> None:
    """A new reason cannot be forgotten: by its name, in capitals and small."""
    named = {key.lower(): one for key, one in vars(closing).items() if isinstance(one, Reason)}
    assert named == REASONS


def test_codes_are_unique_and_in_their_range() -> None:
    """A code says one thing, and by its range whether to come back."""
    codes = [reason.code for reason in REASONS.values()]
    assert len(set(codes)) == len(codes)
    ours = [reason for reason in REASONS.values() if reason.name not in ("left", "lost")]
    assert all(4000 <= reason.code < 5000 for reason in ours)  # RFC 6455, 7.4.2
    refused = {reason.name for reason in ours if not reason.may_reconnect}
    assert refused == {"bad_token", "bad_request", "forbidden", "limit", "done"}
    assert all(reason.may_reconnect is (reason.code < 4500) for reason in ours)


def test_names_and_messages_fit_their_places() -> None:
    """A name labels a metric; a message fits a close frame (RFC 6455, 5.5: 123 bytes)."""
    for reason in REASONS.values():
        assert re.fullmatch(r"[a-z_]+", reason.name)
        assert 0 < len(reason.message.encode()) <= 123
