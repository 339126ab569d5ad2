"""Letting one call of a program fail, or killing the program there, by fault.c."""

import os
import random
import struct
from typing import Callable, Sequence

import pytest

from .compiler import compile_c

KERNEL, MEMORY = 1, 2
KILL = 4  # with one of these: killed where the call would fail
OPTION = 8
HANGUP = 16  # with one of the first two: it gets SIGHUP there, and the call doesn't fail
STOP = 32  # likewise SIGSTOP: it goes on with SIGCONT
EXHAUSTIVE = bool(os.environ.get("HF_EXHAUSTIVE"))
SEED = int(os.environ.get("HF_SEED") or random.randrange(1 << 32))


class Fault:
    """What is to fail in programs that are started with its environment."""

    def __init__(self, workdir: str, path: str) -> None:
        """`path` is what the files have in their names whose calls count."""
        self._log = os.path.join(workdir, "faults")
        self._order = os.path.join(workdir, "order")
        library = compile_c("fault", workdir)
        self.environment = {"LD_PRELOAD": library, "HF_FAULT_ORDER": self._order,
                            "HF_FAULT_LOG": self._log, "HF_FAULT_PATH": path}
        with open(self._order, "wb") as file:
            file.write(struct.pack("=iii", -1, 0, 0))

    def order(self, nth: int, kinds: int = KERNEL) -> None:
        """From now on lets the nth call fail; 0: none, but they are counted; -1: not even that.

        The number tells calls of the kinds apart, and is started from anew.
        """
        with open(self._order, "r+b", buffering=0) as file:
            file.write(struct.pack("=iii", nth, kinds, 0))

    @property
    def count(self) -> int:
        """How many calls there have been since the order."""
        with open(self._order, "rb") as file:
            return struct.unpack("=iii", file.read(12))[2]

    def calls_of(self, action: Callable[[], object]) -> int:
        """How many calls there are in it; none of them fails."""
        self.order(0)
        action()
        calls = self.count
        self.take_notes()
        self.order(-1)
        return calls

    def take_notes(self) -> str:
        """What has failed since the last time."""
        if not os.path.exists(self._log):
            return ""
        with open(self._log, encoding="ascii") as file:
            text = file.read().strip()
        os.unlink(self._log)
        return text

    def set_in(self, patch: pytest.MonkeyPatch) -> None:
        """Puts the environment into ours, for what is started from now on."""
        for name, value in self.environment.items():
            patch.setenv(name, value)


def steps(calls: int, samples: int) -> Sequence[int]:
    """Which calls are to fail, of so many: all of them, or so many."""
    print(f"HF_SEED={SEED}, {calls} calls")
    return steps_of(range(1, calls + 1), samples)


def steps_of(calls: Sequence[int], samples: int) -> Sequence[int]:
    """The same of these calls."""
    if EXHAUSTIVE or len(calls) <= samples:
        return calls
    return sorted(random.Random(SEED).sample(calls, samples))
