"""Applications with keepalive settings of their own at connect(), by the rule's `override`."""

import time

import pytest

from harness.command import Command
from harness.config import daemon as daemon_section, rule
from harness.daemon import Daemon
from harness.kernel import needs
from harness.netns import Netns
from harness.options import Settings, held
from harness.sockets import Agent, Listener
from harness.wait import wait_for

RULE = held(120, 30, 4)


def start(daemon: Daemon, override: str) -> None:
    """Starts the daemon with one rule that has the values of RULE."""
    daemon.start(rule("all", time="120s", interval="30s", probes=4, override=override))


@pytest.mark.parametrize("application, outcome", [
    ({}, RULE),
    ({"keepalive": 1}, RULE),
    ({"keepalive": 1, "time": 5000, "interval": 5, "probes": 2}, RULE),
    ({"keepalive": 1, "time": 121}, RULE),
    ({"keepalive": 1, "time": 120, "interval": 7, "probes": 2}, RULE),
    ({"keepalive": 1, "time": 119, "interval": 7, "probes": 2}, held(119, 7, 2)),
    ({"keepalive": 1, "time": 15}, held(15, 75, 9)),
    # With keepalive off a short time doesn't count.
    ({"time": 15, "interval": 7}, RULE),
])
def test_when_longer(daemon: Daemon, agent: Agent, listener: Listener,
                     application: dict[str, int], outcome: Settings) -> None:
    """Under `when-longer` the application's settings stay where its keepalive is on and fires
    sooner."""
    start(daemon, "when-longer")
    assert agent.connect("127.0.0.1", listener.port, **application).settings == outcome


def test_when_longer_counts_the_namespace(daemon: Daemon, agent: Agent, netns: Netns,
                                          listener: Listener) -> None:
    """The time of an application that has set none is the sysctl of its namespace."""
    netns.sysctl("ipv4/tcp_keepalive_time", 60)
    start(daemon, "when-longer")
    assert agent.connect("127.0.0.1", listener.port, keepalive=1).settings == held(60, 75, 9)
    assert agent.connect("127.0.0.1", listener.port).settings == RULE


@needs("5.15", "a pass that makes plans for settled sockets, too,")
@pytest.mark.parametrize("keepalive", [0, 1])
def test_the_namespace_changes(daemon: Daemon, agent: Agent, netns: Netns, listener: Listener,
                               keepalive: int) -> None:
    """A change of the namespace's sysctls counts from the next pass on, also for a held socket."""
    daemon.start(daemon_section(reconcile="1s")
                 + rule("all", time="120s", interval="30s", probes=4))
    sock = agent.connect("127.0.0.1", listener.port, keepalive=keepalive)
    assert sock.settings == RULE
    netns.sysctl("ipv4/tcp_keepalive_intvl", 33)
    netns.sysctl("ipv4/tcp_keepalive_probes", 7)
    if keepalive:  # the namespace's time counts, so the application now fires sooner
        netns.sysctl("ipv4/tcp_keepalive_time", 60)
        wait_for(lambda: sock.settings == held(60, 33, 7), "its own settings")
    else:  # nothing changes now, but the guard later sets these values
        time.sleep(2.5)
        sock.change(time=20)
        wait_for(lambda: sock.settings == held(20, 33, 7), "its own settings")


@pytest.mark.parametrize("application", [
    {}, {"keepalive": 1, "time": 15, "interval": 7, "probes": 2}, {"keepalive": 1, "time": 5000},
])
def test_always(daemon: Daemon, agent: Agent, listener: Listener,
                application: dict[str, int]) -> None:
    """Under `always` a socket has the rule's values, whatever the application has set."""
    start(daemon, "always")
    assert agent.connect("127.0.0.1", listener.port, **application).settings == RULE


@pytest.mark.parametrize("application, outcome", [
    ({}, RULE),
    ({"keepalive": 1}, RULE),
    ({"keepalive": 1, "time": 5000}, held(5000, 30, 4)),
    ({"keepalive": 1, "time": 15, "probes": 2}, held(15, 30, 2)),
    ({"time": 5000, "interval": 5}, held(5000, 5, 4)),
])
def test_never(daemon: Daemon, agent: Agent, listener: Listener,
               application: dict[str, int], outcome: Settings) -> None:
    """Under `never` only what the application has left unset is filled in."""
    start(daemon, "never")
    assert agent.connect("127.0.0.1", listener.port, **application).settings == outcome


def test_own_keepalive_gets_the_verdict_own(daemon: Daemon, agent: Agent, listener: Listener,
                                            holdfast: Command) -> None:
    """`status` tells `own` settings from `held` ones."""
    start(daemon, "when-longer")
    own = agent.connect("127.0.0.1", listener.port, keepalive=1, time=15)
    other = agent.connect("127.0.0.1", listener.port, keepalive=1, time=5000)
    assert holdfast.socket(own.info["cookie"])["verdict"] == "own"
    assert holdfast.socket(other.info["cookie"])["verdict"] == "held"
