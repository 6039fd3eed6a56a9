"""tickfan.wire.schema: what fits, what is told of what does not, and what a schema may not do."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from tickfan.core.errors import Poison
from tickfan.wire.schema import SCHEMA_BYTES_MAX, Schema, SchemaError, read

if TYPE_CHECKING:
    from pathlib import Path

BOOK = {
    "type": "object",
    "required": ["bids"],
    "properties": {
        "bids": {"items": {"items": {"type": "number"}}},
        "a/~b": {"enum": list(range(10_000))},
        "p": {"pattern": "^(a+)+$"},
    },
    "additionalProperties": False,
}


def made(schema: Any) -> Schema:
    return Schema(json.dumps(schema).encode())


def why(schema: Any, data: Any) -> str:
    with pytest.raises(Poison) as caught:
        made(schema).check(data)
    assert caught.value.reason == "bad_schema"
    return caught.value.detail


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ([], '/: the value is not of type "object"'),
        ({}, '/: "bids" is a required property'),
        ({"bids": [[1, 2], [3, "4"]]}, '/bids/1/1: the value is not of type "number"'),
        ({"bids": [], "a/~b": -1}, "/a~1~0b: the value is not one of 0, 1 or 9998"),
    ],
)
def test_a_violation_has_its_path_and_what_was_expected(data: Any, told: str) -> None:
    """The path as a JSON Pointer (RFC 6901); the value is not repeated."""
    made(BOOK).check({"bids": [[1, 2.5]]})
    assert why(BOOK, data).startswith(told)


@pytest.mark.parametrize(
    "data",
    [
        {"bids": [["secret" * 100_000]]},
        {"bids": [], "x" * 500_000: 1},
        {"bids": [], **dict.fromkeys(map(str, range(10_000)), 0)},
    ],
)
def test_what_is_told_is_bounded(data: Any) -> None:
    """Whatever the publisher has sent; nor is a value shown."""
    told = why(BOOK, data)
    assert len(told) <= 330
    assert "secret" not in told
    nested: dict[str, Any] = {"type": "string"}
    deep: Any = 1
    for _ in range(60):
        nested, deep = {"additionalProperties": nested}, {"k" * 1000: deep}
    assert len(why(nested, deep)) <= 330


def test_a_pattern_takes_linear_time() -> None:
    """A pattern with nested repeats would take 2^100,000 steps if it were tried step by step."""
    assert why(BOOK, {"bids": [], "p": "a" * 100_000 + "!"}).startswith("/p: the value does not")


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"type": "strng"}, '/type: "strng" is not valid'),
        ([], '/: [] is not of types "boolean", "object"'),
        ({"pattern": "("}, '/pattern: "(" is not a "regex"'),
        ({"pattern": "(?=a)b"}, "/pattern: "),
        ({"pattern": r"(a)\1"}, "/pattern: "),
        ({"$schema": "https://example.com/mine"}, "/: Unknown meta-schema"),
        ({"$ref": "https://example.com/x.json"}, "Retrieval is disabled"),
        ({"$ref": "file:///etc/passwd"}, "Retrieval is disabled"),
        ({"$ref": "other.json"}, "other.json"),
    ],
)
def test_what_is_no_schema_is_refused(schema: Any, told: str) -> None:
    """By where it is wrong. Nothing is fetched, and no pattern needs backtracking."""
    with pytest.raises(SchemaError, match="it is no JSON Schema: ") as caught:
        made(schema)
    assert told in str(caught.value)


def test_a_bomb_of_a_schema_is_refused() -> None:
    """Nested too deep, or too large; text that is no JSON, with its place."""
    for content, told in (
        (b'{"items":' * 800 + b"{}" + b"}" * 800, "Recursion limit"),
        (b"[" * 5000, "it is not JSON"),
        (b" " * (SCHEMA_BYTES_MAX + 1), "more than 1048576 bytes"),
        (b"{\n  x", "line 2"),
        (b"\xff\xfe", "it is not JSON"),
    ):
        with pytest.raises(SchemaError, match=told):
            Schema(content)


@pytest.mark.parametrize(
    "schema",
    [
        {"items": {"$ref": "#"}},
        {"properties": {"a": {"$ref": "#/$defs/b"}}, "$defs": {"b": {"items": {"$ref": "#"}}}},
        {"$defs": {"b": {"$anchor": "b", "not": {"$ref": "#b"}}}, "items": {"$ref": "#b"}},
        {"$dynamicAnchor": "n", "items": {"$dynamicRef": "#n"}},
        {"items": {"$ref": "https://json-schema.org/draft/2020-12/schema"}},
    ],
)
def test_a_schema_that_names_itself_is_refused(schema: Any) -> None:
    """Data a few levels deep could take time without an end."""
    with pytest.raises(SchemaError, match="leads back to where it stands"):
        made(schema)


def test_a_schema_may_name_its_parts() -> None:
    """Each as often as it likes, by its place or its name."""
    price = {"$anchor": "price", "type": "string"}
    schema = {
        "$defs": {"price": price, "side": {"items": {"$ref": "#price"}}},
        "properties": {"bids": {"$ref": "#/$defs/side"}, "$ref": {"$ref": "#/$defs/side"}},
    }
    made(schema).check({"bids": ["1"], "$ref": ["2"]})
    assert why(schema, {"$ref": [2]}) == '/$ref/0: the value is not of type "string"'


def test_older_drafts_are_as_they_were() -> None:
    """``format`` counts in draft 7, and is a note in 2020-12, the default."""
    old = {"$schema": "http://json-schema.org/draft-07/schema#", "format": "date-time"}
    assert 'is not a "date-time"' in why(old, "yesterday")
    made({"format": "date-time"}).check("yesterday")


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """None, a directory, and no path at all."""
    good = tmp_path / "good.json"
    good.write_text("true")
    read(str(good)).check(1)
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "none.json", tmp_path, tmp_path / "pipe", "a\0b"):
        with pytest.raises(SchemaError, match="the file cannot be read: "):
            read(str(path))
