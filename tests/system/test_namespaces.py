"""Namespaces that come after holdfastd has started, and sockets that it has not seen come."""

from typing import Callable

import pytest

from harness import build
from harness.cgroup import Cgroup
from harness.command import run
from harness.config import PORT, daemon as daemon_section, rule
from harness.daemon import Daemon
from harness.netns import Netns, connect_namespaces
from harness.options import held
from harness.process import spawn, stop
from harness.sockets import Agent, Listener
from harness.wait import wait_for

RULE = held(120, 30, 4)
RULES = rule("all", time="120s", interval="30s", probes=4, side="both")


def test_namespace_made_after_the_start(daemon: Daemon, make_netns: Callable[[], Netns],
                                        make_agent: Callable[..., Agent],
                                        cgroup: Cgroup) -> None:
    """What connects and accepts in it is held at once."""
    daemon.start(RULES)
    agent = make_agent(make_netns(), cgroup)
    listener = agent.listen(PORT)
    client = agent.connect("127.0.0.1", PORT)
    assert client.settings == RULE
    assert listener.accept().settings == RULE


def test_undone_settings_heal(daemon: Daemon, agent: Agent, listener: Listener) -> None:
    """What an application has undone unseen is put right by the next reconcile pass."""
    daemon.start(daemon_section(guard="no", reconcile="1s") + RULES)
    sock = agent.connect("127.0.0.1", listener.port)
    sock.change(keepalive=0)
    wait_for(lambda: sock.settings == RULE, "the socket is healed", timeout=5)


def test_undone_settings_heal_in_a_later_namespace(daemon: Daemon,
                                                   make_netns: Callable[[], Netns],
                                                   make_agent: Callable[..., Agent],
                                                   cgroup: Cgroup) -> None:
    """The same in a namespace that wasn't there at the start."""
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
    """A connection opened before anyone looked, in a namespace that shows up later.

    At the start the connection and its namespace lie in the queue of a unix socket: no process
    is in the namespace or has the connection open. Then a process takes them out, and the
    namespace gets a cable to the daemon's, as a container does; or it gets none, and the slow
    timer has to find it.
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


def test_more_namespaces_than_descriptors(daemon: Daemon, make_netns: Callable[[], Netns],
                                          agent: Agent, listener: Listener) -> None:
    """The soft limit of descriptors is nobody's wish: it is 1024 wherever nobody has asked."""
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
