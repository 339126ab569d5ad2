"""Control groups (version 2) of our own, below the root of the mounted hierarchy."""

import os
import signal
import time


def find_root() -> str:
    """Returns where cgroup v2 is mounted; OSError where it is not."""
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        for line in file:
            before, after = line.split(" - ", 1)
            if after.split()[0] == "cgroup2" and before.split()[3] == "/":
                return before.split()[4].replace("\\040", " ")
    raise OSError("no cgroup v2 hierarchy is mounted")


class Cgroup:
    """A control group; remove() kills its processes and removes it."""

    def __init__(self, name: str, parent: "Cgroup | None" = None) -> None:
        root = find_root()
        self.directory = os.path.join(parent.directory if parent else root, name)
        os.mkdir(self.directory)
        self.path = self.directory[len(root.rstrip("/")):]

    @property
    def procs(self) -> str:
        """The file to which a process writes its PID to join the control group."""
        return os.path.join(self.directory, "cgroup.procs")

    def pids(self) -> list[int]:
        """Returns the processes in the control group."""
        with open(self.procs, encoding="ascii") as file:
            return [int(line) for line in file if int(line) > 0]

    def remove(self) -> None:
        """Kills the processes in the control group and removes it."""
        if not os.path.isdir(self.directory):
            return
        deadline = time.monotonic() + 10
        while True:
            for pid in self.pids():
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            try:
                os.rmdir(self.directory)
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
