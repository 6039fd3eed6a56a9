"""What holds for each table of the settings."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from tickfan.config import Settings
from tickfan.config.complaints import sections
from tickfan.config.section import Section


def test_each_table_is_a_section() -> None:
    """So none takes a name that it does not have."""
    for model in sections(Settings).values():
        assert issubclass(model, Section)


def test_it_is_frozen_and_closed() -> None:
    """Settings do not change while the service runs."""

    class Some(Section):
        port: int = 1

    with pytest.raises(ValidationError):
        Some(ports=2)  # type: ignore[call-arg]
    with pytest.raises(ValidationError):
        Some().port = 2  # type: ignore[misc]
