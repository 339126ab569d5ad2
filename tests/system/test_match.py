"""Which rule a connection gets: the one with the longest prefix, as in a routing table."""

from harness.config import PORT, rule
from harness.daemon import Daemon
from harness.kernel import needs_ipv6
from harness.netns import Netns
from harness.options import UNTOUCHED
from harness.sockets import Agent, Listener


def times(agent: Agent, *addresses: str) -> list[int]:
    """Returns the keepalive time of a connection to each address; 0 where keepalive is off."""
    found = [agent.connect(address, PORT).settings for address in addresses]
    return [s.time if s.keepalive else 0 for s in found]


def test_longest_prefix_wins(daemon: Daemon, agent: Agent, netns: Netns,
                             listener: Listener) -> None:
    """The longest matching prefix wins, whatever the order in the file."""
    netns.add_address("10.20.1.8", "10.20.2.8", "10.20.2.9", "10.21.0.8", "192.168.7.7")
    daemon.start(rule("half", "10.20.0.0/16", time="16s") + rule("host", "10.20.2.8", time="32s")
                 + rule("everywhere", "any", time="99s") + rule("net", "10.20.2.0/24", time="24s")
                 + rule("eight", "10.0.0.0/8", time="8s"))
    assert times(agent, "10.20.2.8", "10.20.2.9", "10.20.1.8", "10.21.0.8",
                 "192.168.7.7") == [32, 24, 16, 8, 99]


@needs_ipv6
def test_longest_prefix_wins_in_ipv6(daemon: Daemon, agent: Agent, netns: Netns,
                                     listener: Listener) -> None:
    """In IPv6 the longest prefix wins, too, also among prefixes that end within a byte."""
    netns.add_address("2001:db8::8", "2001:db8:0:f::8", "2001:db8:8000::8", "fd00::8")
    daemon.start(rule("host", "2001:db8::8", time="128s") + rule("a", "2001:db8::/33", time="33s")
                 + rule("b", "2001:db8::/32", time="32s") + rule("rest", "any", time="99s"))
    assert times(agent, "2001:db8::8", "2001:db8:0:f::8", "2001:db8:8000::8",
                 "fd00::8") == [128, 33, 32, 99]


def test_one_rule_with_several_destinations(daemon: Daemon, agent: Agent, netns: Netns,
                                            listener: Listener) -> None:
    """Every destination of a rule matches."""
    netns.add_address("10.20.0.8", "10.30.0.8", "10.40.0.8")
    daemon.start(rule("two", "10.20.0.0/16, 10.30.0.8", time="120s"))
    assert times(agent, "10.20.0.8", "10.30.0.8", "10.40.0.8") == [120, 120, 0]


def test_exempt_host_in_a_held_net(daemon: Daemon, agent: Agent, netns: Netns,
                                   listener: Listener) -> None:
    """A longer prefix with `enforce = no` leaves its sockets alone within a net that is held."""
    netns.add_address("10.20.0.8", "10.20.99.1")
    daemon.start(rule("net", "10.20.0.0/16", time="120s")
                 + rule("lab", "10.20.99.0/24", enforce="no"))
    assert times(agent, "10.20.0.8", "10.20.99.1") == [120, 0]
    own = agent.connect("10.20.99.1", PORT, keepalive=1, time=9000)
    assert own.settings == UNTOUCHED._replace(keepalive=1, time=9000)


def test_held_host_in_an_exempt_net(daemon: Daemon, agent: Agent, netns: Netns,
                                    listener: Listener) -> None:
    """A longer prefix that is held wins over a net with `enforce = no`."""
    netns.add_address("10.20.99.1", "10.20.99.2")
    daemon.start(rule("lab", "10.20.99.0/24", enforce="no")
                 + rule("one", "10.20.99.2/32", time="120s"))
    assert times(agent, "10.20.99.1", "10.20.99.2") == [0, 120]


def test_port_comes_before_prefix(daemon: Daemon, agent: Agent, outsider: Agent) -> None:
    """A longer prefix with another port doesn't hide a shorter one with the connection's port."""
    outsider.listen(PORT)
    outsider.listen(PORT + 1)
    daemon.start(rule("host", "127.0.0.1", port=PORT + 1, time="32s")
                 + rule("net", "127.0.0.0/8", port=f"{PORT}-{PORT + 1}", time="8s"))
    assert agent.connect("127.0.0.1", PORT).settings.time == 8
    assert agent.connect("127.0.0.1", PORT + 1).settings.time == 32


def test_defaults_section(daemon: Daemon, agent: Agent, netns: Netns,
                          listener: Listener) -> None:
    """[defaults] fills in what a rule doesn't set, and a rule's own value wins."""
    netns.add_address("10.20.0.8")
    daemon.start(f"[defaults]\nport = {PORT}\ntime = 77s\nprobes = 3\n"
                 "[rule a]\ndestination = any\n"
                 "[rule b]\ndestination = 10.20.0.8\ntime = 55s\n")
    assert times(agent, "127.0.0.1", "10.20.0.8") == [77, 55]
    assert agent.connect("10.20.0.8", PORT).settings.probes == 3


def test_many_rules(daemon: Daemon, agent: Agent, netns: Netns, listener: Listener) -> None:
    """Among a thousand rules each connection gets its own."""
    netns.add_address("10.1.2.1", "10.1.3.1", "10.3.231.1")
    daemon.start("".join(rule(f"r{n}", f"10.{n // 256}.{n % 256}.0/24", time=f"{n + 1}s")
                         for n in range(1000)))
    assert times(agent, "10.1.2.1", "10.1.3.1", "10.3.231.1") == [259, 260, 1000]
