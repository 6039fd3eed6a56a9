"""Fixtures of the chart's tests: every set of values, rendered once."""

from __future__ import annotations

from functools import cache

import pytest

from tests.chart.rendering import DEMO, VALUE_SETS, Rendered, render

RENDER_ONCE = cache(render)


@pytest.fixture(scope="session", params=["defaults", *sorted(VALUE_SETS)])
def rendered(request: pytest.FixtureRequest) -> Rendered:
    """The chart with the demo's defaults, and with each set of ci/."""
    return RENDER_ONCE(*_words(request.param))


@pytest.fixture(scope="session")
def everything() -> Rendered:
    """The chart with all that can be switched on."""
    return RENDER_ONCE(*_words("everything"))


@pytest.fixture(scope="session")
def defaults() -> Rendered:
    """The chart as it comes, as a demo."""
    return RENDER_ONCE(*DEMO)


def _words(name: str) -> tuple[str, ...]:
    return DEMO if name == "defaults" else ("-f", str(VALUE_SETS[name]))
