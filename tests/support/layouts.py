"""The layouts of real files, each with its options and the rows that must arrive.

Must not know what is tested with them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from tickfan.files.columns import Layout
from tickfan.files.reader import Replay

SAMPLES = Path(__file__).parents[1] / "unit" / "files" / "samples"
OF_LAYOUT = {
    "--columns", "--time", "--symbol-column", "--tz", "--date", "--time-unit", "--time-format",
    "--delimiter", "--encoding",
}  # fmt: skip


class Sample(NamedTuple):
    """A file with made-up numbers in a real layout.

    ``vendor`` and ``what`` are empty where the layout is nobody's. ``rows`` are time in ms
    UTC, symbol, and what stands in the ``field``.
    """

    file: str
    options: list[str]
    field: str
    rows: list[list[Any]]
    vendor: str = ""
    what: str = ""

    @property
    def path(self) -> Path:
        """Where the file is."""
        return SAMPLES / self.file

    def replay(self) -> Replay:
        """How its options read it."""
        said = dict(zip(self.options, self.options[1:], strict=False))
        layout: dict[str, Any] = {
            option[2:].replace("-", "_"): value
            for option, value in said.items()
            if option in OF_LAYOUT
        }
        if "columns" in layout:
            layout["columns"] = tuple(layout["columns"].split(","))
        return Replay(self.path, symbol=said.get("--symbol"), layout=Layout(**layout))


def layouts() -> list[Sample]:
    """All of them, as the table has them."""
    return [Sample(**each) for each in json.loads((SAMPLES / "layouts.json").read_text())]
