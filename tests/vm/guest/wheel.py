"""How late the kernel's timers are: the further away, the coarser (kernel/time/timer.c).

A timer sits in a wheel of levels of 64 slots each; a slot of one level is eight times as long as
one of the level below. It goes into the next slot after its moment, so it is never early.
"""

import re
import time

_SLOTS, _SHIFT, _LEVELS = 64, 3, 9
_SLACK = 0.1  # seconds: what it takes to get from the timer to whoever looks


def _ticks() -> tuple[int, int]:
    """The kernel's tick, and the nanosecond that belongs to it."""
    with open("/proc/timer_list", encoding="ascii") as file:
        text = file.read()
    jiffies, now = re.search(r"^jiffies: (\d+)", text, re.M), re.search(r"^now at (\d+)", text, re.M)
    assert jiffies and now, text[:200]
    return int(jiffies[1]), int(now[1])


class Wheel:
    """Of the running kernel."""

    def __init__(self) -> None:
        before = _ticks()
        time.sleep(10)
        after = _ticks()
        self.hz = round((after[0] - before[0]) * 1e9 / (after[1] - before[1]))

    def grain(self, seconds: float) -> float:
        """How long a slot is where a timer of that length sits."""
        ticks, level = seconds * self.hz, 0
        while level < _LEVELS - 1 and ticks >= (_SLOTS - 1) << (_SHIFT * level):
            level += 1
        return (1 << (_SHIFT * level)) / self.hz

    def late(self, seconds: float) -> float:
        """When a timer of that length has fired at the latest."""
        return seconds + self.grain(seconds) + _SLACK
