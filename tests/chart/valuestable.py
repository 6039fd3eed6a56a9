"""The table of values in the chart's README, made of values.yaml and its schema.

``python -m tests.chart.valuestable`` writes it; a test holds the three together. A value's
meaning is the comment on its line. Must not know any one value.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from tests.chart.rendering import CHART
from tests.chart.schema import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterator

README = CHART / "README.md"
BEGIN, END = "<!-- values -->\n", "<!-- /values -->\n"
LINE = re.compile(r"^( *)(\w+):(?: +(?!#)(.*?))?(?: +# (.*))?$")


class Row(NamedTuple):
    """One value: its path, type and default as a reader sees them, and what it means."""

    path: str
    type: str
    default: str
    meaning: str

    def __str__(self) -> str:
        cells = [f"`{self.path}`", self.type, f"`{self.default}`", self.meaning]
        return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def rows() -> Iterator[Row]:
    """A row for each value in values.yaml, then one for each that only the schema has."""
    schema = json.loads(SCHEMA.read_text())
    text = (CHART / "values.yaml").read_text()
    values = yaml.safe_load(text)
    seen = set()
    above: list[tuple[int, str]] = []
    inside = 1000
    for line in text.splitlines():
        found = LINE.match(line)
        if found is None or len(found[1]) > inside:
            continue
        indent, inside = len(found[1]), 1000
        above = [(depth, name) for depth, name in above if depth < indent] + [(indent, found[2])]
        path = [name for _, name in above]
        kind = _at(schema, path)
        if found[3] is None and "properties" in kind:
            continue
        inside = indent
        default = found[3] or json.dumps(_value(values, path))
        seen.add(".".join(path))
        yield Row(".".join(path), _type(kind), default, _meaning(found[4]))
    for leaf, kind in _leaves(schema, schema, ""):
        if not any(f"{leaf}.".startswith(f"{each}.") for each in (*seen, "config")):
            yield Row(leaf, _type(kind), "null", kind.get("description", ""))


def _at(schema: dict[str, Any], path: list[str]) -> dict[str, Any]:
    found = schema
    for name in path:
        found = _resolved(schema, found["properties"][name])
    return found


def _resolved(schema: dict[str, Any], kind: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in kind:
        return kind
    found: dict[str, Any] = schema["definitions"][kind["$ref"].rpartition("/")[2]]
    return kind | found


def _value(values: Any, path: list[str]) -> Any:
    for name in path:
        values = values[name]
    return values


def _leaves(
    schema: dict[str, Any], kind: dict[str, Any], path: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, below in kind.get("properties", {}).items():
        inner = _resolved(schema, below)
        where = f"{path}{name}"
        if "properties" in inner:
            yield from _leaves(schema, inner, f"{where}.")
        else:
            yield where, inner


def _type(kind: dict[str, Any]) -> str:
    if "const" in kind:
        return f"`{json.dumps(kind['const'])}`"
    if "enum" in kind:
        return ", ".join(f"`{word}`" for word in kind["enum"] if word)
    names = {"array": "list", "object": "map"}
    types = kind.get("type", "any")
    return " or ".join(
        names.get(each, each) for each in ([types] if isinstance(types, str) else types)
    )


def _meaning(said: str | None) -> str:
    if said is None:
        return ""
    return f"such as `{said}`" if said.startswith(("- ", "{")) else said


def table() -> str:
    """The table, as Markdown."""
    head = "| value | type | default | meaning |\n|---|---|---|---|\n"
    return head + "".join(f"{row}\n" for row in rows())


def main() -> None:
    """Write the table into the README anew."""
    before, _, rest = README.read_text().partition(BEGIN)
    README.write_text(before + BEGIN + table() + END + rest.partition(END)[2])


if __name__ == "__main__":
    main()
