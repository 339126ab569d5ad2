"""Namespaces that appear after the start, and sockets that no hook has seen."""

import json
import struct
import subprocess
import sys
import time
from typing import Callable

import pytest

from harness import build
from harness.cgroup import Cgroup
from harness.command import run
from harness.config import PORT, daemon as daemon_section, rule
from harness.daemon import Daemon
from harness.kernel import SETS_BY_BPF, needs
from harness.netns import Netns, connect_namespaces
from harness.options import held
from harness.process import spawn, stop
from harness.sockets import Agent, Listener
from harness.wait import wait_for

# Runs a program in which pidfd_getfd() fails with EPERM, as with kernel.yama.ptrace_scope 3,
# which can't be set temporarily.
PIDFD_GETFD, EPERM = 438, 1
FILTER = b"".join(struct.pack("=HBBI", *line) for line in (
    (0x20, 0, 0, 0),  # the number of the system call
    (0x15, 0, 1, PIDFD_GETFD),
    (0x06, 0, 0, 0x50000 | EPERM),  # SECCOMP_RET_ERRNO
    (0x06, 0, 0, 0x7fff0000)))  # SECCOMP_RET_ALLOW
REFUSING = [sys.executable, "-c", f"""
import ctypes, os, struct, sys
code = ctypes.create_string_buffer({FILTER!r})
program = ctypes.create_string_buffer(struct.pack("@HP", {len(FILTER) // 8}, ctypes.addressof(code)))
assert ctypes.CDLL(None).prctl(22, 2, program, 0, 0) == 0  # PR_SET_SECCOMP
os.execvp(sys.argv[1], sys.argv[1:])
"""]

RULE = held(120, 30, 4)
RULES = rule("all", time="120s", interval="30s", probes=4, side="both")


def test_namespace_made_after_the_start(daemon: Daemon, make_netns: Callable[[], Netns],
                                        make_agent: Callable[..., Agent],
                                        cgroup: Cgroup) -> None:
    """Connections in a namespace that is newer than the daemon are held at once, on either side."""
    daemon.start(RULES)
    agent = make_agent(make_netns(), cgroup)
    listener = agent.listen(PORT)
    client = agent.connect("127.0.0.1", PORT)
    assert client.settings == RULE
    assert listener.accept().settings == RULE


def test_undone_settings_heal(daemon: Daemon, agent: Agent, listener: Listener) -> None:
    """Without the guard the next pass restores what an application has changed."""
    daemon.start(daemon_section(guard="no", reconcile="1s") + RULES)
    sock = agent.connect("127.0.0.1", listener.port)
    sock.change(keepalive=0)
    wait_for(lambda: sock.settings == RULE, "the socket is healed", timeout=5)


def test_undone_settings_heal_in_a_later_namespace(daemon: Daemon,
                                                   make_netns: Callable[[], Netns],
                                                   make_agent: Callable[..., Agent],
                                                   cgroup: Cgroup) -> None:
    """A pass does so in a namespace that is newer than the daemon, too."""
    daemon.start(daemon_section(guard="no", reconcile="1s") + RULES)
    agent = make_agent(make_netns(), cgroup)
    agent.listen(PORT)
    sock = agent.connect("127.0.0.1", PORT)
    sock.change(keepalive=0, time=7200)
    wait_for(lambda: sock.settings == RULE, "the socket is healed", timeout=5)


@pytest.mark.parametrize("event", [True, False], ids=["netlink", "timer"])
def test_container_with_an_old_connection(make_daemon: Callable[..., Daemon],
                                          make_netns: Callable[[], Netns],
                                          make_agent: Callable[..., Agent], cgroup: Cgroup,
                                          event: bool) -> None:
    """An old connection is held once its namespace shows up.

    At the start the connection and its namespace lie in the queue of a unix socket: no process is
    in the namespace or has the connection open. Then a process takes them out. The namespace is
    linked to the daemon's by a veth pair, as a container's is, or it isn't, and the timer's pass
    has to find it.
    """
    home = make_netns()
    container = make_netns()
    agent = make_agent(container, cgroup)
    listener = agent.listen(PORT)
    agent.park(agent.connect("127.0.0.1", PORT), listener)
    daemon = make_daemon(netns=home)
    daemon.start(daemon_section(reconcile="60s" if event else "1s") + RULES)
    sock, _ = agent.unpark()
    if event:
        connect_namespaces(home, "cable", container, "eth0")
    wait_for(lambda: sock.settings == RULE, "the connection is held", timeout=5)


