"""Connections that an application opens while holdfastd runs."""

import pytest

from harness import bpf, kernel
from harness.cgroup import Cgroup
from harness.command import Command
from harness.config import PORT, rule
from harness.daemon import Daemon
from harness.kernel import needs_ipv6
from harness.netns import Netns
from harness.options import UNTOUCHED, held
from harness.sockets import Agent, Listener

RULE = rule("all", time="120s", interval="30s", probes=4)


@pytest.mark.parametrize("address", [
    "127.0.0.1",
    pytest.param("::1", marks=needs_ipv6),
    pytest.param("::ffff:127.0.0.1", marks=needs_ipv6),
])
def test_application_sees_the_rule(daemon: Daemon, agent: Agent, listener: Listener,
                                   address: str) -> None:
    """The rule's values are set when connect() returns: for IPv4, IPv6 and IPv4-mapped IPv6."""
    daemon.start(RULE)
    assert agent.connect(address, listener.port).settings == held(120, 30, 4)


@needs_ipv6
def test_mapped_peer_is_an_ipv4_peer(daemon: Daemon, agent: Agent, listener: Listener) -> None:
    """An IPv4 prefix matches ::ffff:a.b.c.d, and an IPv6 prefix does not."""
    daemon.start(rule("four", "127.0.0.0/8", time="120s") + rule("six", "::/0", time="60s"))
    assert agent.connect("::ffff:127.0.0.1", listener.port).settings.time == 120
    assert agent.connect("::1", listener.port).settings.time == 60


def test_other_ports_are_untouched(daemon: Daemon, agent: Agent, outsider: Agent) -> None:
    """A connection to a port that no rule names keeps its settings."""
    outsider.listen(PORT + 1)
    outsider.listen(PORT)
    daemon.start(RULE)
    assert agent.connect("127.0.0.1", PORT + 1).settings == UNTOUCHED
    own_keepalive = agent.connect("127.0.0.1", PORT + 1, keepalive=1, time=5000)
    assert own_keepalive.settings == UNTOUCHED._replace(keepalive=1, time=5000)
    assert agent.connect("127.0.0.1", PORT).settings == held(120, 30, 4)


def test_other_destinations_are_untouched(daemon: Daemon, agent: Agent, netns: Netns,
                                          listener: Listener) -> None:
    """A connection to a peer in no rule's prefix keeps its settings."""
    netns.add_address("10.20.0.8", "10.21.0.8")
    daemon.start(rule("only", "10.20.0.0/16", time="120s"))
    assert agent.connect("10.21.0.8", listener.port).settings == UNTOUCHED
    assert agent.connect("10.20.0.8", listener.port).settings.time == 120


def test_other_cgroups_are_untouched(daemon: Daemon, outsider: Agent,
                                     listener: Listener) -> None:
    """A process outside the control group keeps its connections' settings."""
    daemon.start(RULE)
    assert outsider.connect("127.0.0.1", listener.port).settings == UNTOUCHED


def test_child_cgroups_are_held(daemon: Daemon, make_cgroup, make_agent, cgroup, netns: Netns,
                                listener: Listener) -> None:
    """Connections of a control group below the one given to holdfastd are held."""
    child = make_cgroup("container", cgroup)
    daemon.start(RULE)
    inside = make_agent(netns, child)
    assert inside.connect("127.0.0.1", listener.port).settings == held(120, 30, 4)


def test_several_ports_and_ranges(daemon: Daemon, agent: Agent, outsider: Agent) -> None:
    """Both ends of a port range match, and its neighbours do not."""
    daemon.start(rule("all", port="23306, 23400-23402", time="120s"))
    for port, matches in ((23305, False), (23306, True), (23307, False), (23399, False),
                          (23400, True), (23401, True), (23402, True), (23403, False)):
        outsider.listen(port, "127.0.0.1")
        assert agent.connect("127.0.0.1", port).settings.keepalive == matches, port


