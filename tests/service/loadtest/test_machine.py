"""What a process that has ended has cost."""

from __future__ import annotations

import os

import pytest

from loadtest.bench.machine import Child, cpu_s


def test_cpu_of_a_process_that_is_gone_is_an_error() -> None:
    """Not nothing."""
    with Child("this") as child:
        assert cpu_s(child.pid) >= 0
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(OSError, match="Invalid argument"):
        cpu_s(child.pid)
