"""Injects faults through fault.c: one call of a program fails, or the program is killed there."""

import os
import random
import signal
import struct
from typing import Callable, Sequence

import pytest

from .compiler import compile_c
from .daemon import Daemon
from .process import state
from .wait import wait_for

KERNEL, MEMORY = 1, 2
KILL = 4  # with one of the others: SIGKILL in place of the error
OPTION = 8
HANGUP = 16  # with KERNEL or MEMORY: SIGHUP in place of the error
STOP = 32  # with KERNEL or MEMORY: SIGSTOP in place of the error; SIGCONT resumes the program
EXHAUSTIVE = bool(os.environ.get("HF_EXHAUSTIVE"))
SEED = int(os.environ.get("HF_SEED") or random.randrange(1 << 32))


class Fault:
    """Injects a fault into programs that are started with its environment."""

    def __init__(self, workdir: str, path: str) -> None:
        """`path`: calls on files count where this is in the file's name."""
        self._log = os.path.join(workdir, "faults")
        self._order = os.path.join(workdir, "order")
        library = compile_c("fault", workdir)
        self.environment = {"LD_PRELOAD": library, "HF_FAULT_ORDER": self._order,
                            "HF_FAULT_LOG": self._log, "HF_FAULT_PATH": path}
        with open(self._order, "wb") as file:
            file.write(struct.pack("=iii", -1, 0, 0))

    def order(self, nth: int, kinds: int = KERNEL) -> None:
        """Has the nth call fail from now on; 0: no call fails, but they are counted; -1: nothing is
        counted.

        Only calls of these kinds count. The count begins anew.
        """
        with open(self._order, "r+b", buffering=0) as file:
            file.write(struct.pack("=iii", nth, kinds, 0))

    @property
    def count(self) -> int:
        """How many calls there have been since the last order()."""
        with open(self._order, "rb") as file:
            return struct.unpack("=iii", file.read(12))[2]

    def calls_of(self, action: Callable[[], object]) -> int:
        """Returns how many calls there are in `action`, while none of them fails."""
        self.order(0)
        action()
        calls = self.count
        self.take_notes()
        self.order(-1)
        return calls

    def step(self, daemon: Daemon, condition: Callable[[], object]) -> None:
        """Starts a daemon and stops it at its first call after the condition has come to hold."""
        self.order(1, KERNEL | STOP)
        daemon.launch()
        wait_for(lambda: self.count and state(daemon.pid) == "T", "its first call")
        while not condition():
            self.order(1, KERNEL | STOP)
            daemon.send_signal(signal.SIGCONT)
            wait_for(lambda: self.count and state(daemon.pid) == "T", "its next call", step=.001)
        self.order(-1)

    def take_notes(self) -> str:
        """Returns what has been logged since the last time."""
        if not os.path.exists(self._log):
            return ""
        with open(self._log, encoding="ascii") as file:
            text = file.read().strip()
        os.unlink(self._log)
        return text

    def set_in(self, patch: pytest.MonkeyPatch) -> None:
        """Sets the environment for all programs that are started from now on."""
        for name, value in self.environment.items():
            patch.setenv(name, value)


def steps(calls: int, samples: int) -> Sequence[int]:
    """Returns which of `calls` calls are to fail: with HF_EXHAUSTIVE all, else a sample."""
    print(f"HF_SEED={SEED}, {calls} calls")
    return steps_of(range(1, calls + 1), samples)


def steps_of(calls: Sequence[int], samples: int) -> Sequence[int]:
    """Returns which of these calls are to fail: with HF_EXHAUSTIVE all, else a sample."""
    if EXHAUSTIVE or len(calls) <= samples:
        return calls
    return sorted(random.Random(SEED).sample(calls, samples))
