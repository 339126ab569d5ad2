"""What this host itself forgets: connection tracking and IPVS, in a container's network namespace
and in the host's.

The firewall of the topology plays the host: the daemon runs in its namespace.
"""

import os
import re
import shutil
import signal
import subprocess
import time
from typing import Callable, Iterator

import pytest

from harness.cgroup import Cgroup
from harness.command import Command
from harness.config import PORT, daemon as daemon_section, rule
from harness.daemon import Daemon
from harness.metrics import Metrics
from harness.netns import Netns
from harness.options import held
from harness.sockets import Agent, Listener, Socket
from harness.topology import SERVER, Topology
from harness.wait import wait_for

pytestmark = pytest.mark.waits

AUTO = daemon_section(reconcile="1s") + rule("path", probes=4)
LONG = daemon_section(reconcile="1s") + rule("path", window="1h")
UNBOUND, BOUND = held(200, 20, 4), held(100, 10, 4)
IDLE = 1.2  # seconds; a connection that idles for less isn't asked about
WARNING = "rule path says window = 1h, but this host itself forgets a connection after "
ESTABLISHED = "netfilter/nf_conntrack_tcp_timeout_established"

MASQUERADE = """
table ip container {
    chain postrouting {
        type nat hook postrouting priority 100;
        ip daddr 10.77.0.0/24 masquerade
    }
}
"""


class Host:
    """A container behind a host that forgets after 300 s, a server behind both, and the daemon on
    the host."""

    def __init__(self, make_agent: Callable[..., Agent], make_daemon: Callable[..., Daemon],
                 cgroup: Cgroup) -> None:
        self.topology = Topology(300)
        self.netns = self.topology.firewall
        self.container = self.topology.add_client()
        self.client = make_agent(self.container, cgroup)
        self.listener: Listener = make_agent(self.topology.server, None).listen(PORT)
        self.accepted: list[Socket] = []
        self.daemon = make_daemon(netns=self.netns)
        self.holdfast = Command(self.daemon.pin_dir)

    def connect(self, family: str = "inet") -> Socket:
        """Opens a connection and lets it idle."""
        sock = self.client.connect(SERVER[family], PORT)
        self.accepted.append(self.listener.accept())
        time.sleep(IDLE)
        return sock

    @property
    def window(self) -> float | None:
        """What `status -J` says of the rule."""
        [shown] = self.holdfast.status()["rules"]
        return shown["path"]["host"]

    def packet(self, sock: Socket) -> None:
        """Passes a packet, so that timeouts begin anew, and lets the connection idle."""
        sock.send("x")
        time.sleep(IDLE)


@pytest.fixture(name="host")
def _host(make_agent: Callable[..., Agent], make_daemon: Callable[..., Daemon],
          cgroup: Cgroup) -> Iterator[Host]:
    made = Host(make_agent, make_daemon, cgroup)
    yield made
    made.topology.close()


def test_masqueraded(host: Host) -> None:
    """The host's timeout bounds the time, from the first pass on; the command shows it; a restart
    keeps it."""
    host.netns.nft(MASQUERADE)
    sock = host.connect()
    host.daemon.start(AUTO)
    wait_for(lambda: sock.settings == BOUND, "a bound time")
    said = ("rule path: this host itself forgets a connection after 300 s "
            "(net.netfilter.nf_conntrack_tcp_timeout_established in network namespace "
            f"{host.netns.inode}, or a ct timeout policy): keepalive time is 100 s now, "
            "and was 200 s")
    assert host.daemon.log.count(said) == 1
    assert host.window == 300
    [shown] = host.holdfast.status()["rules"]
    assert shown["time"] == 100 and shown["window"] is None
    metrics = Metrics(host.holdfast("metrics").out)
    assert metrics.family("rule_host_window_seconds") == {'rule="path"': 300}
    address = f"{SERVER['inet']}:{PORT}"
    assert ("\n  this host's connection tracking forgets it after 300 s\n"
            in host.holdfast("explain", address).out)
    assert host.holdfast("explain", "-J", address).json["host"] == 300
    host.daemon.kill()
    host.daemon.start()
    assert host.client.connect(SERVER["inet"], PORT).settings == BOUND
    assert host.daemon.log.count("this host itself forgets") == 1


