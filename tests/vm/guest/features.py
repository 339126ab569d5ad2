"""What the kernel gives holdfast: what is seen to work, and what holdfast reports as missing."""

import os

from harness.cgroup import Cgroup
from harness.command import Command
from harness.daemon import Daemon
from harness.netns import Netns
from harness.options import Settings
from harness.sockets import Agent

Features = dict[str, str]

# Features that only the end of the night shows.
ENDS = ["the log tells how connections end", "... those from before the start, too"]
UPGRADE = "given back after an upgrade to another layout"
MISSING = "what `status` says is missing"
ITERATOR, PIDFD = "through a BPF iterator", "through pidfd_getfd"


def yes(truth: bool, how: str = "yes") -> str:
    """Returns a cell of the table."""
    return how if truth else "no"


def _accepted(netns: Netns, cgroup: Cgroup, port: int, wanted: Settings) -> bool:
    server, client = Agent(netns, cgroup), Agent(netns)
    try:
        listener = server.listen(port)
        client.connect("127.0.0.1", port)
        return listener.accept().settings == wanted
    finally:
        client.close()
        server.close()


def _guarded(netns: Netns, cgroup: Cgroup, port: int) -> bool:
    server, client = Agent(netns), Agent(netns, cgroup)
    try:
        server.listen(port)
        sock = client.connect("127.0.0.1", port)
        before = sock.settings
        sock.change(time=before.time + 1000, keepalive=0)
        return before.keepalive == 1 and sock.settings == before
    finally:
        client.close()
        server.close()


def look(daemon: Daemon, netns: Netns, *, port: int, served: int, served_values: Settings,
         probed: str) -> Features:
    """Returns what works once the daemon runs; `probed` is a rule with a connection to probe."""
    command = Command(daemon.pin_dir)
    status = command.status()
    (layout,) = os.listdir(daemon.pin_dir)
    pins = os.listdir(os.path.join(daemon.pin_dir, layout))
    way = ITERATOR if "hf_sweep" in pins else PIDFD
    owners = all(row["processes"] for row in status["sockets"])
    return {
        "held at connect()": yes(any(row["verdict"] == "held" for row in status["sockets"])),
        "held at accept()": yes(_accepted(netns, daemon.cgroup, served, served_values)),
        "the guard": yes(_guarded(netns, daemon.cgroup, port)),
        "existing connections are held": yes(status["enforcement"]["adopts_existing"], way),
        "`holdfast probe`": yes(command("probe", probed).status == 0, way),
        "`status` names processes": yes(owners, ITERATOR if "hf_owners" in pins
                                        else "through /proc"),
        "a pass looks at all namespaces in one walk": yes("hf_survey" in pins),
        **{key: "" for key in (*ENDS, UPGRADE)},
        MISSING: status["enforcement"].get("limits", "nothing"),
    }
