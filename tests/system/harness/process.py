"""Starts programs in a network namespace and a control group."""

import os
import subprocess
from typing import Any

from .cgroup import Cgroup
from .netns import Netns


def spawn(argv: list[str], netns: Netns | None = None, cgroup: Cgroup | None = None,
          **options: Any) -> subprocess.Popen:
    """Runs subprocess.Popen(argv) with the process in this namespace and control group.

    The kernel kills it when the calling thread ends, however that happens.
    """
    argv = ["setpriv", "--pdeathsig", "KILL", "--", *argv]
    if netns:
        argv = ["nsenter", f"--net={netns.path}", "--", *argv]
    if cgroup:
        argv = ["sh", "-c", 'echo $$ >"$0" && exec "$@"', cgroup.procs, *argv]
    return subprocess.Popen(argv, **options)


def stop(process: subprocess.Popen, timeout: float = 5.0) -> int:
    """Terminates a process, kills it where that takes too long, and returns its exit status."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait()


def rss_kb(pid: int) -> int:
    """Returns a process's anonymous resident memory in kB."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("RssAnon:"))


def cpu_s(pid: int) -> float:
    """Returns the CPU time that a process has taken, in seconds."""
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def state(pid: int) -> str:
    """Returns a process's state: R, S, T (stopped) and so on; see proc_pid_stat(5)."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        return file.read().rpartition(")")[2].split()[0]
