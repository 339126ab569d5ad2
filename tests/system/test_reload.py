"""SIGHUP: what becomes of open and new connections."""

import os
import time

import pytest

from harness.command import Command
from harness.config import PORT, rule
from harness.daemon import Daemon
from harness.netns import Netns
from harness.options import UNTOUCHED, Settings, held
from harness.sockets import Agent, Listener

OLD = rule("all", time="120s", interval="30s", probes=4)
OLD_VALUES = held(120, 30, 4)
NEW = rule("all", time="60s", interval="20s", probes=3)
NEW_VALUES = held(60, 20, 3)
ELSEWHERE = rule("elsewhere", "192.0.2.0/24")


def test_newly_matched(daemon: Daemon, agent: Agent, listener: Listener) -> None:
    """A connection that a new rule matches is held."""
    daemon.start(ELSEWHERE)
    sock = agent.connect("127.0.0.1", listener.port)
    assert sock.settings == UNTOUCHED
    daemon.reload(OLD)
    assert sock.settings == OLD_VALUES
    assert agent.connect("127.0.0.1", listener.port).settings == OLD_VALUES


def test_changed(daemon: Daemon, agent: Agent, listener: Listener) -> None:
    """A held connection gets a rule's new values, however it came to be held."""
    before = agent.connect("127.0.0.1", listener.port)
    daemon.start(OLD)
    after = agent.connect("127.0.0.1", listener.port)
    daemon.reload(NEW)
    assert [s.settings for s in (before, after)] == [NEW_VALUES] * 2
    assert agent.connect("127.0.0.1", listener.port).settings == NEW_VALUES


@pytest.mark.parametrize("application", [
    {},
    {"keepalive": 1},
    {"keepalive": 1, "time": 5000, "interval": 50, "probes": 8},
    {"time": 5000},
    {"user_timeout": 400000},
])
def test_no_longer_matched(daemon: Daemon, agent: Agent, listener: Listener,
                           application: dict[str, int]) -> None:
    """A connection that no rule matches any more gets its application's settings back."""
    original = UNTOUCHED._replace(**application)
    before = agent.connect("127.0.0.1", listener.port, **application)
    daemon.start(rule("all", time="120s", interval="30s", probes=4, user_timeout="240s"))
    after = agent.connect("127.0.0.1", listener.port, **application)
    assert [s.settings for s in (before, after)] == [OLD_VALUES._replace(user_timeout=240000)] * 2
    daemon.reload(ELSEWHERE)
    assert [s.settings for s in (before, after)] == [original] * 2
    assert agent.connect("127.0.0.1", listener.port).settings == UNTOUCHED


def test_original_survives_several_reloads(daemon: Daemon, agent: Agent,
                                           listener: Listener) -> None:
    """After several reloads the settings from before the first rule come back."""
    daemon.start(OLD)
    sock = agent.connect("127.0.0.1", listener.port, keepalive=1, time=5000)
    daemon.reload(NEW)
    daemon.reload(OLD)
    daemon.reload(ELSEWHERE)
    assert sock.settings == UNTOUCHED._replace(keepalive=1, time=5000)
    daemon.reload(NEW)
    assert sock.settings == NEW_VALUES


def test_becomes_exempt(daemon: Daemon, agent: Agent, netns: Netns, listener: Listener) -> None:
    """`enforce = no` gives the settings back, and removing it holds the connection again."""
    netns.add_address("10.20.0.8", "10.20.99.1")
    daemon.start(rule("net", "10.20.0.0/16", time="120s", interval="30s", probes=4))
    lab = agent.connect("10.20.99.1", listener.port, keepalive=1)
    net = agent.connect("10.20.0.8", listener.port)
    with_lab = (rule("net", "10.20.0.0/16", time="120s", interval="30s", probes=4)
                + rule("lab", "10.20.99.0/24", enforce="no"))
    daemon.reload(with_lab)
    assert lab.settings == UNTOUCHED._replace(keepalive=1)
    assert net.settings == OLD_VALUES
    daemon.reload(with_lab.replace("enforce = no", "enforce = yes\ntime = 33s"))
    assert lab.settings.time == 33


def test_longer_prefix_takes_over(daemon: Daemon, agent: Agent, netns: Netns,
                                  listener: Listener) -> None:
    """A connection moves to a rule with a longer prefix, and back when that is removed."""
    netns.add_address("10.20.0.8", "10.20.0.9")
    daemon.start(rule("net", "10.20.0.0/16", time="120s"))
    socks = [agent.connect(a, listener.port) for a in ("10.20.0.8", "10.20.0.9")]
    daemon.reload(rule("net", "10.20.0.0/16", time="120s") + rule("one", "10.20.0.9", time="90s"))
    assert [s.settings.time for s in socks] == [120, 90]
    daemon.reload(rule("net", "10.20.0.0/16", time="100s"))
    assert [s.settings.time for s in socks] == [100, 100]