def test_defaults_from_window(daemon: Daemon, agent: Agent, listener: Listener) -> None:
    """The default time is a quarter of the window, the interval a tenth of the time, the probes
    5."""
    daemon.start(rule("all", window="400s"))
    assert agent.connect("127.0.0.1", listener.port).settings == held(100, 10, 5)


def test_user_timeout(daemon: Daemon, agent: Agent, netns: Netns, listener: Listener) -> None:
    """TCP_USER_TIMEOUT is set, in milliseconds, where the rule has one, and else left alone."""
    netns.add_address("10.20.0.8")
    daemon.start(rule("with", "10.20.0.8", time="120s", interval="30s", probes=4,
                      user_timeout="240s") + RULE)
    assert agent.connect("10.20.0.8", listener.port).settings == held(120, 30, 4, 240000)
    kept = agent.connect("127.0.0.1", listener.port, user_timeout=7777)
    assert kept.settings == held(120, 30, 4, 7777)


def test_two_daemons_side_by_side(make_daemon, make_cgroup, make_agent, netns: Netns,
                                  listener: Listener) -> None:
    """Two daemons with pin dirs and control groups of their own don't affect each other."""
    for seconds in (60, 90):
        group = make_cgroup()
        make_daemon(group).start(rule("all", time=f"{seconds}s"))
        inside = make_agent(netns, group)
        inside.connect("127.0.0.1", listener.port)
        assert inside.connect("127.0.0.1", listener.port).settings.time == seconds


def test_a_load_balancer_on_the_socket(daemon: Daemon, agent: Agent, listener: Listener,
                                       cgroup: Cgroup, holdfast: Command) -> None:
    """A program that rewrites the destination in connect() runs before the match: the rule and
    `status` go by the rewritten port."""
    service = listener.port + 1
    daemon.start(rule("backend", time="120s", interval="30s", probes=4)
                 + rule("service", port=service, time="60s"))
    balancer = bpf.Program(bpf.CONNECT4, "balancer", bpf.to_port(listener.port))
    try:
        balancer.link(cgroup.directory)
        sock = agent.connect("127.0.0.1", service)
        assert sock.settings == held(120, 30, 4)
        shown = holdfast.socket(sock.info["cookie"])
        assert (shown["rule"], shown["peer_port"]) == ("backend", listener.port)
    finally:
        balancer.close()


def test_a_sidecar(daemon: Daemon, agent: Agent, outsider: Agent, make_agent, netns: Netns,
                   cgroup: Cgroup, holdfast: Command) -> None:
    """Where a packet filter redirects connections to a proxy on the same host, the application's
    socket matches by the destination that it asked for, and the proxy's own connection is held,
    too."""
    kernel.require_firewall()
    server, proxy_port = "10.20.0.8", PORT + 1
    netns.add_address(server)
    outsider.listen(PORT, server)
    sidecar = make_agent(netns, cgroup)
    listener = sidecar.listen(proxy_port)
    upstream = sidecar.connect(server, PORT)  # opened before the redirect, which would apply to it
    try:
        netns.nft(f"""table ip mesh {{
            chain out {{
                type nat hook output priority -100
                tcp dport {PORT} redirect to :{proxy_port}
            }}
        }}""")
    except RuntimeError as error:
        pytest.skip(f"this kernel doesn't redirect: {error}")
    daemon.start(rule("db", server, time="120s", interval="30s", probes=4))
    sock = agent.connect(server, PORT)
    accepted = listener.accept()
    assert sock.settings == upstream.settings == held(120, 30, 4)
    assert accepted.settings == UNTOUCHED
    shown = {s["cookie"]: (s["rule"], s["peer"], s["peer_port"], s["processes"][0]["pid"])
             for s in holdfast.status()["sockets"]}
    assert shown == {sock.info["cookie"]: ("db", server, PORT, agent.pid),
                     upstream.info["cookie"]: ("db", server, PORT, sidecar.pid)}
