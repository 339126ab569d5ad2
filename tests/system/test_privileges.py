"""Capabilities that only the start needs are dropped after it, and everything still works."""

from typing import Callable

import pytest

from harness import bpf
from harness.cgroup import Cgroup
from harness.command import Command
from harness.config import PORT, rule
from harness.daemon import Daemon
from harness.netns import Netns
from harness.options import UNTOUCHED, held
from harness.sockets import Agent

# The numbers of linux/capability.h.
DAC_OVERRIDE, DAC_READ_SEARCH, NET_ADMIN, SYS_PTRACE, SYS_ADMIN, BPF = 1, 2, 12, 19, 21, 39
KEPT = {DAC_OVERRIDE, DAC_READ_SEARCH, NET_ADMIN, SYS_PTRACE, SYS_ADMIN, BPF}

RULE, VALUES = rule("all", time="120s", interval="30s", probes=4), held(120, 30, 4)
OTHER_VALUES = held(60, 30, 4)


def capabilities(pid: int, which: str) -> set[int]:
    """Returns a process's capability set, by its name in /proc/PID/status."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        mask = next(int(line.split()[1], 16) for line in file if line.startswith(f"{which}:"))
    return {number for number in range(64) if mask >> number & 1}


def test_dropped(daemon: Daemon) -> None:
    """After the start the daemon has only the kept capabilities, and none is inheritable, even if
    it was."""
    daemon.configure(RULE)
    daemon.launch(through=["setpriv", "--inh-caps=+chown,+net_admin,+perfmon", "--"])
    daemon.wait_ready()
    ours = capabilities(daemon.pid, "CapBnd")
    for which in ("CapEff", "CapPrm"):
        assert capabilities(daemon.pid, which) == KEPT & ours
    assert not capabilities(daemon.pid, "CapInh")


# Runs an application as root, as another user, or as in a rootless container: in a network
# namespace that belongs to a user namespace of its own.
THROUGH = [
    pytest.param([], id="root"),
    pytest.param(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"], id="user"),
    pytest.param(["unshare", "--user", "--net", "--map-root-user", "--"], id="rootless"),
]


@pytest.mark.parametrize("through", THROUGH)
def test_life_after(daemon: Daemon, make_agent: Callable[..., Agent], netns: Netns,
                    cgroup: Cgroup, holdfast: Command, through: list[str]) -> None:
    """After the drop the guard, reloads, new namespaces, owners and the give-back work."""
    daemon.start(RULE + "override = never\n")
    assert not bpf.attached(cgroup.directory, bpf.SETSOCKOPT)
    agent = make_agent(netns, cgroup, *through)
    address = "127.0.0.1"
    if "--net" in through:
        agent.call("loopback_up")
    listener = agent.listen(PORT, address)
    sock = agent.connect(address, listener.port)
    assert sock.settings == VALUES
    daemon.reload(RULE.replace("120s", "60s"))
    assert len(bpf.attached(cgroup.directory, bpf.SETSOCKOPT)) == 1
    assert sock.settings == OTHER_VALUES
    sock.change(keepalive=0)
    assert sock.settings == OTHER_VALUES
    processes = holdfast.socket(sock.info["cookie"])["processes"]
    assert [process["pid"] for process in processes] == [agent.pid]
    daemon.reload(rule("other", "192.0.2.1"))
    assert sock.settings == UNTOUCHED
    daemon.reload(RULE)
    assert sock.settings == VALUES
    daemon.stop()
    assert sock.settings == UNTOUCHED
    assert not bpf.attached(cgroup.directory, bpf.SETSOCKOPT)


def test_deserted_namespace(daemon: Daemon, make_agent: Callable[..., Agent],
                            cgroup: Cgroup) -> None:
    """A namespace newer than the daemon, kept by a socket alone, follows a reload and the stop."""
    daemon.start(RULE)
    made = Netns()
    agent = make_agent(made, cgroup)
    sock = agent.connect("127.0.0.1", agent.listen(PORT).port)
    agent.call("leave")
    made.close()
    daemon.reload(RULE.replace("120s", "60s"))
    assert sock.settings == OTHER_VALUES
    daemon.stop()
    assert sock.settings == UNTOUCHED
