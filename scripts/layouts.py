#!/usr/bin/env python3
"""Writes the table of layouts in docs/replay.md from the table that the tests read.

Each command in it is one that a test runs, so it is true. ``scripts/layouts.py [OUT]``
writes the page to OUT, or to docs/replay.md.
"""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "replay.md"
SAMPLES = ROOT / "tests" / "unit" / "files" / "samples" / "layouts.json"
BEGIN, END = "<!-- layouts: make layouts -->\n", "<!-- end of layouts -->\n"


def command(sample: dict[str, Any]) -> str:
    """What a person types for a file of this layout."""
    options = shlex.join(sample["options"])
    return f"tickfan publish --replay {sample['file']} {options}".rstrip()


def table(samples: list[dict[str, Any]]) -> str:
    """The layouts that are a vendor's, in the order of their names."""
    lines = ["| files of | | command |", "|---|---|---|"]
    vendors = [sample for sample in samples if "vendor" in sample]
    for sample in sorted(vendors, key=lambda sample: sample["vendor"].lower()):
        text = command(sample).replace("|", "\\|")
        lines.append(f"| {sample['vendor']} | {sample['what']} | `{text}` |")
    return "\n".join(lines) + "\n"


def page(text: str) -> str:
    """The page with the table as it should be."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + "\n" + table(json.loads(SAMPLES.read_text())) + "\n" + END + after


if __name__ == "__main__":
    Path(sys.argv[1] if len(sys.argv) > 1 else PAGE).write_text(page(PAGE.read_text()))
