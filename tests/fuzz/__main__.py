"""``make fuzz``: mutated input for every decoder, for as long as is asked.

The first input that breaks a law ends it, made as small as can be, with the command that
repeats it. Make a plain test of it in the decoder's own unit test.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections import Counter
from itertools import count

from tests.fuzz import doors
from tests.fuzz.decoders import DECODERS
from tests.fuzz.run import Found, try_many, try_one

EXAMPLES = 200
"""Inputs for a decoder before the next one has its turn."""


def main() -> int:
    """Exit status 1 if a law was broken."""
    DECODERS.update(doors.DOORS)
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120, help="how long; 120")
    parser.add_argument("--only", nargs="*", default=sorted(DECODERS), choices=sorted(DECODERS))
    parser.add_argument("--seed", type=int, default=time.time_ns() % 2**32)
    parser.add_argument("--input", type=bytes.fromhex, help="this one input, in hex")
    asked = parser.parse_args()
    if doors.DOORS.keys() & set(asked.only):
        doors.service()
    try:
        if asked.input is not None:
            for name in asked.only:
                try_one(name, asked.input)
            return 0
        _run(asked.only, asked.seed, asked.seconds)
    except Found as found:
        traceback.print_exception(found.error, limit=-4)
        sys.stdout.write(f"\n{found}\n")
        return 1
    return 0


def _run(names: list[str], seed: int, seconds: float) -> None:
    until = time.monotonic() + seconds
    spent: Counter[str] = Counter()
    for turn in count():
        for name in names:
            if time.monotonic() > until:
                total = sum(spent.values())
                each = ", ".join(f"{name} {spent[name]}" for name in names)
                sys.stdout.write(f"{total} inputs broke no law ({each}); the seed was {seed}\n")
                return
            try_many(name, EXAMPLES, seed + turn)
            spent[name] += EXAMPLES


if __name__ == "__main__":
    sys.exit(main())
