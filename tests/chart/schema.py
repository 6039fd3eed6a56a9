"""The chart's schema of the service's settings, taken from the settings themselves.

``python -m tests.chart.schema`` writes it into values.schema.json; a test holds
the two together. Must not know the chart's own values.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tickfan.config import Settings

if TYPE_CHECKING:
    from collections.abc import Collection

SCHEMA = Path(__file__).parents[2] / "helm" / "tickfan" / "values.schema.json"

ELSEWHERE = {
    "http": {"admin_token", "tls_cert_file", "tls_key_file"},
    "broker": {"url", "tls_ca_file", "tls_cert_file", "tls_key_file"},
    "publish": {"token"},
    "access": {"secret"},
    "keys": {"key"},
}
"""Settings that the chart takes from Secrets, so its ``config`` must not have them."""

KEPT = ("type", "enum", "const", "default", "items", "anyOf")
LINE_MAX = 118


def settings_schema() -> dict[str, Any]:
    """What values.schema.json must say of ``config``."""
    whole = Settings.model_json_schema()
    models = whole["$defs"]
    properties: dict[str, Any] = {}
    for name, field in whole["properties"].items():
        if name not in ("feeds", "keys"):
            table = _table(models[field["$ref"].rpartition("/")[2]], ELSEWHERE.get(name, ()))
            if table["properties"]:
                properties[name] = table
    # The chart's arithmetic and ports need these.
    properties["http"]["required"] = ["port", "admin_port"]
    properties["http"]["properties"]["port"] = {"$ref": "#/definitions/port"}
    properties["http"]["properties"]["admin_port"] = {"$ref": "#/definitions/port"}
    properties["stream"]["required"] = ["connections_max"]
    properties["stop"]["required"] = ["drain_s", "grace_s"]
    for seconds in properties["stop"]["properties"].values():
        seconds["minimum"] = 0
    key = _table(models["KeySettings"], ELSEWHERE["keys"])
    key["required"] = ["issuer", "algorithm", "key_file"]
    properties["keys"] = {"type": "array", "items": key}
    properties["feeds"] = {"type": "array", "items": _feed(models)}
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["http", "stream", "stop"],
        "properties": properties,
    }


def _feed(models: dict[str, Any]) -> dict[str, Any]:
    # Not oneOf: its complaint would only say that neither fits.
    return {
        "type": "object",
        "required": ["name", "bind", "delivery"],
        "properties": {"delivery": {"enum": ["conflated", "lossless"]}},
        "if": {"properties": {"delivery": {"const": "conflated"}}},
        "then": _table(models["ConflatedFeed"]),
        "else": _table(models["LosslessFeed"]),
    }


def _table(model: dict[str, Any], without: Collection[str] = ()) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            name: {key: field[key] for key in KEPT if key in field}
            for name, field in model["properties"].items()
            if name not in without
        },
    }


def _text(value: Any, indent: int = 0) -> str:
    """JSON with whatever fits on a line on one: a schema to be read."""
    flat = json.dumps(value, ensure_ascii=False)
    if len(flat) + indent <= LINE_MAX or not isinstance(value, dict | list):
        return flat
    inner = "\n" + " " * (indent + 2)
    if isinstance(value, dict):
        items = [f"{json.dumps(key)}: {_text(item, indent + 2)}" for key, item in value.items()]
    else:
        items = [_text(item, indent + 2) for item in value]
    first, last = "{}" if isinstance(value, dict) else "[]"
    return f"{first}{inner}{f',{inner}'.join(items)}\n{' ' * indent}{last}"


def main() -> None:
    """Write the settings' part of values.schema.json anew."""
    schema = json.loads(SCHEMA.read_text())
    schema["definitions"]["settings"] = settings_schema()
    SCHEMA.write_text(_text(schema) + "\n")


if __name__ == "__main__":
    main()
