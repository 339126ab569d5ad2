"""Connections that CRIU dumps and restores, with the settings that they show at that moment."""

from harness.command import Command
from harness.config import daemon as daemon_section, rule
from harness.daemon import Daemon
from harness.metrics import Metrics
from harness.options import UNTOUCHED, held
from harness.sockets import Agent, Listener
from harness.wait import wait_for

RULE = daemon_section(reconcile="1s") + rule("all", time="120s", interval="30s", probes=4)
VALUES = held(120, 30, 4)


def test_settings(daemon: Daemon, agent: Agent, listener: Listener, holdfast: Command) -> None:
    """The rule's values count as the application's own after a restore, since nothing else is
    known. The dump of a held connection isn't logged as an end."""
    daemon.start(RULE)
    before = agent.connect("127.0.0.1", listener.port, keepalive=1, time=5000)
    assert before.settings == VALUES
    local, peer = (tuple(before.info[end]) for end in ("local", "peer"))
    settings = before.dump()
    assert settings == VALUES
    assert holdfast.status()["sockets"] == []
    sock = agent.restore(local, peer, **settings._asdict())
    wait_for(lambda: "1 existing connection held" in daemon.log, "a pass has come to it")
    assert [s["verdict"] for s in holdfast.status()["sockets"]] == ["held"]
    assert sock.settings == VALUES
    assert Metrics(holdfast("metrics").out).nonzero("ends_total") == {
        'rule="all",cause="application"': 1}
    assert "rule all: " not in daemon.log
    # The application can still ask for what it had.
    sock.change(time=5000)
    assert sock.settings == VALUES
    daemon.stop()
    assert sock.settings == VALUES._replace(time=5000)


def test_given_back(daemon: Daemon, agent: Agent, listener: Listener) -> None:
    """A restored connection is given back with the rule's values."""
    daemon.start(RULE)
    before = agent.connect("127.0.0.1", listener.port)
    local, peer = (tuple(before.info[end]) for end in ("local", "peer"))
    settings = before.dump()
    sock = agent.restore(local, peer, **settings._asdict())
    daemon.reload()
    daemon.stop()
    assert sock.settings == VALUES != UNTOUCHED
