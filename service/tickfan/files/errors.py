"""What can be wrong with a file: all of it, one row of it, or one time in a row.

Must not know who reads the file.
"""

from __future__ import annotations

from tickfan.core.errors import TickfanError


class ReplayError(TickfanError):
    """A file that cannot be replayed, or an option that cannot be meant."""


class BadRow(ReplayError):
    """One row that cannot be sent. Says the file, the line, the column and the reason."""


class BadTime(ValueError):
    """A text that is no time, or that could mean two. Says why, and which option decides."""