@pytest.mark.parametrize("old, new, outcome", [
    ("always", "when-longer", held(15, 7, 2)),
    ("when-longer", "always", OLD_VALUES),
    ("always", "never", held(15, 7, 2)),
    ("never", "always", OLD_VALUES),
])
def test_override_changes(daemon: Daemon, agent: Agent, listener: Listener, old: str, new: str,
                          outcome: Settings) -> None:
    """Another `override` goes by the settings that the application had."""
    daemon.start(OLD + f"override = {old}\n")
    sock = agent.connect("127.0.0.1", listener.port, keepalive=1, time=15, interval=7, probes=2)
    daemon.reload(OLD + f"override = {new}\n")
    assert sock.settings == outcome


def test_filled_in_values_follow(daemon: Daemon, agent: Agent, listener: Listener) -> None:
    """Under `never` a reload changes the values that the rule has filled in, and no others."""
    daemon.start(OLD + "override = never\n")
    sock = agent.connect("127.0.0.1", listener.port, keepalive=1, time=5000)
    assert sock.settings == held(5000, 30, 4)
    daemon.reload(NEW + "override = never\n")
    assert sock.settings == held(5000, 20, 3)


@pytest.mark.parametrize("bad", [
    "[rule all]\ntime = 60s\n",
    NEW + "interval = 5 bananas\n",
    "[nonsense]\n",
    "\0",
])
def test_bad_configuration_changes_nothing(daemon: Daemon, agent: Agent, listener: Listener,
                                           holdfast: Command, bad: str) -> None:
    """After a reload with a faulty configuration the old rules stay in force, and the next sound
    one is taken."""
    daemon.start(OLD)
    sock = agent.connect("127.0.0.1", listener.port)
    before = holdfast.status()
    daemon.reload(bad)
    assert daemon.running
    assert sock.settings == OLD_VALUES
    assert agent.connect("127.0.0.1", listener.port).settings == OLD_VALUES
    after = holdfast.status()
    assert after["enforcement"] == before["enforcement"]
    assert [r["time"] for r in after["rules"]] == [120]
    assert f"{daemon.config_file}:" in daemon.log
    daemon.reload(NEW)
    assert sock.settings == NEW_VALUES


def test_missing_configuration_changes_nothing(daemon: Daemon, agent: Agent,
                                               listener: Listener) -> None:
    """A configuration file that has gone is a fault, not an empty configuration."""
    daemon.start(OLD)
    sock = agent.connect("127.0.0.1", listener.port)
    daemon.remove_configuration()
    daemon.reload()
    assert sock.settings == OLD_VALUES
    assert daemon.running


@pytest.mark.races
def test_new_connections_see_old_or_new(daemon: Daemon, agent: Agent,
                                        listener: Listener) -> None:
    """While rules are swapped, a new connection gets the old values or the new ones, never a
    mixture or none."""
    listener.serve_all()
    daemon.start(OLD)
    agent.churn_start("127.0.0.1", PORT)
    for config in (NEW, OLD, NEW, OLD, NEW):
        daemon.reload(config)
        time.sleep(0.05)
    seen = agent.churn_stop()
    assert set(seen) == {OLD_VALUES, NEW_VALUES}, seen


def test_generation_counts(daemon: Daemon, holdfast: Command) -> None:
    """Each reload gives `status` a higher generation."""
    daemon.start(OLD)
    first = holdfast.status()["enforcement"]["generation"]
    daemon.reload(NEW)
    assert holdfast.status()["enforcement"]["generation"] > first


@pytest.mark.parametrize("kind", ["fifo", "held fifo", "folder", "device"])
def test_no_regular_file(daemon: Daemon, agent: Agent, listener: Listener, kind: str) -> None:
    """A configuration that is not a regular file is refused, without waiting for its end."""
    daemon.start(OLD)
    sock = agent.connect("127.0.0.1", listener.port)
    os.unlink(daemon.config_file)
    writer = -1
    if kind == "folder":
        os.mkdir(daemon.config_file)
    elif kind == "device":
        os.symlink("/dev/zero", daemon.config_file)
    else:
        os.mkfifo(daemon.config_file)
        if kind == "held fifo":
            writer = os.open(daemon.config_file, os.O_RDWR)
            os.write(writer, NEW.encode())
    try:
        daemon.reload()
    finally:
        if writer >= 0:
            os.close(writer)
    assert f"{daemon.config_file}:0: error: can't be read: " in daemon.log
    assert "not reloaded" in daemon.log
    assert sock.settings == OLD_VALUES
    if os.path.isdir(daemon.config_file):
        os.rmdir(daemon.config_file)
    else:
        os.unlink(daemon.config_file)
    daemon.reload(NEW)
    assert sock.settings == NEW_VALUES
