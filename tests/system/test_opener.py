"""Who opened a connection decides its side, whatever ports it happens to have."""

import json
import os

import pytest

from harness import bpf, kernel
from harness.command import Command
from harness.config import PORT, daemon as daemon_section, rule
from harness.daemon import Daemon
from harness.options import UNTOUCHED, held
from harness.sockets import Agent, Listener, Socket
from harness.wait import wait_for

KEYS = {"time": "120s", "interval": "30s", "probes": 4}
HELD = held(120, 30, 4)
# A port that some other service listens on, and that no rule names.
SERVICE = 24400
BEFORE = pytest.mark.parametrize("before", [
    pytest.param(False, id="hook"),
    pytest.param(True, id="open-already")])


def config(side: str) -> str:
    """One rule for PORT, with no pass in sight."""
    return daemon_section(reconcile="600s") + rule("all", side=side, **KEYS)


class Pair:
    """A connection from port `source` of an outsider to port `port` of the application."""

    def __init__(self, agent: Agent, outsider: Agent, source: int, port: int,
                 backlog: int = 1024) -> None:
        self.listener = agent.listen(port, backlog=backlog)
        self.client = outsider.connect("127.0.0.1", port, source_port=source)
        self.server = self.listener.accept()


def rules_of(holdfast: Command, *socks: Socket) -> list[bool]:
    """Which of the sockets `status` shows."""
    shown = {s["cookie"] for s in holdfast.status()["sockets"]}
    return [sock.info["cookie"] in shown for sock in socks]


@BEFORE
@pytest.mark.parametrize("backlog", [1024, 1, 0])
def test_accepted_from_the_rules_port(daemon: Daemon, agent: Agent, outsider: Agent,
                                      holdfast: Command, before: bool, backlog: int) -> None:
    """An inbound connection whose source port is a rule's is none of a client rule's business."""
    pair = Pair(agent, outsider, PORT, SERVICE, backlog) if before else None
    daemon.start(config("client"))
    pair = pair or Pair(agent, outsider, PORT, SERVICE, backlog)
    assert pair.server.settings == UNTOUCHED
    assert rules_of(holdfast, pair.server) == [False]
    daemon.reload()  # a pass
    assert pair.server.settings == UNTOUCHED
    pair.server.change(keepalive=1, time=5000)
    assert pair.server.settings == UNTOUCHED._replace(keepalive=1, time=5000)
    assert "can't be held" not in daemon.log


@BEFORE
def test_opened_from_the_rules_port(daemon: Daemon, agent: Agent, outsider: Agent,
                                    holdfast: Command, before: bool) -> None:
    """The reverse: a connection of ours from that port is none of a server rule's business."""
    outsider.listen(SERVICE)

    def connect() -> Socket:
        return agent.connect("127.0.0.1", SERVICE, source_port=PORT)

    sock = connect() if before else None
    daemon.start(config("server"))
    sock = sock or connect()
    assert sock.settings == UNTOUCHED
    assert rules_of(holdfast, sock) == [False]
    daemon.reload()
    assert sock.settings == UNTOUCHED
    assert "can't be held" not in daemon.log


@BEFORE
@pytest.mark.parametrize("backlog", [1024, 0])
def test_its_own_side(daemon: Daemon, agent: Agent, outsider: Agent, holdfast: Command,
                      before: bool, backlog: int) -> None:
    """The sides that are meant, with every port on both sides in the rules."""
    listener = outsider.listen(SERVICE)

    def connect() -> tuple[Socket, Socket]:
        return (agent.connect("127.0.0.1", listener.port),
                Pair(agent, outsider, 0, PORT, backlog).server)

    socks = connect() if before else None
    daemon.start(daemon_section(reconcile="600s")
                 + rule("out", port="1-65535", **{**KEYS, "time": "121s"})
                 + rule("in", port="1-65535", side="server", **{**KEYS, "time": "122s"}))
    client, server = socks or connect()
    assert (client.settings, server.settings) == (held(121, 30, 4), held(122, 30, 4))
    shown = {s["cookie"]: (s["rule"], s["side"]) for s in holdfast.status()["sockets"]}
    assert shown[client.info["cookie"]] == ("out", "client")
    assert shown[server.info["cookie"]] == ("in", "server")
    daemon.reload()
    assert (client.settings, server.settings) == (held(121, 30, 4), held(122, 30, 4))


