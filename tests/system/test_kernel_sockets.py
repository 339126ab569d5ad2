"""Sockets that the kernel has made for itself, as NFS does; here the subflows of Multipath TCP."""

from harness.command import Command
from harness.config import daemon as daemon_section, rule
from harness.daemon import Daemon
from harness.netns import Netns
from harness.options import UNTOUCHED
from harness.sockets import Agent, Listener
from harness.wait import wait_for

RULE = daemon_section(reconcile="600s") + rule("all", time="120s", interval="30s", probes=4)


def test_no_process(daemon: Daemon, agent: Agent, listener: Listener, netns: Netns,
                    holdfast: Command) -> None:
    """A kernel socket is held and shown without a process, and its end is logged with `the
    kernel`."""
    before = agent.connect_mptcp("127.0.0.1", listener.port)
    daemon.start(RULE)
    agent.connect_mptcp("127.0.0.1", listener.port)
    shown = holdfast.status()["sockets"]
    assert [(s["verdict"], s["time"], s["processes"]) for s in shown] == [("held", 120, [])] * 2
    assert before.settings.keepalive == UNTOUCHED.keepalive
    netns.run("ss", "-K", "-t", "dport", "=", f":{listener.port}")
    wait_for(lambda: daemon.log.count("ended from outside") == 2, "both ends are told")
    lines = [line for line in daemon.log.splitlines() if "ended from outside" in line]
    assert all(", the kernel: ended from outside" in line for line in lines), lines


def test_changed_by_the_kernel(daemon: Daemon, agent: Agent, listener: Listener,
                               holdfast: Command) -> None:
    """What an application sets on a Multipath TCP socket the kernel hands on to the subflow, past
    the guard; the next pass puts it right."""
    daemon.start(RULE.replace("600s", "1s"))
    sock = agent.connect_mptcp("127.0.0.1", listener.port)
    [shown] = holdfast.status()["sockets"]
    assert (shown["verdict"], shown["keepalive"]) == ("held", True)
    sock.change(keepalive=1)
    sock.change(keepalive=0)
    wait_for(lambda: "1 connection held again" in daemon.log, "the pass puts it right")
    [shown] = holdfast.status()["sockets"]
    assert (shown["verdict"], shown["keepalive"], shown["time"]) == ("held", True, 120)