def test_more_namespaces_than_the_hard_limit(daemon: Daemon, make_netns: Callable[[], Netns],
                                             make_agent: Callable[..., Agent], cgroup: Cgroup,
                                             named_netns: Netns) -> None:
    """With more namespaces than the hard limit of descriptors all are looked after, whether a
    process, a mount or a socket keeps them."""
    living = [spawn(["sleep", "600"], make_netns()) for _ in range(80)]
    low = ["prlimit", "--nofile=80:80", "--"]
    places = [make_netns(), named_netns, make_netns()]
    inodes = [place.inode for place in places]
    agents = [make_agent(place, cgroup) for place in places]
    listeners = [agent.listen(PORT) for agent in agents]
    socks = [agent.connect("127.0.0.1", PORT) for agent in agents]
    socks += [listener.accept() for listener in listeners]
    before = socks[0].settings
    for agent, place in zip(agents[1:], (None, places[2])):
        agent.call("leave")
        if place:
            place.close()
    try:
        daemon.configure(RULES)
        daemon.launch("--verbose", through=low)
        daemon.wait_ready()
        assert [sock.settings for sock in socks] == [RULE] * 6, daemon.log
        status = run(*low, build.HOLDFAST, "--pin-dir", daemon.pin_dir, "status", "-J")
        assert {s["netns"] for s in status.json["sockets"]} == set(inodes), status
        probed = run(*low, build.HOLDFAST, "--pin-dir", daemon.pin_dir, "probe", "-J")
        assert probed.status == 0 and len(probed.json["sockets"]) == 6, probed
        daemon.reload(rule("all", time="60s", interval="30s", probes=4, side="both"))
        assert [sock.settings for sock in socks] == [held(60, 30, 4)] * 6
        assert "incomplete" not in daemon.log
        daemon.stop()
        assert [sock.settings for sock in socks] == [before] * 6
    finally:
        for process in living:
            stop(process)


def test_probe_in_a_namespace_whose_process_ends(
        daemon: Daemon, make_netns: Callable[[], Netns], make_agent: Callable[..., Agent],
        cgroup: Cgroup) -> None:
    """A namespace that isn't kept open is found anew by another process; `probe` goes on."""
    living = [spawn(["sleep", "600"], make_netns()) for _ in range(80)]
    container = make_netns()
    first = spawn(["sleep", "600"], container)
    agent = make_agent(container, cgroup)
    try:
        daemon.start(rule("all", time="120s", interval="30s", probes=4))
        agent.listen(PORT)
        sock = agent.connect("127.0.0.1", PORT)
        container.nft("table inet mute {\nchain c {\ntype filter hook output priority 0;\n"
                      f"tcp dport {PORT} drop\n}}\n}}")
        probing = spawn(["prlimit", "--nofile=80:80", "--", build.HOLDFAST, "--pin-dir",
                         daemon.pin_dir, "probe", "-J", "-w", "3"], stdout=subprocess.PIPE)
        wait_for(lambda: sock.settings.time == 1, "it is under way", step=0.001)
        time.sleep(0.3)
        stop(first)
        out, _ = probing.communicate(timeout=20)
        assert probing.returncode == 1
        assert [s["outcome"] for s in json.loads(out)["sockets"]] == ["silent"]
        assert sock.settings == RULE
    finally:
        for process in living:
            stop(process)


def test_more_namespaces_than_descriptors(daemon: Daemon, make_netns: Callable[[], Netns],
                                          agent: Agent, listener: Listener) -> None:
    """The soft limit of descriptors (1024 by default) is raised where there are more namespaces."""
    living = [spawn(["sleep", "600"], make_netns()) for _ in range(80)]
    low = ["prlimit", "--nofile=64:4096", "--"]
    try:
        daemon.configure(RULES)
        daemon.launch(through=low)
        daemon.wait_ready()
        sock = agent.connect("127.0.0.1", listener.port)
        for arguments in (("status", "-J"), ("probe", "-J"), ("metrics",)):
            result = run(*low, build.HOLDFAST, "--pin-dir", daemon.pin_dir, *arguments)
            assert result.status == 0, result
        assert sock.settings == RULE
        assert "incomplete" not in daemon.log
    finally:
        for process in living:
            stop(process)


@needs("5.11", "to know a socket's namespace without taking hold of it")
def test_namespace_that_cannot_be_had(daemon: Daemon, make_netns: Callable[[], Netns],
                                      make_agent: Callable[..., Agent], cgroup: Cgroup,
                                      agent: Agent, listener: Listener) -> None:
    """A namespace that can't be entered is logged once, with process and reason; others are looked
    after."""
    hidden = make_netns()
    inode = hidden.inode
    holder = make_agent(hidden, cgroup)
    holder.listen(PORT)
    lost = holder.connect("127.0.0.1", PORT)
    before = lost.settings
    holder.call("leave")
    hidden.close()
    sock = agent.connect("127.0.0.1", listener.port)
    daemon.configure(daemon_section(reconcile="1s") + RULES)
    daemon.launch("--verbose", through=REFUSING)
    daemon.wait_ready()
    wait_for(lambda: daemon.log.count("reconcile: ") >= 3, "some passes", timeout=20)
    said = [line for line in daemon.log.splitlines() if str(inode) in line]
    assert len(said) == 1 and f"process {holder.pid} " in said[0], daemon.log
    assert "Operation not permitted" in said[0] and "yama" in said[0]
    if SETS_BY_BPF:  # else user space would have to borrow this socket, too
        assert sock.settings == RULE
    assert lost.settings == before
