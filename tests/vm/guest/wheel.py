"""How late the kernel's timers are: the longer, the coarser (kernel/time/timer.c).

A timer sits in a wheel of levels of 64 slots each; a slot of one level is eight times as long as
one of the level below. It goes into the next slot after its moment, so that it never fires early.
"""

import re
import time

_SLOTS, _SHIFT, _LEVELS = 64, 3, 9
_SLACK = 0.1  # seconds between the timer and its observation


def _ticks() -> tuple[int, int]:
    """Returns the kernel's tick count, and the time in nanoseconds that belongs to it."""
    with open("/proc/timer_list", encoding="ascii") as file:
        text = file.read()
    jiffies, now = re.search(r"^jiffies: (\d+)", text, re.M), re.search(r"^now at (\d+)", text, re.M)
    assert jiffies and now, text[:200]
    return int(jiffies[1]), int(now[1])


class Wheel:
    """The timer wheel of the running kernel."""

    def __init__(self) -> None:
        before = _ticks()
        time.sleep(10)
        after = _ticks()
        self.hz = round((after[0] - before[0]) * 1e9 / (after[1] - before[1]))

    def grain(self, seconds: float) -> float:
        """Returns the length in seconds of the slot that a timer of that length sits in."""
        ticks, level = seconds * self.hz, 0
        while level < _LEVELS - 1 and ticks >= (_SLOTS - 1) << (_SHIFT * level):
            level += 1
        return (1 << (_SHIFT * level)) / self.hz

    def late(self, seconds: float) -> float:
        """Returns the latest moment at which a timer of that length fires, in seconds."""
        return seconds + self.grain(seconds) + _SLACK
