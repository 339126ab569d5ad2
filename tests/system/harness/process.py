"""Starting programs inside a network namespace and a control group."""

import subprocess
from typing import Any

from .cgroup import Cgroup
from .netns import Netns


def spawn(argv: list[str], netns: Netns | None = None, cgroup: Cgroup | None = None,
          **options: Any) -> subprocess.Popen:
    """subprocess.Popen(argv), with the process in these before it runs the program.

    The kernel ends it when the calling thread ends, however that happens.
    """
    argv = ["setpriv", "--pdeathsig", "KILL", "--", *argv]
    if netns:
        argv = ["nsenter", f"--net={netns.path}", "--", *argv]
    if cgroup:
        argv = ["sh", "-c", 'echo $$ >"$0" && exec "$@"', cgroup.procs, *argv]
    return subprocess.Popen(argv, **options)


def stop(process: subprocess.Popen, timeout: float = 5.0) -> int:
    """Asks a process to end, kills it when it does not, and returns its exit status."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait()


def rss_kb(pid: int) -> int:
    """How much memory a process has at the moment, of its own."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("RssAnon:"))


def state(pid: int) -> str:
    """What a process does: R, S, T where it is stopped, and so on; proc_pid_stat(5)."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        return file.read().rpartition(")")[2].split()[0]
