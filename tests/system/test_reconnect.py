"""Sockets that are disconnected by connect(AF_UNSPEC) and connected again."""

import pytest

from harness import counters
from harness.command import Command
from harness.config import PORT, daemon as daemon_section, rule
from harness.daemon import Daemon
from harness.netns import Netns
from harness.options import UNTOUCHED, Settings, held
from harness.sockets import Agent, Listener

HELD = held(120, 30, 4)
OWN = {"keepalive": 1, "time": 7000, "interval": 70, "probes": 7}


@pytest.fixture(name="started")
def fixture_started(daemon: Daemon, netns: Netns, listener: Listener) -> Daemon:
    """A daemon that holds 10.20.0.8 and, with other values, 10.20.0.10; 10.20.0.9 is exempt,
    10.20.0.11 unmatched."""
    assert listener.port == PORT
    netns.add_address("10.20.0.8", "10.20.0.9", "10.20.0.10", "10.20.0.11")
    daemon.start(daemon_section(reconcile="600s")
                 + rule("held", "10.20.0.8", time="120s", interval="30s", probes=4)
                 + rule("lab", "10.20.0.9", enforce="no")
                 + rule("other", "10.20.0.10", time="60s", interval="6s", probes=3))
    return daemon


@pytest.mark.parametrize("before", [UNTOUCHED, Settings(*OWN.values())], ids=["unset", "set"])
@pytest.mark.parametrize("to", ["10.20.0.9", "10.20.0.11"], ids=["exempt", "unmatched"])
def test_to_where_no_rule_holds(started: Daemon, agent: Agent, holdfast: Command, to: str,
                                before: Settings) -> None:
    """A socket connected to a peer that isn't held gets its own settings back, and the guard
    ignores it."""
    sock = agent.connect("10.20.0.8", PORT, **(OWN if before != UNTOUCHED else {}))
    assert sock.settings == HELD
    sock.disconnect()
    sock.connect_again(to, PORT)
    assert sock.settings == before
    sock.change(keepalive=1, time=5000)
    assert sock.settings == before._replace(keepalive=1, time=5000)
    started.reload()  # makes a pass
    assert sock.settings == before._replace(keepalive=1, time=5000)
    shown = {s["cookie"]: s["verdict"] for s in holdfast.status()["sockets"]}
    assert shown.get(sock.info["cookie"]) == ("exempt" if to == "10.20.0.9" else None)


def test_what_was_asked_for_in_between(started: Daemon, agent: Agent) -> None:
    """Settings that are asked for under the guard, or while disconnected, are remembered."""
    assert started.running
    sock = agent.connect("10.20.0.8", PORT)
    sock.change(time=5000)
    sock.disconnect()
    sock.change(interval=33)
    sock.connect_again("10.20.0.11", PORT)
    assert sock.settings == Settings(0, 5000, 33, 9)


def test_to_another_rule_and_back(started: Daemon, agent: Agent) -> None:
    """A socket connected to another rule's peer has that rule's values, and its end counts
    there."""
    sock = agent.connect("10.20.0.8", PORT)
    sock.disconnect()
    sock.connect_again("10.20.0.10", PORT)
    assert sock.settings == held(60, 6, 3)
    sock.disconnect()
    sock.connect_again("10.20.0.8", PORT)
    assert sock.settings == HELD
    sock.close()
    assert [counters.read(started.pin_dir, name).connected for name in ("held", "other")] == [2, 1]
    assert [sum(counters.read(started.pin_dir, name).ends.values())
            for name in ("held", "other")] == [2, 1]


def test_from_where_no_rule_holds(started: Daemon, agent: Agent) -> None:
    """A socket connected from an unmatched peer to a held one is held like a new connection."""
    assert started.running
    sock = agent.connect("10.20.0.11", PORT)
    sock.disconnect()
    sock.connect_again("10.20.0.8", PORT)
    assert sock.settings == HELD


def test_as_a_listener(started: Daemon, agent: Agent, outsider: Agent) -> None:
    """A held socket that becomes a listener has its own settings, and so have connections it
    accepts."""
    assert started.running
    sock = agent.connect("10.20.0.8", PORT)
    sock.disconnect()
    listener = sock.listen_on()
    assert sock.settings == UNTOUCHED
    outsider.connect("127.0.0.1", sock.local_port)
    assert listener.accept().settings == UNTOUCHED


@pytest.mark.parametrize("to", ["10.20.0.9", "10.20.0.11"])
def test_while_the_daemon_is_dead(started: Daemon, agent: Agent, to: str) -> None:
    """The kernel gives the settings back without a daemon, too."""
    sock = agent.connect("10.20.0.8", PORT)
    started.kill()
    sock.disconnect()
    sock.connect_again(to, PORT)
    assert sock.settings == UNTOUCHED
    started.start()
    assert sock.settings == UNTOUCHED
