"""The control group, the network namespaces and the bpffs in which everything is measured."""

import os
import shutil
import subprocess
import tempfile
import time
from contextlib import nullcontext
from typing import Callable

from harness import build, mounts
from harness.cgroup import Cgroup
from harness.daemon import Daemon
from harness.netns import Netns
from harness.process import spawn

TARGET = 3306  # the port that the rules match
OTHER = 5432

RULE = "[rule bench]\ndestination = any\nport = 3306\ntime = 600s\n"


class Helper:
    """One of the C programs, which takes orders as lines."""

    def __init__(self, argv: list[str], netns: Netns, cgroup: Cgroup,
                 environment: dict[str, str] | None = None) -> None:
        self.process = spawn(argv, netns, cgroup, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             text=True, env={**os.environ, **(environment or {})})

    def answer(self) -> str:
        """Returns its next line."""
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise EOFError(f"{self.process.args}: ended with {self.process.wait()}")
        return line.strip()

    def ask(self, order: str) -> float:
        """Gives an order. Returns the seconds that it took."""
        assert self.process.stdin
        self.process.stdin.write(order + "\n")
        self.process.stdin.flush()
        return int(self.answer()) / 1e9

    def close(self) -> None:
        """Ends the program by closing its standard input."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


class World:
    """The world of all measurements; close() leaves nothing behind."""

    def __init__(self) -> None:
        mounts.leave_host_mounts()
        self.directory = tempfile.mkdtemp(prefix="holdfast-bench-")
        self.bpffs = os.path.join(self.directory, "bpf")
        mounts.mount("bpf", self.bpffs)
        self.cgroup = Cgroup(f"holdfast-bench-{os.getpid()}")
        self._made = 0

    def daemon(self, config: str) -> Daemon:
        """Returns a holdfastd of this world that isn't started yet."""
        self._made += 1
        directory = os.path.join(self.directory, str(self._made))
        os.mkdir(directory)
        daemon = Daemon(directory, self.cgroup, os.path.join(self.bpffs, str(self._made)))
        daemon.configure(config)
        return daemon

    def program(self, name: str) -> str:
        """Returns the path of one of the C programs."""
        return os.path.join(build.DIRECTORY, "tests", "bench", name)

    def netns(self) -> Netns:
        """Returns a network namespace in which time-wait sockets don't pile up."""
        netns = Netns()
        netns.sysctl("ipv4/tcp_max_tw_buckets", 1000)
        return netns

    def worker(self, netns: Netns, environment: dict[str, str] | None = None) -> Helper:
        """Starts worker.c."""
        return Helper([self.program("worker")], netns, self.cgroup, environment)

    def crowd(self, netns: Netns, port: int, connections: int) -> Helper:
        """Opens idle connections with crowd.c; each has two sockets."""
        crowd = Helper([self.program("crowd"), str(port), str(connections)], netns, self.cgroup)
        assert crowd.answer() == "ready"
        return crowd

    def floor(self, netns: Netns | None, *what: str) -> dict[str, float]:
        """Runs floor.c. Returns the seconds of CPU time that each thing took."""
        with netns.entered() if netns else nullcontext():
            done = subprocess.run([self.program("floor"), *what], capture_output=True, text=True,
                                  check=True)
        found: dict[str, float] = {}
        for line in done.stdout.splitlines():
            name, seconds = line.split()
            name = os.path.basename(name)
            found[name] = found.get(name, 0.0) + float(seconds)
        return found

    def close(self) -> None:
        """Removes the control group, the bpffs and the folder."""
        self.cgroup.remove()
        mounts.unmount(self.bpffs)
        shutil.rmtree(self.directory)


def timed(netns: Netns | None, *argv: str, statuses: tuple[int, ...] = (0,)) -> Callable[[], float]:
    """Returns a function that runs a program without its output, and returns the seconds that it
    took."""
    def run() -> float:
        start = time.monotonic()
        status = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                check=False).returncode
        took = time.monotonic() - start
        if status not in statuses:
            raise RuntimeError(f"{' '.join(argv)} has ended with {status}")
        return took

    def run_inside() -> float:
        assert netns
        with netns.entered():
            return run()

    return run_inside if netns else run


def prefixes(number: int, nested: int, each: int = 1) -> str:
    """Returns rules for so many prefixes. `nested` of them lie in others; 127.0.0.0/8 is the
    first."""
    found = ["127.0.0.0/8"]
    for i in range(nested):  # 127.0.0.0/9 to /31, around addresses that are used
        found.append(f"127.{i // 128 * 2 % 256}.{i % 128 * 2}.0/{23 + i % 2}")
    i = 0
    while len(found) < number:
        found.append(f"10.{i >> 8 & 255}.{i & 255}.0/24" if i < 65536
                     else f"11.{i >> 8 & 255}.{i & 255}.0/24")
        i += 1
    lines = []
    for at in range(0, number, each):
        lines.append(f"[rule r{at}]\ndestination = {', '.join(found[at:at + each])}\n"
                     f"port = {TARGET}\ntime = 600s\n")
    return "".join(lines)
