"""Connections that are open when holdfastd starts."""

import os
import time
from typing import Callable

import pytest

from harness import build, sockdiag
from harness.cgroup import Cgroup
from harness.command import Command
from harness.config import PORT, daemon as daemon_section, rule
from harness.daemon import Daemon
from harness.kernel import needs, needs_ipv6, require_firewall
from harness.netns import Netns
from harness.options import UNTOUCHED, Settings, held
from harness.sockets import Agent, Listener
from harness.wait import wait_for

RULE = held(120, 30, 4)
KEYS = {"time": "120s", "interval": "30s", "probes": 4}

ADDRESSES = [
    "127.0.0.1",
    pytest.param("::1", marks=needs_ipv6),
    pytest.param("::ffff:127.0.0.1", marks=needs_ipv6),
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_open_connection_is_held(daemon: Daemon, agent: Agent, listener: Listener,
                                 address: str) -> None:
    """An open connection has the rule's values when the daemon says that it is ready."""
    sock = agent.connect(address, listener.port)
    assert sock.settings == UNTOUCHED
    daemon.start(rule("all", **KEYS))
    assert sock.settings == RULE


@pytest.mark.parametrize("address", ADDRESSES)
def test_sides(daemon: Daemon, agent: Agent, address: str) -> None:
    """A server rule holds an accepted connection, and neither its other end nor the listener."""
    listener = agent.listen(PORT)
    client = agent.connect(address, PORT)
    server = listener.accept()
    daemon.start(rule("all", side="server", **KEYS))
    assert server.settings == RULE
    assert client.settings == UNTOUCHED
    assert listener.settings == UNTOUCHED


@needs("5.15", "to hold a socket that no process has open yet")
def test_accepted_late(daemon: Daemon, agent: Agent) -> None:
    """A connection that waits in the listener's queue is held, too."""
    listener = agent.listen(PORT)
    agent.connect("127.0.0.1", PORT)
    daemon.start(rule("all", side="server", **KEYS))
    assert listener.accept().settings == RULE


def test_other_sockets_are_untouched(daemon: Daemon, agent: Agent, outsider: Agent, netns: Netns,
                                     listener: Listener) -> None:
    """Sockets of other control groups and ports, and of exempt or unmatched destinations, are
    untouched."""
    netns.add_address("10.20.0.8", "10.20.99.1", "10.30.0.8")
    outsider.listen(PORT + 1)
    socks = [outsider.connect("10.20.0.8", PORT), agent.connect("10.20.0.8", PORT + 1),
             agent.connect("10.20.99.1", PORT), agent.connect("10.30.0.8", PORT)]
    matched = agent.connect("10.20.0.8", PORT)
    daemon.start(rule("net", "10.20.0.0/16", **KEYS)
                 + rule("lab", "10.20.99.0/24", enforce="no"))
    assert matched.settings == RULE
    assert [s.settings for s in socks] == [UNTOUCHED] * 4


def test_connecting_while_it_starts(daemon: Daemon, agent: Agent, netns: Netns,
                                    listener: Listener) -> None:
    """A connection whose SYN is unanswered at the start is held once it is established."""
    netns.nft("table inet t {\n chain c {\n type filter hook input priority 0\n"
              f"tcp dport {PORT} drop\n }}\n }}\n")
    agent.begin_connect("127.0.0.1", listener.port)
    wait_for(lambda: [d for d in sockdiag.dump(netns) if d.state == sockdiag.SYN_SENT], "SYN_SENT")
    daemon.start(rule("all", **KEYS))
    netns.nft("flush ruleset")
    assert agent.end_connect().settings == RULE


@pytest.mark.parametrize("override, application, outcome", [
    ("when-longer", {"keepalive": 1, "time": 15}, held(15, 75, 9)),
    ("when-longer", {"keepalive": 1, "time": 5000}, RULE),
    ("when-longer", {"time": 15}, RULE),
    ("always", {"keepalive": 1, "time": 15}, RULE),
    ("never", {"keepalive": 1, "time": 5000}, held(5000, 30, 4)),
    ("never", {"keepalive": 1}, RULE),
])
def test_override(daemon: Daemon, agent: Agent, listener: Listener, override: str,
                  application: dict[str, int], outcome: Settings) -> None:
    """The application's own settings count as at connect(), by the rule's `override`."""
    sock = agent.connect("127.0.0.1", listener.port, **application)
    daemon.start(rule("all", override=override, **KEYS))
    assert sock.settings == outcome


def test_user_timeout(daemon: Daemon, agent: Agent, listener: Listener) -> None:
    """TCP_USER_TIMEOUT is set with the other options."""
    sock = agent.connect("127.0.0.1", listener.port)
    daemon.start(rule("all", user_timeout="240s", **KEYS))
    assert sock.settings == RULE._replace(user_timeout=240000)


def drop(netns: Netns) -> None:
    """Has the namespace drop what its connections to the listener send."""
    netns.nft("table inet t {\n chain c {\n type filter hook output priority 0\n"
              f"tcp dport {PORT} drop\n }}\n }}\n")


@pytest.mark.parametrize("own", [{}, {"keepalive": 1, "time": 5000, "user_timeout": 10_000}])
def test_user_timeout_of_one_that_is_overdue(daemon: Daemon, agent: Agent, netns: Netns,
                                             listener: Listener, holdfast: Command,
                                             own: dict[str, int]) -> None:
    """A lost probe doesn't end a connection that had idled for longer than the user timeout.

    It gets the user timeout once it isn't overdue any more, which is no news for the log.
    """
    require_firewall()
    before = own.get("user_timeout", 0)
    sock = agent.connect("127.0.0.1", listener.port, **own)
    time.sleep(4)
    drop(netns)
    daemon.start(daemon_section(reconcile="1s") + rule("all", time="2s", interval="1s", probes=9,
                                                       user_timeout="3500ms"))
    assert sock.settings == held(2, 1, 9, before)
    assert holdfast.socket(sock.info["cookie"])["user_timeout"] == before
    sock.change(probes=9)  # the guard, too, leaves the user timeout for later
    time.sleep(1.5)
    assert not sock.error and sock.settings == held(2, 1, 9, before)
    netns.nft("flush ruleset")
    wait_for(lambda: sock.settings == held(2, 1, 9, 3500), "the user timeout")
    assert not sock.error
    assert "changed to the new rules" not in daemon.log and "held again" not in daemon.log
    daemon.stop()
    assert sock.settings == UNTOUCHED._replace(**own)


def test_many_connections(daemon: Daemon, agent: Agent, listener: Listener) -> None:
    """Every one of many connections is held, with time-wait sockets in the kernel's table among
    them."""
    socks = [agent.connect("127.0.0.1", listener.port) for _ in range(120)]
    for sock in socks[::10]:
        agent.connect("127.0.0.1", listener.port).close()
    daemon.start(rule("all", **KEYS))
    assert [s.settings for s in socks] == [RULE] * len(socks)


@pytest.mark.parametrize("address", ADDRESSES)
def test_namespace_of_a_process(daemon: Daemon, make_netns: Callable[[], Netns],
                                make_agent: Callable[..., Agent], cgroup: Cgroup,
                                holdfast: Command, address: str) -> None:
    """A connection in a namespace without a name, as of `unshare -n` or a container, is held."""
    inside = make_netns()
    agent = make_agent(inside, cgroup)
    agent.listen(PORT)
    sock = agent.connect(address, PORT)
    daemon.start(rule("all", **KEYS))
    assert sock.settings == RULE
    assert holdfast.socket(sock.info["cookie"])["netns"] == inside.inode


def test_named_namespace(daemon: Daemon, named_netns: Netns, make_agent: Callable[..., Agent],
                         cgroup: Cgroup) -> None:
    """A connection in a namespace made by `ip netns add` is held."""
    agent = make_agent(named_netns, cgroup)
    agent.listen(PORT)
    sock = agent.connect("127.0.0.1", PORT)
    daemon.start(rule("all", **KEYS))
    assert sock.settings == RULE


@pytest.mark.skipif(build.VALGRIND, reason="valgrind has no pidfd_open(2)")
def test_namespace_that_only_sockets_hold(daemon: Daemon, make_netns: Callable[[], Netns],
                                          make_agent: Callable[..., Agent], cgroup: Cgroup,
                                          holdfast: Command) -> None:
    """A connection is held in a namespace that its process has left and only the socket keeps."""
    inside = make_netns()
    inode = inside.inode
    agent = make_agent(inside, cgroup)
    agent.listen(PORT)
    sock = agent.connect("127.0.0.1", PORT)
    agent.call("leave")
    inside.close()
    daemon.start(rule("all", **KEYS))
    assert sock.settings == RULE
    assert holdfast.socket(sock.info["cookie"])["netns"] == inode


def test_daemon_in_a_namespace_of_its_own(make_daemon: Callable[..., Daemon],
                                          make_netns: Callable[[], Netns], agent: Agent,
                                          listener: Listener) -> None:
    """The daemon may live in a namespace of its own, and is back there after its start."""
    sock = agent.connect("127.0.0.1", listener.port)
    home = make_netns()
    daemon = make_daemon(netns=home)
    daemon.start(rule("all", **KEYS))
    assert sock.settings == RULE
    assert os.stat(f"/proc/{daemon.pid}/ns/net").st_ino == home.inode


@pytest.mark.parametrize("name, value", [("time", 0), ("time", -1), ("time", 100_000),
                                         ("intvl", 0), ("intvl", 100_000),
                                         ("probes", 0), ("probes", 255)])
def test_odd_sysctl(daemon: Daemon, agent: Agent, listener: Listener, netns: Netns, name: str,
                    value: int) -> None:
    """Sysctls beyond what a socket may be set to don't keep a connection from being held and given
    back."""
    netns.sysctl(f"ipv4/tcp_keepalive_{name}", value)
    old = agent.connect("127.0.0.1", listener.port)
    daemon.start(rule("all", **KEYS))
    new = agent.connect("127.0.0.1", listener.port)
    assert old.settings == new.settings == RULE
    daemon.reload(rule("other", "192.0.2.1"))
    field = {"time": "time", "intvl": "interval", "probes": "probes"}[name]
    for sock in (old, new):
        settings = sock.settings
        most = 127 if name == "probes" else 32767
        assert getattr(settings, field) == (most if not 0 <= value <= most else max(value, 1))
        assert settings._replace(**{field: getattr(UNTOUCHED, field)}) == UNTOUCHED
    assert "could not be reached" not in daemon.log
