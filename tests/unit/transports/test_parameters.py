"""tickfan.transports.parameters: what is asked alike of every request."""

from __future__ import annotations

import pytest
from aiohttp.test_utils import make_mocked_request

from tickfan.core.errors import Refusal
from tickfan.transports.parameters import check_encoding, check_query, whole_number, yes_or_no


def test_a_parameter_that_is_not_known_is_named() -> None:
    """Those that begin with _ are the caller's own."""
    check_query(make_mocked_request("GET", "/?limit=1&_=2"), "limit")
    with pytest.raises(Refusal, match="'limits' is not a parameter; they are limit, after") as no:
        check_query(make_mocked_request("GET", "/?limits=1"), "limit", "after")
    assert (no.value.code, no.value.item) == ("bad_field", "limits")
    with pytest.raises(Refusal, match="there are none here"):
        check_query(make_mocked_request("GET", "/?limits=1"))


def test_a_whole_number_is_digits_of_ascii() -> None:
    """No sign, no exponent, no digits of other scripts, and not so many that they cost time."""
    assert [whole_number(text) for text in ("0", "007", "9" * 9)] == [0, 7, 999_999_999]
    for text in ("", "-1", "+1", "1e1", "1.0", " 1", "\u0661", "1" * 10):
        assert whole_number(text) is None, text


def test_yes_and_no_are_few_words() -> None:
    """1 and true, 0 and false; any other text is neither."""
    assert [yes_or_no(text) for text in ("1", "true", "TRUE")] == [True] * 3
    assert [yes_or_no(text) for text in ("0", "false")] == [False] * 2
    assert [yes_or_no(text) for text in ("", "yes", "2", "on")] == [None] * 4


def test_a_packed_body_is_refused() -> None:
    """A small one could become any size."""
    check_encoding(make_mocked_request("POST", "/"))
    check_encoding(make_mocked_request("POST", "/", headers={"Content-Encoding": "identity"}))
    with pytest.raises(Refusal) as no:
        check_encoding(make_mocked_request("POST", "/", headers={"Content-Encoding": "gzip"}))
    assert no.value.code == "unsupported_media_type"
