"""The time of day, which is the machine's: no namespace has one of its own.

So it is changed only where the machine is the tests' (HF_OWN_MACHINE: tests/vm/guest/start).
"""

import os
import time
from contextlib import contextmanager
from typing import Iterator

import pytest

OWN = bool(os.environ.get("HF_OWN_MACHINE"))
needs_own = pytest.mark.skipif(
    not OWN, reason="steps the machine's clock: done in the virtual machines")


def step(seconds: float) -> None:
    """Forward, or back."""
    assert OWN
    now = time.clock_gettime(time.CLOCK_REALTIME)
    time.clock_settime(time.CLOCK_REALTIME, max(now + seconds, 0))


def put(seconds: float) -> None:
    """So many after 1970 began."""
    assert OWN
    time.clock_settime(time.CLOCK_REALTIME, seconds)


@contextmanager
def put_back() -> Iterator[None]:
    """Whatever happens in between, afterwards it is as late as it would have been."""
    before = time.clock_gettime(time.CLOCK_REALTIME) - time.monotonic()
    try:
        yield
    finally:
        if OWN:
            put(before + time.monotonic())
