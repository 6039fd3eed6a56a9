"""How often functions are called, by whomever and under whatever name; nothing is replaced.

Must not know what is tested.
"""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType, FunctionType

    Function = Callable[..., Any]


@contextmanager
def calls_of(*functions: Function) -> Iterator[Counter[Function]]:
    """Count the calls of some Python functions in this thread, until the end of the block."""
    of_code = {cast("FunctionType", function).__code__: function for function in functions}
    found: Counter[Function] = Counter()

    def note(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call" and frame.f_code in of_code:
            found[of_code[frame.f_code]] += 1

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield found
    finally:
        sys.setprofile(before)
