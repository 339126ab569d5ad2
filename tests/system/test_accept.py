"""Connections that an application accepts, by the rules' `side`."""

import pytest

from harness.config import PORT, rule
from harness.daemon import Daemon
from harness.kernel import needs_ipv6
from harness.netns import Netns
from harness.options import UNTOUCHED, held
from harness.sockets import Agent

KEYS = {"time": "120s", "interval": "30s", "probes": 4}


@pytest.mark.parametrize("side, client_held, server_held", [
    ("client", True, False),
    ("server", False, True),
    ("both", True, True),
])
@pytest.mark.parametrize("address", [
    "127.0.0.1",
    pytest.param("::1", marks=needs_ipv6),
])
def test_sides(daemon: Daemon, agent: Agent, side: str, client_held: bool, server_held: bool,
               address: str) -> None:
    """A rule holds only the ends of its own side."""
    daemon.start(rule("all", side=side, **KEYS))
    listener = agent.listen(PORT)
    client = agent.connect(address, PORT)
    server = listener.accept()
    assert client.settings == (held(120, 30, 4) if client_held else UNTOUCHED)
    assert server.settings == (held(120, 30, 4) if server_held else UNTOUCHED)


def test_listener_is_untouched(daemon: Daemon, agent: Agent) -> None:
    """A listener, which has no peer, keeps its settings."""
    daemon.start(rule("all", side="both", **KEYS))
    assert agent.listen(PORT).settings == UNTOUCHED


def test_listener_outside_the_cgroup(daemon: Daemon, agent: Agent, outsider: Agent) -> None:
    """An accepted connection belongs to the control group of its listener."""
    daemon.start(rule("all", side="server", **KEYS))
    listener = outsider.listen(PORT)
    agent.connect("127.0.0.1", PORT)
    assert listener.accept().settings == UNTOUCHED


def test_peer_decides_on_the_server_side(daemon: Daemon, agent: Agent, netns: Netns) -> None:
    """On the server's side a rule's destination is the client's address."""
    netns.add_address("10.20.0.8", "10.30.0.8")
    daemon.start(rule("near", "10.20.0.0/16", side="server", **KEYS))
    listener = agent.listen(PORT)
    for source, matches in (("10.20.0.8", True), ("10.30.0.8", False)):
        agent.connect("127.0.0.1", PORT, source=source)
        assert listener.accept().settings.keepalive == matches, source


def test_server_settings_of_the_listener_count_as_its_own(daemon: Daemon, agent: Agent) -> None:
    """Settings that an accepted connection inherits from its listener count as the application's
    own."""
    daemon.start(rule("all", side="server", **KEYS))
    listener = agent.listen(PORT)
    listener.change(keepalive=1, time=10)
    agent.connect("127.0.0.1", PORT)
    assert listener.accept().settings == UNTOUCHED._replace(keepalive=1, time=10)
