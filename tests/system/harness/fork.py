"""Helper processes that are forked, not executed: on a slow machine, Python takes long to start.

Where HF_FORK is set, Remote makes its processes this way, from the same modules.
"""

import ctypes
import importlib
import os
import signal
import sys
from typing import BinaryIO, Callable

from .cgroup import Cgroup
from .netns import Netns, setns_net

ENABLED = bool(os.environ.get("HF_FORK"))
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class Forked:
    """The part of subprocess.Popen that Remote needs."""

    def __init__(self, pid: int, stdin: BinaryIO, stdout: BinaryIO) -> None:
        self.pid = pid
        self.stdin = stdin
        self.stdout = stdout
        self._status: int | None = None

    def poll(self) -> int | None:
        """Returns the exit status where the process has ended, else None."""
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
        return self._status

    def kill(self) -> None:
        """Kills the process."""
        os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """Waits for the process's end and returns its exit status."""
        if self._status is None:
            self._status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self._status


def _become(inward: int, outward: int, netns: Netns | None, cgroup: Cgroup | None) -> None:
    """Gives a forked process what a new program would have: its place, standard streams, nothing
    else open."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if cgroup:
        with open(cgroup.procs, "w", encoding="ascii") as file:
            file.write(str(os.getpid()))
    if netns:
        with open(netns.path, "rb") as file:  # inherited
            setns_net(file.fileno())
    os.dup2(inward, 0)
    os.dup2(outward, 1)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    # The old objects may belong to other descriptors.
    sys.stdin, sys.stdout = os.fdopen(0, "r"), os.fdopen(1, "w")


def fork(work: Callable[[], None], netns: Netns | None, cgroup: Cgroup | None) -> Forked:
    """Forks a process that runs `work` in a namespace and a control group."""
    inward, outward = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            _become(inward[0], outward[1], netns, cgroup)
            work()
            status = 0
        finally:
            os._exit(status)  # pylint: disable=protected-access
    os.close(inward[0])
    os.close(outward[1])
    return Forked(pid, os.fdopen(inward[1], "wb", buffering=0),
                  os.fdopen(outward[0], "rb", buffering=0))


def fork_module(name: str, netns: Netns | None, cgroup: Cgroup | None) -> Forked:
    """Forks a process that runs the main() of a module."""
    return fork(importlib.import_module(name).main, netns, cgroup)
