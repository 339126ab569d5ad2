"""Measures an idle hour's CPU time with hundreds of namespaces and thousands of connections.

Passes have to pace themselves, so that holdfastd takes at most SHARE of a CPU.

    hour.py [--namespaces N] [--sockets N]
"""

import argparse
import os
import resource
import socket
import sys
import tempfile
import time

import tell

# pylint: disable=wrong-import-position
from harness import mounts
from harness.cgroup import Cgroup
from harness.command import Command
from harness.config import PORT, rule
from harness.daemon import Daemon
from harness.netns import Netns

HOUR = 3600.0
SHARE = 0.005


def open_connections(namespaces: list[Netns], n: int) -> list[socket.socket]:
    """Opens `n` connections over all namespaces. Returns both ends of each, and the listeners."""
    socks = []
    for number, netns in enumerate(namespaces):
        with netns.entered():
            listener = socket.create_server(("127.0.0.1", PORT), backlog=1024)
            socks.append(listener)
            for _ in range(n // len(namespaces) + (number < n % len(namespaces))):
                socks.append(socket.create_connection(("127.0.0.1", PORT)))
                socks.append(listener.accept()[0])
    return socks


def cpu(pid: int) -> float:
    """Returns the CPU time of a process so far, in seconds."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    """Returns 0 where the daemon has kept to its share."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--namespaces", type=int, default=300)
    parser.add_argument("--sockets", type=int, default=20000)
    options = parser.parse_args(tell.arguments())
    resource.setrlimit(resource.RLIMIT_NOFILE, (200000, 200000))
    directory = tempfile.mkdtemp()
    bpffs = os.path.join(directory, "bpf")
    mounts.mount("bpf", bpffs)
    cgroup = Cgroup("hour")
    with open(os.path.join(cgroup.directory, "cgroup.procs"), "w", encoding="ascii") as file:
        file.write(str(os.getpid()))
    namespaces = [Netns() for _ in range(options.namespaces)]
    socks = open_connections(namespaces, options.sockets)
    daemon = Daemon(directory, cgroup, os.path.join(bpffs, "pins"))
    daemon.start(rule("all", time="600s", interval="60s", probes=5))
    time.sleep(5)
    enforcement = Command(daemon.pin_dir).status()["enforcement"]
    before, start = cpu(daemon.pid), time.monotonic()
    time.sleep(HOUR)
    seconds, passed = cpu(daemon.pid) - before, time.monotonic() - start
    tell.note(f"{os.uname().release}: {options.namespaces} namespaces, {options.sockets} "
              f"connections: {seconds:.2f} s of CPU time in {passed:.0f} s "
              f"({seconds / passed:.3%}); a start takes {before:.2f} s; a pass comes each "
              f"{enforcement.get('reconcile_in_force', 60)} s")
    kept = seconds <= SHARE * passed
    tell.case("an idle hour takes 0.5 % of a CPU at most",
              None if kept else f"{seconds:.2f} s in {passed:.0f} s")
    daemon.stop()
    for sock in socks:
        sock.close()
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
