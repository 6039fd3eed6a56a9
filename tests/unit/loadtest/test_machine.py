"""What a process has cost is read from its own clock."""

from __future__ import annotations

import os
import threading
import time

from loadtest.bench.machine import cpu_s


def test_cpu_is_that_of_all_threads_finer_than_a_tick() -> None:
    """It lies between two looks of the process itself, also after a thread has ended."""
    worker = threading.Thread(target=sum, args=(range(3_000_000),))
    worker.start()
    worker.join()
    for _ in range(100):
        before, found, after = time.process_time(), cpu_s(os.getpid()), time.process_time()
        assert before <= found <= after
