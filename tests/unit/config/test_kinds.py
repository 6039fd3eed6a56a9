"""tickfan.config.kinds"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, TypeAdapter, ValidationError

from tests.support.updates import LAW
from tickfan.config import kinds

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WHOLE = TypeAdapter(Annotated[int, kinds.whole(1, 9, "sheep")])
REAL = TypeAdapter(Annotated[float, kinds.real(0.5, 9, "seconds")])


def refusal(check: Callable[[Any], object], value: object) -> str:
    with pytest.raises(ValidationError) as caught:
        check(value)
    [fault] = caught.value.errors()
    assert fault["type"] == "allowed"
    return str(fault["ctx"]["allowed"])


@pytest.mark.parametrize("value", [1, 9])
def test_a_whole_number_in_range_is_taken(value: int) -> None:
    """Both ends are in it."""
    assert WHOLE.validate_python(value) == value


@pytest.mark.parametrize("value", [0, 10, -5, "5", "", 5.0, 1.5, True, None, [1], 2**70])
def test_what_is_not_in_range_is_refused_with_the_range_and_its_unit(value: object) -> None:
    """Also a text, and a bool, which Python would take for a number."""
    assert refusal(WHOLE.validate_python, value) == "an integer from 1 to 9 (sheep)"


@pytest.mark.parametrize("value", [0.4, float("inf"), float("nan"), "1", True, 10**400])
def test_a_real_number_must_be_finite_and_in_range(value: object) -> None:
    """Infinity is no time to wait, and a text is no number."""
    assert refusal(REAL.validate_python, value) == "a number from 0.5 to 9 (seconds)"


@LAW
@given(st.integers() | st.floats() | st.text() | st.booleans() | st.none())
def test_a_number_is_in_range_or_refused(value: object) -> None:
    """There is no third outcome, whatever comes."""
    try:
        number = REAL.validate_python(value)
    except ValidationError:
        return
    assert 0.5 <= number <= 9
    assert number == value


@pytest.mark.parametrize("value", ["1s", "15m", "1h", "7D", "1M", "1Y"])
def test_an_age_has_the_units_of_rabbitmq(value: str) -> None:
    """As rabbit_stream_queue checks x-max-age."""
    assert TypeAdapter(kinds.Age).validate_python(value) == value


@pytest.mark.parametrize("value", ["", "0s", "1", "m", "1d", "1 m", "-1m", "1.5h", "1m\n", 60])
def test_other_ages_are_refused(value: object) -> None:
    """Small d is not a unit, and there is no zero."""
    assert "h (hours)" in refusal(TypeAdapter(kinds.Age).validate_python, value)


def test_a_pattern_is_amqps() -> None:
    """What the hub cannot match is refused with what it can."""
    adapter = TypeAdapter(kinds.BindPattern)
    assert adapter.validate_python("quotes.*.#") == "quotes.*.#"
    assert "an AMQP pattern" in refusal(adapter.validate_python, "quotes.")


@pytest.mark.parametrize(
    "value", ["short", "with space in the middle", "x" * 513, "ünsichtbar-ünsichtbar"]
)
def test_a_weak_or_unsendable_token_is_refused(value: str) -> None:
    """A header carries visible ASCII; sixteen characters are the least."""
    assert "visible ASCII" in refusal(TypeAdapter(kinds.Token).validate_python, value)


def test_a_token_may_be_empty_or_good() -> None:
    """Empty means none."""
    adapter: TypeAdapter[SecretStr] = TypeAdapter(kinds.Token)
    assert adapter.validate_python("").get_secret_value() == ""
    assert adapter.validate_python("x" * 16).get_secret_value() == "x" * 16


@pytest.mark.parametrize(
    ("value", "network"),
    [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("192.0.2.1", "192.0.2.1/32"),
        ("2001:DB8::/32", "2001:db8::/32"),
        ("::1", "::1/128"),
    ],
)
def test_a_network_is_one_or_a_single_address(value: str, network: str) -> None:
    """Written in one way."""
    assert TypeAdapter(kinds.Network).validate_python(value) == network


@pytest.mark.parametrize("value", ["", "10", "10.0.0.0/33", "proxy", "10.0.0.0-10.0.0.9", "*"])
def test_what_is_no_network_is_refused(value: str) -> None:
    """A name is none: who has it today may be another tomorrow."""
    said = refusal(TypeAdapter(kinds.Network).validate_python, value)
    assert said == "a network such as 10.0.0.0/8 or 2001:db8::/32, or one address"


def test_a_file_must_be_readable(tmp_path: Path) -> None:
    """A path that leads nowhere is found at start, not at the first connection."""
    adapter = TypeAdapter(kinds.ReadableFile)
    there = tmp_path / "ca.pem"
    there.write_text("")
    assert adapter.validate_python(str(there)) == str(there)
    assert adapter.validate_python("") == ""
    for path in (tmp_path / "none.pem", tmp_path):
        assert "can read" in refusal(adapter.validate_python, str(path))


def test_a_schema_must_be_one(tmp_path: Path) -> None:
    """What is wrong with the file is told, not what stands in it."""
    adapter = TypeAdapter(kinds.SchemaFile)
    path = tmp_path / "quote.json"
    path.write_text('{"type": "object"}')
    assert adapter.validate_python(str(path)) == str(path)
    assert adapter.validate_python("") == ""
    path.write_text('{"type": "objekt"}')
    for wrong, why in ((path, '/type: "objekt" is not valid'), (tmp_path, "cannot be read")):
        with pytest.raises(ValidationError) as caught:
            adapter.validate_python(str(wrong))
        context = caught.value.errors()[0]["ctx"]
        assert context["allowed"].startswith("the path of a JSON Schema")
        assert why in context["wrong"]
