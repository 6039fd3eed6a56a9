"""The result of `--vs`: tables of ratios, and a JSON file with every turn.

Must not know how it was measured.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from loadtest.bench.report import document, number
from loadtest.bench.turns import CPU, Ratio, ratios

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from loadtest.bench.turns import Series

HEADS = ("shape", "what", "ours", "against", "theirs", "ratio", "quartiles", "all", "turns")


def cells(series: Series, ratio: Ratio) -> tuple[str, ...]:
    """A line of the table, in the order of :data:`HEADS`."""
    first, third = ratio.quartiles
    return (
        series.title, ratio.what, _figure(ratio.mine), ratio.against, _figure(ratio.theirs),
        number(ratio.median, 3), f"{first:.3f} to {third:.3f}",
        f"{min(ratio.pairs):.2f} to {max(ratio.pairs):.2f}", str(len(ratio.pairs)),
    )  # fmt: skip


def _figure(value: float) -> str:
    return number(value, 3 if value < 1 else 2 if value < 100 else 0)


def tables(found: Sequence[Series]) -> str:
    """For a document: the costs, then all other figures, then what was not as promised."""
    lines = [(series, ratio) for series in found for ratio in ratios(series)]
    cost = [cells(*line) for line in lines if line[1].what.startswith(CPU)]
    rest = [cells(*line) for line in lines if not line[1].what.startswith(CPU)]
    parts = [document(HEADS, part) for part in (cost, rest) if part]
    return "\n".join([*parts, *(f"- {line}\n" for line in wrong(found))])


def wrong(found: Iterable[Series]) -> list[str]:
    """What was not as promised, a line each; only ours makes the bench fail."""
    return [
        f"{series.title}: {name}: {said}"
        for series in found
        for name, said in series.checked.items()
        if said != "ok"
    ]


def is_held(found: Iterable[Series]) -> bool:
    """Whether all of ours was as promised."""
    return all(series.checked.get(series.ours) == "ok" for series in found)


def write(directory: Path, found: Sequence[Series], about: Mapping[str, str]) -> None:
    """Leave versus.json and versus.md in ``directory``."""
    directory.mkdir(parents=True, exist_ok=True)
    result = {"about": dict(about), "series": [series.as_dict() for series in found]}
    (directory / "versus.json").write_text(json.dumps(result, indent=1))
    (directory / "versus.md").write_text(tables(found))