@BEFORE
def test_a_listener_that_is_gone(daemon: Daemon, agent: Agent, outsider: Agent,
                                 holdfast: Command, before: bool) -> None:
    """What it has accepted is known by its backlog, or by the hook; a pass doesn't forget it."""
    def accept() -> Pair:
        pair = Pair(agent, outsider, PORT, SERVICE)
        pair.listener.close()
        return pair

    pair = accept() if before else None
    daemon.start(config("client"))
    pair = pair or accept()
    daemon.reload()
    daemon.reload()
    assert pair.server.settings == UNTOUCHED
    assert rules_of(holdfast, pair.server) == [False]
    assert "can't be held" not in daemon.log


def test_held_as_a_server_without_its_listener(daemon: Daemon, agent: Agent, outsider: Agent,
                                               holdfast: Command) -> None:
    """Held under a server's rule, it stays so when its listener, of backlog 0, has gone."""
    daemon.start(config("server"))
    pair = Pair(agent, outsider, 0, PORT, backlog=0)
    pair.listener.close()
    assert pair.server.settings == HELD
    daemon.reload(config("server").replace("120s", "121s"))
    assert pair.server.settings == held(121, 30, 4)
    assert rules_of(holdfast, pair.server) == [True]


def test_a_rule_that_changes_sides(daemon: Daemon, agent: Agent, outsider: Agent,
                                   holdfast: Command) -> None:
    """At a reload sockets of the one side are given back, those of the other held."""
    daemon.start(config("client"))
    outsider.listen(PORT, "127.0.0.1")
    client = agent.connect("127.0.0.1", PORT)
    server = agent.listen(PORT, "127.0.0.2")
    outsider.connect("127.0.0.2", PORT)
    accepted = server.accept()
    assert (client.settings, accepted.settings) == (HELD, UNTOUCHED)
    daemon.reload(config("server"))
    assert (client.settings, accepted.settings) == (UNTOUCHED, HELD)
    assert rules_of(holdfast, client, accepted) == [False, True]
    daemon.reload(config("both"))
    assert (client.settings, accepted.settings) == (HELD, HELD)


def test_restored_by_criu(daemon: Daemon, agent: Agent, outsider: Agent,
                          listener: Listener) -> None:
    """No packet tells who opened it: the next pass does, by the listener that is restored, too."""
    daemon.start(daemon_section(reconcile="1s") + rule("all", side="client", **KEYS))
    agent.listen(SERVICE)
    server = agent.restore(("127.0.0.1", SERVICE), ("127.0.0.1", PORT))
    client = agent.restore(("127.0.0.1", 24401), ("127.0.0.1", listener.port))
    wait_for(lambda: client.settings == HELD, "the restored connection is held by a pass")
    assert server.settings == UNTOUCHED


def test_explain_is_about_connections_of_ours(daemon: Daemon, holdfast: Command) -> None:
    """`explain` says of a peer what a connection to there gets: rules of the server's side don't
    match."""
    daemon.start(rule("in", side="server", **KEYS))
    result = holdfast("explain", "-J", f"10.0.0.1:{PORT}")
    assert json.loads(result.out)["rule"] is None


@kernel.needs("5.15", "a sweep by the kernel")
def test_listeners_are_forgotten(daemon: Daemon, agent: Agent, outsider: Agent) -> None:
    """What the sweep notes of listeners is cleared away after a pass."""
    Pair(agent, outsider, PORT, SERVICE, 0)
    daemon.start(config("client"))
    fd = bpf.get(os.path.join(daemon.layout, "hf_listeners"))
    assert bpf.keys(fd, 16) == []
    os.close(fd)
