"""A feed's JSON Schema: read and compiled once, then asked for each update.

What it may cost is bounded. No other file or address is read, whatever a ``$ref`` names. The
patterns are matched in linear time, so those that need backtracking (look-around, references
back) are refused. So is a schema that names itself: with two ways to go at each level, data
14 levels deep took 3 s. Must not know feeds, nor what becomes of an update that does not fit.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from tickfan.core.errors import Poison, TickfanError

if TYPE_CHECKING:
    from jsonschema_rs import ValidationError, Validator

SCHEMA_BYTES_MAX = 2**20
_PATH_CHARS_MAX = 120
_WHY_CHARS_MAX = 200
_CUT = "..."
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")


class SchemaError(TickfanError):
    """A file is no JSON Schema that can be used; the text says why."""


class Schema:
    """One schema, compiled. Draft 2020-12, unless its ``$schema`` names another draft."""

    __slots__ = ("_validator",)

    def __init__(self, content: bytes) -> None:
        """Compile a file's content; raises :class:`SchemaError`."""
        # Here, as it takes 9 MB and 0.1 s, and most services have no schema.
        import jsonschema_rs  # noqa: PLC0415

        if len(content) > SCHEMA_BYTES_MAX:
            raise SchemaError(f"it has more than {SCHEMA_BYTES_MAX} bytes")
        try:
            value = orjson.loads(content)
        except orjson.JSONDecodeError as error:
            raise SchemaError(f"it is not JSON: {error}") from None
        made = partial(
            jsonschema_rs.validator_for,
            value,
            offline=True,
            pattern_options=jsonschema_rs.RegexOptions(),
        )
        try:
            made()  # with the mask an error would not show what is wrong in the file
            self._validator: Validator = made(mask="the value")
            circle = _reference(jsonschema_rs.dereference(value, offline=True))
        except jsonschema_rs.ValidationError as error:
            raise SchemaError(f"it is no JSON Schema: {_said(error)}") from None
        except ValueError as error:  # nested too deep
            raise SchemaError(f"it is no JSON Schema: {_cut(str(error), _WHY_CHARS_MAX)}") from None
        if circle is not None:
            raise SchemaError(
                f"{_cut(circle, _PATH_CHARS_MAX)!r} leads back to where it stands: what is "
                "nested without an end may take time without an end, so write it out"
            )

    def check(self, data: Any) -> None:
        """Raise :class:`Poison` (``bad_schema``) for data that does not fit.

        Its text has the path of the first part that is wrong, and what was expected there.
        The value itself is not in it.
        """
        try:
            self._validator.validate(data)
        except ValueError as error:
            raise Poison("bad_schema", _said(error)) from None


def read(path: str) -> Schema:
    """The schema in a file. Raises :class:`SchemaError`."""
    try:
        file = Path(path)
        if file.exists() and not file.is_file():  # to open a pipe would wait for its writer
            raise SchemaError("the file cannot be read: it is none")
        with file.open("rb") as opened:
            content = opened.read(SCHEMA_BYTES_MAX + 1)
    except (OSError, ValueError) as error:  # a path may hold a NUL
        why = getattr(error, "strerror", None) or error
        raise SchemaError(f"the file cannot be read: {why}") from None
    return Schema(content)


def _reference(schema: Any) -> str | None:
    """A reference that could not be replaced by what it names, because it is within that."""
    left = [schema]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            for name in _REFERENCES:
                if isinstance(value.get(name), str):
                    return str(value[name])
            left += value.values()
        elif isinstance(value, list):
            left += value
    return None


def _said(error: ValidationError | ValueError) -> str:
    """``/bids/3/0: the value is not of type "number"``: a JSON Pointer (RFC 6901), and why."""
    path: list[str | int] = getattr(error, "instance_path", [])
    pointer = "".join(
        f"/{str(step)[:_PATH_CHARS_MAX].replace('~', '~0').replace('/', '~1')}" for step in path
    )
    why = str(getattr(error, "message", error))
    return f"{_cut(pointer, _PATH_CHARS_MAX) or '/'}: {_cut(why, _WHY_CHARS_MAX)}"


def _cut(text: str, chars: int) -> str:
    return text if len(text) <= chars else text[: chars - len(_CUT)] + _CUT
