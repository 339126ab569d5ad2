#!/usr/bin/python3
"""Shows what becomes of idle MySQL connections behind a firewall, with and without holdfast.

MariaDB, the firewall (nftables with connection tracking) and each client (a SQLAlchemy pool over
PyMySQL) live in network namespaces of their own. The machine's network, its control groups'
processes and its /sys/fs/bpf stay as they are. Only time is scaled. Run it as root.
"""

import os
import shutil
import signal
import sys
import tempfile
import textwrap
import time
from contextlib import ExitStack
from dataclasses import dataclass

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))

from harness import build, mariadb, mounts  # pylint: disable=wrong-import-position
from harness.capture import Capture, Packet  # pylint: disable=wrong-import-position
from harness.cgroup import Cgroup  # pylint: disable=wrong-import-position
from harness.command import Command  # pylint: disable=wrong-import-position
from harness.daemon import Daemon  # pylint: disable=wrong-import-position
from harness.mysql import MysqlClient, Outcome  # pylint: disable=wrong-import-position
from harness.netns import Netns  # pylint: disable=wrong-import-position
from harness.options import Settings  # pylint: disable=wrong-import-position
from harness.topology import DEVICE, SERVER, Topology  # pylint: disable=wrong-import-position
from harness.wait import sleep_until  # pylint: disable=wrong-import-position

import timeline  # pylint: disable=wrong-import-position

# One second here stands for five minutes in reality.
WINDOW = 12  # 1 h: the firewall forgets what idles this long
IDLE = 16    # 80 min
TIME = 4     # 20 min: holdfast's keepalive time
PORT = 23306

CONFIG = f"""\
[rule orders-db]
destination = 10.77.0.0/24
port        = {PORT}
window      = {WINDOW}s
time        = {TIME}s
interval    = 1s
probes      = 3
"""

INTRODUCTION = f"""\
What becomes of a MySQL connection that its pool keeps, and that nobody uses for a while?

    client 1  --+
    client 2  --+--  firewall  --  MariaDB      each in a network namespace of its own;
    client 3a --+                               the network of this machine is not touched
    client 3b --+

                                                          here        in life
    the firewall forgets a connection that idles for      {WINDOW} s        1 hour
    the connections of this demonstration idle for        {IDLE} s        80 minutes
    a query without an answer fails after about            7 s        15 minutes
    (the clients' kernels are told so: tcp_retries2 = 3, not 15)
"""

LOST = 2013  # CR_SERVER_LOST


@dataclass
class Client:
    """A client of the demonstration, and what was seen of it."""

    label: str
    title: str
    held: bool
    netns: Netns
    capture: Capture
    pool: MysqlClient
    settings: Settings | None = None
    asked: float = 0.0
    outcome: Outcome | None = None

    def packets(self) -> list[Packet]:
        """Returns all packets of its connection."""
        return self.capture.flow(*self.pool.ends)

    def probes(self) -> list[float]:
        """Returns when it sent keepalive probes."""
        return self.capture.probes(*self.pool.ends)

    @property
    def kept(self) -> bool:
        """Whether the query was answered on the connection that the pool had."""
        assert self.outcome
        return self.outcome.error is None and self.outcome.id == self.pool.id


