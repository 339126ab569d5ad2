"""A connection's side depends on who opened it, whatever its ports."""

import json
import os

import pytest

from harness import bpf, kernel
from harness.command import Command
from harness.config import PORT, daemon as daemon_section, rule
from harness.daemon import Daemon
from harness.netns import HAS_IPV6, Netns
from harness.options import UNTOUCHED, held
from harness.sockets import Agent, Listener, Socket
from harness.wait import wait_for

KEYS = {"time": "120s", "interval": "30s", "probes": 4}
HELD = held(120, 30, 4)
# A port that a service of the application listens on, and that no rule names.
SERVICE = 24400
BEFORE = pytest.mark.parametrize("before", [
    pytest.param(False, id="hook"),
    pytest.param(True, id="open-already")])


def config(side: str) -> str:
    """Returns one rule for PORT, with a long reconcile period."""
    return daemon_section(reconcile="600s") + rule("all", side=side, **KEYS)


class Pair:
    """A connection from port `source` of an outsider to port `port` of the application."""

    def __init__(self, agent: Agent, outsider: Agent, source: int, port: int,
                 backlog: int = 1024) -> None:
        self.listener = agent.listen(port, backlog=backlog)
        self.client = outsider.connect("127.0.0.1", port, source_port=source)
        self.server = self.listener.accept()


def rules_of(holdfast: Command, *socks: Socket) -> list[bool]:
    """Returns for each of the sockets whether `status` shows it."""
    shown = {s["cookie"] for s in holdfast.status()["sockets"]}
    return [sock.info["cookie"] in shown for sock in socks]


@BEFORE
@pytest.mark.parametrize("backlog", [1024, 1, 0])
def test_accepted_from_the_rules_port(daemon: Daemon, agent: Agent, outsider: Agent,
                                      holdfast: Command, before: bool, backlog: int) -> None:
    """A client rule doesn't hold an accepted connection whose peer happens to use the rule's
    port."""
    pair = Pair(agent, outsider, PORT, SERVICE, backlog) if before else None
    daemon.start(config("client"))
    pair = pair or Pair(agent, outsider, PORT, SERVICE, backlog)
    assert pair.server.settings == UNTOUCHED
    assert rules_of(holdfast, pair.server) == [False]
    daemon.reload()  # makes a pass
    assert pair.server.settings == UNTOUCHED
    pair.server.change(keepalive=1, time=5000)
    assert pair.server.settings == UNTOUCHED._replace(keepalive=1, time=5000)
    assert "can't be held" not in daemon.log


def test_simultaneous_open(daemon: Daemon, agent: Agent, holdfast: Command) -> None:
    """A connection that both ends open at the same time, as one to itself, is this host's: a client
    rule holds it from its start, and a server rule for its local port doesn't."""
    daemon.start(daemon_section(reconcile="600s")
                 + rule("out", **KEYS) + rule("in", side="server", **{**KEYS, "time": "90s"}))
    sock = agent.connect("127.0.0.1", PORT, source="127.0.0.1", source_port=PORT)
    assert sock.settings == HELD
    daemon.reload()
    assert sock.settings == HELD
    assert [(s["rule"], s["side"]) for s in holdfast.status()["sockets"]] == [("out", "client")]
    sock.close()


@BEFORE
def test_opened_from_the_rules_port(daemon: Daemon, agent: Agent, outsider: Agent,
                                    holdfast: Command, before: bool) -> None:
    """A server rule doesn't hold a connection that the application opened from the rule's port."""
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


def peer_of(local: str) -> str:
    """Returns a loopback address of the same family."""
    return "::1" if ":" in local else "127.0.0.1"


@pytest.mark.skipif(not HAS_IPV6, reason="no IPv6")
@BEFORE
@pytest.mark.parametrize("local, listens, v6only", [
    ("10.20.0.5", "127.0.0.1", 0), ("10.20.0.5", "::", 1), ("10.20.0.5", "::1", 0),
    ("2001:db8::1:0:5", "0.0.0.0", 0), ("2001:db8::1:0:5", "::1", 0),
    ("::1", "::ffff:127.0.0.1", 0)])