@pytest.mark.parametrize("family", ["inet", "inet6"])
def test_routed(host: Host, family: str) -> None:
    """A connection that is only routed is bound, too, in both address families."""
    sock = host.connect(family)
    host.daemon.start(AUTO)
    wait_for(lambda: sock.settings == BOUND, "a bound time")


def test_policy(host: Host) -> None:
    """A `ct timeout` policy counts, not the sysctl."""
    try:
        host.netns.nft(f"""
table ip policies {{
    ct timeout short {{
        protocol tcp
        l3proto ip
        policy = {{ established: 90 }}
    }}
    chain prerouting {{
        type filter hook prerouting priority 0;
        tcp dport {PORT} ct timeout set "short"
    }}
}}""")
    except RuntimeError as error:
        pytest.skip(f"no ct timeout policies: {error}")
    sock = host.connect()
    host.daemon.start(AUTO)
    wait_for(lambda: sock.settings == held(30, 3, 4), "a bound time")
    assert host.window == 90


def test_longer_again(host: Host) -> None:
    """A timeout that is raised lets the time be longer again, and so does its end."""
    sock = host.connect()
    host.daemon.start(AUTO)
    wait_for(lambda: sock.settings == BOUND, "a bound time")
    host.netns.sysctl(ESTABLISHED, 450)
    host.packet(sock)
    host.daemon.reload()  # has it asked again
    wait_for(lambda: sock.settings == held(150, 15, 4), "a longer time")
    host.netns.sysctl(ESTABLISHED, 86400)
    host.packet(sock)
    host.daemon.reload()
    wait_for(lambda: sock.settings == UNBOUND, "the rule's time")
    assert host.window == 86400
    host.netns.sysctl(ESTABLISHED, 300)
    host.packet(sock)
    host.daemon.reload()
    wait_for(lambda: sock.settings == BOUND, "a bound time")
    host.netns.nft("delete table inet firewall")  # with the last rule tracking ends
    time.sleep(2)
    host.packet(sock)
    host.daemon.reload()
    wait_for(lambda: sock.settings == UNBOUND, "the rule's time")
    assert host.window is None
    assert "this host itself forgets its connections no more" in host.daemon.log


@pytest.mark.waits(first=True)
def test_once_a_minute(host: Host) -> None:
    """Between reloads it asks once a minute."""
    sock = host.connect()
    host.daemon.start(AUTO)
    wait_for(lambda: sock.settings == BOUND, "a bound time")
    host.netns.sysctl(ESTABLISHED, 90)  # so that the entry is there a minute later
    host.packet(sock)
    time.sleep(5)
    assert sock.settings == BOUND
    wait_for(lambda: sock.settings == held(30, 3, 4), "a shorter time", 70)


def test_own_window(host: Host) -> None:
    """A rule with a window of its own keeps its time, and is warned once where connections are
    lost: loose pick-up is off here."""
    sock = host.connect()
    host.daemon.start(LONG)
    wait_for(lambda: WARNING + "300 s" in host.daemon.log, "the warning")
    assert sock.settings.time == 600
    assert host.window == 300
    host.daemon.reload()
    host.daemon.kill()
    host.daemon.start()
    assert host.daemon.log.count(WARNING) == 1


@pytest.mark.parametrize("masquerades", [False, True], ids=["routed", "masqueraded"])
def test_loose(host: Host, masquerades: bool) -> None:
    """With loose pick-up only a translated connection is lost, and only that is a warning."""
    host.netns.sysctl("netfilter/nf_conntrack_tcp_loose", 1)
    if masquerades:
        host.netns.nft(MASQUERADE)
    host.connect()
    host.daemon.start(LONG)
    wait_for(lambda: host.window == 300, "the window")
    assert (WARNING in host.daemon.log) == masquerades