class Demonstration:
    """Sets everything up, lets the connections idle, queries on them, and shows the outcome."""

    def __init__(self, stack: ExitStack) -> None:
        self.started = time.monotonic()
        self._stack = stack
        mounts.leave_host_mounts()
        self._directory = tempfile.mkdtemp(prefix="holdfast-demo-")
        stack.callback(shutil.rmtree, self._directory)
        bpffs = os.path.join(self._directory, "bpf")
        mounts.mount("bpf", bpffs)
        stack.callback(mounts.unmount, bpffs)
        self._cgroup = Cgroup(f"holdfast-demo-{os.getpid()}")
        stack.callback(self._cgroup.remove)
        self._daemon = Daemon(self._directory, self._cgroup, os.path.join(bpffs, "holdfast"))
        stack.callback(self._daemon.close)
        self._topology = Topology(WINDOW)
        stack.callback(self._topology.close)
        self._host = Netns()
        stack.callback(self._host.close)
        self.clients: list[Client] = []

    def say(self, text: str) -> None:
        """Prints a line with the time since the start."""
        print(f"[{time.monotonic() - self.started:5.1f} s] {text}", flush=True)

    def _add_client(self, label: str, title: str, held: bool, host: Netns | None = None) -> Client:
        netns = self._topology.add_client(host)
        netns.sysctl("ipv4/tcp_retries2", 3)
        pool = MysqlClient(netns, self._cgroup if held else None, pool=True)
        pool.rename(f"client-{label}")
        self._stack.callback(pool.close)
        self.clients.append(Client(label, title, held, netns, Capture(netns, DEVICE), pool))
        return self.clients[-1]

    def set_up(self) -> None:
        """Starts server, clients and daemon, and has every pool use a connection once."""
        prepared = os.path.join(self._directory, "prepared")
        mariadb.prepare(prepared)
        server = mariadb.Server(self._topology.server, prepared, self._directory, PORT)
        self._stack.callback(server.close)
        self.say("MariaDB is up, behind the firewall")

        self._host.sysctl("ipv4/tcp_keepalive_time", TIME)
        self._host.sysctl("ipv4/tcp_keepalive_intvl", 1)
        clients = [self._add_client("1", "as it comes", held=False),
                   self._add_client("2", "sysctls set on the host", held=False, host=self._host),
                   self._add_client("3a", "holdfast, opened after it", held=True),
                   self._add_client("3b", "holdfast, opened before it", held=True)]
        self._open(clients[3])
        self.say("client 3b has opened its connection")
        self._daemon.start(CONFIG)
        self.say("holdfastd is ready")
        for client in clients[:3]:
            self._open(client)
        self.say("clients 1, 2 and 3a have opened theirs")
        for client in self.clients:
            client.settings = client.pool.settings

    def _open(self, client: Client) -> None:
        client.pool.begin_open(SERVER["inet"], PORT)
        client.pool.end_open()

    def advised(self) -> tuple[int, int]:
        """Returns tcp_keepalive_time on the "host" and in the container on it."""
        found = []
        for netns in (self._host, self.clients[1].netns):
            found.append(int(netns.run("cat", "/proc/sys/net/ipv4/tcp_keepalive_time")))
        return found[0], found[1]

    def status(self) -> str:
        """Returns the table of `holdfast status`."""
        return Command(self._daemon.pin_dir)(
            "status", "-o", "VERDICT,RULE,PEER,TIME,IDLE,NEXT-PROBE,WINDOW,PROCESSES").out

    def idle_and_ask(self) -> float:
        """Lets the connections idle, and then has all clients query. Returns when the idle time
        began."""
        start = max(p.at for c in self.clients for p in c.packets() if p.size)
        self.say(f"nobody uses the connections for {IDLE} s; meanwhile, `holdfast status`:\n")
        sleep_until(start + IDLE / 2 + 1)
        print(self.status(), flush=True)
        sleep_until(start + IDLE)
        self.say("every client asks SELECT CONNECTION_ID()")
        for client in self.clients:
            client.asked = time.monotonic()
            client.pool.begin_query()
        for client in self.clients:
            client.outcome = client.pool.end_query()
        self.say("every client has its answer, or its error\n")
        return start

    def dropped(self) -> int:
        """Returns how many packets the firewall has dropped."""
        return self._topology.dropped()


def show(demonstration: Demonstration, start: float) -> None:
    """Prints the table, the timeline and the errors."""
    print(f"   {'client':<28} {'keepalive':<17} {'probes':>6}  outcome of the next query")
    for client in demonstration.clients:
        assert client.outcome and client.settings
        number = len([at for at in client.probes() if at < client.asked])
        outcome = (f"answered in {client.outcome.seconds * 1000:.0f} ms, same connection"
                   if client.kept else f"FAILED after {client.outcome.seconds:.1f} s")
        print(f"{client.label:<2} {client.title:<28} after {client.settings.time:>4} s idle "
              f"{number:>6}  {outcome}")
    print("\nThe clients' words:")
    for client in demonstration.clients:
        if client.outcome and client.outcome.message:
            print(textwrap.fill(f"{client.label:<2} {client.outcome.message}", 96,
                                subsequent_indent="   "))
    host, container = demonstration.advised()
    print(f"\n2  was advised to set net.ipv4.tcp_keepalive_time on the host (a namespace plays it "
          f"here), and\n   did: {host}. But the container's network namespace has a value of its "
          f"own: {container}.\n   The firewall has dropped {demonstration.dropped()} packets of 1 "
          "and 2, without a word.\n")
    print(timeline.draw(
        [timeline.Row(client.label, client.packets(), client.probes(), client.pool.ends[0],
                      client.asked, client.asked + client.outcome.seconds, client.kept)
         for client in demonstration.clients if client.outcome], start, WINDOW))


def missing() -> str | None:
    """Returns what is missing to run the demonstration, or None."""
    if os.geteuid() != 0:
        return "this needs root: it makes network namespaces of its own"
    for program in (build.HOLDFASTD, build.HOLDFAST):
        if not os.access(program, os.X_OK):
            return f"{program} is missing: run make first"
    for program in ("mariadbd", "mariadb-install-db", "nft", "ip", "nsenter", "setpriv"):
        if not shutil.which(program):
            return f"{program} is missing: run make deps first"
    return None


def main() -> int:
    """Returns 0 where everything went as it should."""
    fault = missing()
    if fault:
        print(f"demo: {fault}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print(INTRODUCTION, flush=True)
    with ExitStack() as stack:
        demonstration = Demonstration(stack)
        demonstration.set_up()
        start = demonstration.idle_and_ask()
        show(demonstration, start)
        as_it_should = all(
            client.kept if client.held else client.outcome and client.outcome.error == LOST
            for client in demonstration.clients)
    if not as_it_should:
        print("\ndemo: this did not go as it should", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
