"""Waits for a condition, with a deadline."""

import time
from typing import Callable, TypeVar

T = TypeVar("T")


def wait_for(condition: Callable[[], T], what: str, timeout: float = 15.0, step: float = 0.02) -> T:
    """Returns the condition's first true value; AssertionError naming `what` at the deadline."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise AssertionError(f"waited {timeout:g} s in vain: {what}")
        time.sleep(step)


def sleep_until(moment: float) -> None:
    """Sleeps until time.monotonic() reads `moment`."""
    left = moment - time.monotonic()
    if left > 0:
        time.sleep(left)
