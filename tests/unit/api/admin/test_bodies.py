"""What may stand in a list of revocations, and what a wrong one is answered."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tickfan.access.revocations import Revocation
from tickfan.api.admin.bodies import AHEAD_MS_MAX, ENTRIES_MAX, revocations_of
from tickfan.core.errors import Refusal

NOW_MS = 1_800_000_000_000


def _read(*entries: Any) -> list[Revocation]:
    return revocations_of(orjson.dumps({"revocations": entries}), NOW_MS)


@pytest.mark.parametrize(
    ("entry", "revocation"),
    [
        ({"subject": "a"}, Revocation("a", "", "", NOW_MS)),
        ({"subject": "a", "issuer": "i"}, Revocation("a", "", "i", NOW_MS)),
        ({"subject": "a", "before": NOW_MS - 5}, Revocation("a", "", "", NOW_MS - 5)),
        ({"subject": "a", "before": NOW_MS // 1000}, Revocation("a", "", "", NOW_MS)),
        ({"jti": "x"}, Revocation("", "x", "", NOW_MS)),
        ({"jti": "x", "issuer": "i"}, Revocation("", "x", "i", NOW_MS)),
        ({"issued_before": NOW_MS + AHEAD_MS_MAX}, Revocation("", "", "", NOW_MS + AHEAD_MS_MAX)),
        ({"issued_before": "2027-01-15T08:00:00Z"}, Revocation("", "", "", NOW_MS)),
        ({"issued_before": NOW_MS, "issuer": "i"}, Revocation("", "", "i", NOW_MS)),
    ],
)
def test_each_way_to_name_tokens(entry: dict[str, Any], revocation: Revocation) -> None:
    """Without a time it is those that were issued before now."""
    assert _read(entry) == [revocation]
    assert _read(entry, entry) == [revocation] * 2


@pytest.mark.parametrize(
    ("entry", "part"),
    [
        (1, "must be an object"),
        ({}, "must have one of"),
        ({"issuer": "i"}, "must have one of"),
        ({"subject": "a", "jti": "x"}, "must have one of"),
        ({"subject": "a", "issued_before": NOW_MS}, "must have one of"),
        ({"jti": "x", "before": NOW_MS}, "before goes with subject"),
        ({"subjects": ["a"]}, "'subjects' is none of"),
        ({"subject": ""}, "subject must be a text"),
        ({"subject": 7}, "subject must be a text"),
        ({"subject": "a" * 256}, "subject must be a text"),
        ({"jti": None}, "jti must be a text"),
        ({"jti": "x", "issuer": ""}, "issuer must be a text"),
        ({"issued_before": None}, "must be a time in ms"),
        ({"issued_before": 0}, "must be a time in ms"),
        ({"issued_before": True}, "is no time"),
        ({"issued_before": "tomorrow"}, "is no time"),
        ({"issued_before": NOW_MS + AHEAD_MS_MAX + 1}, "300 s ahead"),
    ],
)
def test_what_is_wrong_with_an_entry_is_said_with_its_place(entry: Any, part: str) -> None:
    """Nothing is revoked if one of them is wrong."""
    with pytest.raises(Refusal, match=part) as caught:
        _read({"subject": "right"}, entry)
    assert "revocations[1]" in caught.value.message
    assert caught.value.code == "bad_field"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "bad_json"), (b"{", "bad_json"), (b"[]", "bad_field"), (b"{}", "bad_field"),
        (b'{"revocations":{}}', "bad_field"), (b'{"revocations":[]}', "bad_field"),
        (b'{"revocations":[{"jti":"a"}],"dry_run":true}', "bad_field"),
        (orjson.dumps({"revocations": [{"jti": "a"}] * (ENTRIES_MAX + 1)}), "bad_field"),
    ],
)  # fmt: skip
def test_a_body_is_a_list_of_1_to_100(body: bytes, code: str) -> None:
    """A field that is not known might have been meant to change what happens."""
    with pytest.raises(Refusal) as caught:
        revocations_of(body, NOW_MS)
    assert caught.value.code == code