def test_in_the_container(host: Host) -> None:
    """Tracking in the connection's own namespace counts; since root there may be anybody, a window
    below 45 s counts as that."""
    host.netns.nft("delete table inet firewall")
    host.container.nft("table ip own {\nchain output {\ntype filter hook output priority 0;\n"
                       "ct state established accept\n}\n}")
    host.container.sysctl(ESTABLISHED, 6)
    sock = host.connect()
    host.daemon.start(AUTO)
    wait_for(lambda: sock.settings == held(15, 1, 4), "a bound time")
    assert host.window == 6
    assert f"in network namespace {host.container.inode}, or" in host.daemon.log


def test_offloaded(host: Host) -> None:
    """The entry of a connection in a flow table shows nothing."""
    try:
        host.netns.nft("""
table inet fastpath {
    flowtable fast {
        hook ingress priority 0; devices = { net0, net1 };
    }
    chain forward {
        type filter hook forward priority 1;
        ip protocol tcp flow add @fast
    }
}""")
    except RuntimeError as error:
        pytest.skip(f"no flow tables: {error}")
    sock = host.connect()
    for _ in range(3):
        sock.send("x")
    time.sleep(IDLE)
    host.daemon.start(AUTO)
    time.sleep(3)
    assert host.window is None
    assert sock.settings == UNBOUND


def test_other_zone(host: Host) -> None:
    """An entry in another zone than the default isn't found, and shows nothing."""
    host.netns.nft("""
table inet zones {
    chain prerouting {
        type filter hook prerouting priority raw;
        ct zone set 5
    }
}""")
    sock = host.connect()
    with host.netns.entered(), open("/proc/thread-self/net/nf_conntrack", encoding="ascii") as file:
        assert "zone=5" in file.read()
    host.daemon.start(AUTO)
    time.sleep(3)
    assert host.window is None
    assert sock.settings == UNBOUND


def test_nothing_is_asked(make_agent: Callable[..., Agent], make_daemon: Callable[..., Daemon],
                          make_netns: Callable[[], Netns], cgroup: Cgroup, workdir: str) -> None:
    """Where nothing is tracked and IPVS isn't loaded, the daemon opens no socket that would load a
    module."""
    netns = make_netns()
    agent = make_agent(netns, cgroup)
    sock = agent.connect("127.0.0.1", agent.listen(PORT).port)
    time.sleep(IDLE)
    daemon = make_daemon(netns=netns)
    daemon.start(AUTO)
    calls = os.path.join(workdir, "calls")
    with subprocess.Popen(["strace", "-e", "trace=socket,openat,sendto", "-o", calls, "-p",
                           str(daemon.pid)], stderr=subprocess.PIPE, text=True) as strace:
        try:
            assert strace.stderr
            line = strace.stderr.readline()
            if "attached" not in line:
                pytest.skip(f"strace can't attach: {line}")
            daemon.reload()
        finally:
            strace.send_signal(signal.SIGINT)
    with open(calls, encoding="ascii", errors="replace") as file:
        made = file.read()
    assert "nf_conntrack_count" in made or not os.path.exists("/proc/sys/net/netfilter")
    assert "NETLINK_SOCK_DIAG" in made
    assert not re.findall(r"NETLINK_(?:NETFILTER|GENERIC)", made)
    assert sock.settings == UNBOUND


def test_ipvs(host: Host) -> None:
    """IPVS's timeout counts for connections to its virtual services."""
    if not os.path.exists("/proc/net/ip_vs"):
        pytest.skip("IPVS isn't loaded")
    if not shutil.which("ipvsadm"):
        pytest.skip("ipvsadm is not installed")
    host.container.run("ipvsadm", "-A", "-t", f"10.77.9.9:{PORT}", "-s", "rr")
    host.container.run("ipvsadm", "-a", "-t", f"10.77.9.9:{PORT}", "-r", f"{SERVER['inet']}:{PORT}",
                       "-m")
    host.container.run("ipvsadm", "--set", "150", "0", "0")
    sock = host.client.connect("10.77.9.9", PORT)
    time.sleep(IDLE)
    host.daemon.start(AUTO)
    wait_for(lambda: sock.settings == held(50, 5, 4), "a bound time")
    assert "ipvsadm --set in network namespace" in host.daemon.log
