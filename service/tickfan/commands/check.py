"""``tickfan check``: the settings as they turn out, or what is wrong with them.

Must not know the service, nor any other command.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from tickfan.commands import FAILED, OK
from tickfan.commands.shared import leave_stdout, settings_to_serve

if TYPE_CHECKING:
    from pathlib import Path


def check(config: Path | None, *, is_demo: bool = False) -> int:
    """Print every setting, secrets masked."""
    try:
        sys.stdout.write(settings_to_serve(config, is_demo=is_demo).to_toml())
        sys.stdout.flush()
    except OSError as error:
        leave_stdout(error)
        return OK if isinstance(error, BrokenPipeError) else FAILED
    return OK
