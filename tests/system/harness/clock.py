"""The time of day, which the whole machine shares: no namespace has one of its own.

The tests set it only on a machine of their own (HF_OWN_MACHINE, see tests/vm/guest/start).
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
    """Steps the clock forward, or back by a negative number of seconds."""
    assert OWN
    now = time.clock_gettime(time.CLOCK_REALTIME)
    time.clock_settime(time.CLOCK_REALTIME, max(now + seconds, 0))


def put(seconds: float) -> None:
    """Sets the clock to so many seconds after 1970 began."""
    assert OWN
    time.clock_settime(time.CLOCK_REALTIME, seconds)


@contextmanager
def put_back() -> Iterator[None]:
    """Sets the clock at the end of the `with` block to what it would have been without the
    block."""
    before = time.clock_gettime(time.CLOCK_REALTIME) - time.monotonic()
    try:
        yield
    finally:
        if OWN:
            put(before + time.monotonic())
