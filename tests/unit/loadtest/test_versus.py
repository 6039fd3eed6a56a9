"""What `--vs` names, and what of a turn is compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from loadtest.bench import versus
from loadtest.bench.builds import HERE
from loadtest.bench.steady import Row

if TYPE_CHECKING:
    from pathlib import Path


def test_a_path_is_a_build_under_the_name_that_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also a relative one."""
    monkeypatch.chdir(HERE)
    found = versus.other(".")

    assert (found.root, found.name) == (HERE, ".")
    assert list(versus.builds(found)) == [versus.THIS, "."]


@pytest.mark.parametrize("vs", ["no-such-place", "9.9.9"])
def test_what_is_neither_a_release_nor_a_directory_is_refused(vs: str) -> None:
    """In a sentence that names the releases."""
    with pytest.raises(LookupError, match=rf"{vs} is neither a directory nor a release \(0\.1\.0"):
        versus.other(vs)


def test_a_directory_that_is_no_checkout_is_refused(tmp_path: Path) -> None:
    """By the directory's name."""
    with pytest.raises(LookupError, match=f"{tmp_path} is no checkout of Tickfan"):
        versus.other(str(tmp_path))


def test_a_turn_has_the_figures_that_its_row_has() -> None:
    """Bytes of one delivered update; nothing for what could not be measured."""
    row = Row(
        "A", "tickfan", "", clients=500, out_per_s=100_000, cpu_us=3.0, p99_ms=17.0,
        kb_s_client=22.5,
    )  # fmt: skip

    assert versus.figures(row) == {
        "CPU us an update": 3.0, "age p99 ms": 17.0, "delivered/s": 100_000,
        "bytes an update": pytest.approx(112.5),
    }  # fmt: skip
    assert versus.figures(Row("A", "tickfan", "")) == {"delivered/s": 0, "bytes an update": 0.0}