def test_listener_elsewhere(daemon: Daemon, agent: Agent, outsider: Agent, netns: Netns,
                            holdfast: Command, before: bool, local: str, listens: str,
                            v6only: int) -> None:
    """A listener on the same port, but at another address, doesn't tell who opened a connection,
    since it can't have accepted it."""
    netns.add_address("10.20.0.5", "2001:db8::1:0:5/128")
    outsider.listen(PORT)

    def connect() -> Socket:
        made = agent.connect(peer_of(local), PORT, source=local, source_port=SERVICE)
        netns.sysctl("ipv6/bindv6only", v6only)
        outsider.listen(SERVICE, listens)
        return made

    sock = connect() if before else None
    daemon.start(config("client"))
    sock = sock or connect()
    assert sock.settings == HELD
    assert rules_of(holdfast, sock) == [True]
    daemon.reload()
    assert sock.settings == HELD
    daemon.reload(config("server").replace(str(PORT), "1-65535"))
    assert sock.settings == UNTOUCHED


@pytest.mark.skipif(not HAS_IPV6, reason="no IPv6")
@pytest.mark.parametrize("local, listens", [
    ("10.20.0.5", "10.20.0.5"), ("10.20.0.5", "0.0.0.0"), ("10.20.0.5", "::"),
    ("10.20.0.5", "::ffff:10.20.0.5"), ("10.20.0.5", "::ffff:0.0.0.0"), ("2001:db8::1:0:5", "::"),
    ("2001:db8::1:0:5", "2001:db8::1:0:5")])
def test_listener_at_its_address(daemon: Daemon, agent: Agent, outsider: Agent, netns: Netns,
                                 holdfast: Command, local: str, listens: str) -> None:
    """A listener at a connection's local address, or at all addresses, tells that the peer opened
    it; the backlog of 0 doesn't."""
    netns.add_address("10.20.0.5", "2001:db8::1:0:5/128")
    listener = agent.listen(SERVICE, listens, backlog=0)
    outsider.connect(local, SERVICE, source=peer_of(local), source_port=PORT)
    sock = listener.accept()
    daemon.start(config("client"))
    assert sock.settings == UNTOUCHED
    assert rules_of(holdfast, sock) == [False]
    assert "can't be held" not in daemon.log


@BEFORE
@pytest.mark.parametrize("backlog", [1024, 0])
def test_its_own_side(daemon: Daemon, agent: Agent, outsider: Agent, holdfast: Command,
                      before: bool, backlog: int) -> None:
    """With rules for every port on both sides, each connection gets the rule of its own side."""
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
    """An accepted connection is still known as such when its listener is gone, also after
    passes."""
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
    """A connection held by a server rule stays held when its listener, with backlog 0, is gone."""
    daemon.start(config("server"))
    pair = Pair(agent, outsider, 0, PORT, backlog=0)
    pair.listener.close()
    assert pair.server.settings == HELD
    daemon.reload(config("server").replace("120s", "121s"))
    assert pair.server.settings == held(121, 30, 4)
    assert rules_of(holdfast, pair.server) == [True]


def test_a_rule_that_changes_sides(daemon: Daemon, agent: Agent, outsider: Agent,
                                   holdfast: Command) -> None:
    """A reload that changes a rule's side gives back the sockets of one side and holds the
    other's."""
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
    """A connection restored by CRIU, without any packet, gets its side from the listener at the
    next pass."""
    daemon.start(daemon_section(reconcile="1s") + rule("all", side="client", **KEYS))
    agent.listen(SERVICE)
    server = agent.restore(("127.0.0.1", SERVICE), ("127.0.0.1", PORT))
    client = agent.restore(("127.0.0.1", 24401), ("127.0.0.1", listener.port))
    wait_for(lambda: client.settings == HELD, "the restored connection is held by a pass")
    assert server.settings == UNTOUCHED


def test_explain_is_about_connections_of_ours(daemon: Daemon, holdfast: Command) -> None:
    """`explain` is about connections that this host opens, so that server rules don't match."""
    daemon.start(rule("in", side="server", **KEYS))
    result = holdfast("explain", "-J", f"10.0.0.1:{PORT}")
    assert json.loads(result.out)["rule"] is None


@kernel.needs("5.15", "a sweep by the kernel")
def test_listeners_are_forgotten(daemon: Daemon, agent: Agent, outsider: Agent) -> None:
    """The sweep's notes about listeners are removed after a pass."""
    Pair(agent, outsider, PORT, SERVICE, 0)
    daemon.start(config("client"))
    fd = bpf.get(os.path.join(daemon.layout, "hf_listeners"))
    assert bpf.keys(fd, 16) == []
    os.close(fd)
