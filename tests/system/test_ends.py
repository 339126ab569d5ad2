"""Every way in which a held connection can end has its own line in the log and its own counter.

The file is long because each way has a test on both sides.
"""

import re
import signal
import time
from typing import Iterator

import pytest

from harness import bpf, kernel, mariadb, sockdiag
from harness.command import Command
from harness.config import PORT, daemon as daemon_section, rule
from harness.cgroup import Cgroup
from harness.counters import read as counters
from harness.daemon import Daemon
from harness.mysql import MysqlClient
from harness.kernel import needs
from harness.metrics import Metrics
from harness.netns import Netns
from harness.sockets import Agent, Listener, Socket
from harness.wait import sleep_until, wait_for

NOT_WELL = 1

# Counter and log line of each rule; the rules' addresses are 10.20.0.1 and up, in this order.
CAUSES = {
    "silent": ("keepalive", r"keepalive gave up: idle for (3|4)\.\d s, 2 probes unanswered"),
    "timeout": ("user_timeout", r"TCP_USER_TIMEOUT \(2500 ms\) ran out: .* (2|3|4)\.\d s"),
    "forgetful": ("probe_reset", r"reset in answer to a keepalive probe, idle for (1|2)\.\d s"),
    "refused": ("reset", r"reset in answer to data, idle for \d\.\d s"),
    "lost": ("retransmit", r"data stayed unacknowledged: .*for \d\.\d s"),
    "rude": ("server", r"closed by the server with a reset after [12]\.\d s without data"),
    "server": ("server", r"closed by the server after [12]\.\d s without data from the appl"),
    "client": ("application", None),
    "goodbye": ("application", None),
    "killed": ("application", None),
}
# Labels of the metrics that differ from the counter's name.
LABELS = {"retransmit": "retransmission"}
ADDRESSES = {name: f"10.20.0.{n}" for n, name in enumerate(CAUSES, 1)}
SILENT, RESETTING = ("silent", "timeout", "lost"), ("forgetful", "refused")
FIREWALL = f"""
table inet t {{
    chain c {{
        type filter hook input priority 0
        ip daddr {{ {", ".join(ADDRESSES[name] for name in SILENT)} }} tcp dport {PORT} drop
        ip daddr {{ {", ".join(ADDRESSES[name] for name in RESETTING)} }} tcp dport {PORT} \
            reject with tcp reset
    }}
}}
"""
RULES = "".join(
    rule(name, address, time="1s", interval="1s", probes=2 if name == "silent" else 9,
         window="60s", user_timeout="2500ms" if name == "timeout" else "off")
    for name, address in ADDRESSES.items())


class Connection:
    """Both ends of a connection, and how its end shows in the log."""

    def __init__(self, agent: Agent, listener: Listener, name: str) -> None:
        self.sock = agent.connect(ADDRESSES[name], PORT)
        self.server = listener.accept()
        info = self.sock.info
        self.cookie = info["cookie"]
        self.local, self.peer = ("%s:%d" % tuple(end) for end in (info["local"], info["peer"]))
        self.process = f"{agent.command}[{agent.pid}]"

    def lines(self, log: str) -> list[str]:
        """Returns the log's lines about the connection."""
        return [line for line in log.splitlines() if self.local in line]


def after(daemon: Daemon, agent: Agent, listener: Listener, netns: Netns) -> None:
    """Ends one more connection, and waits until its end is logged."""
    last = Connection(agent, listener, "rude")
    kill(netns, last.sock)
    wait_for(lambda: last.lines(daemon.log), "the last end is told")


def kill(netns: Netns, sock: Socket) -> None:
    """Ends a connection from outside, with `ss -K`."""
    local, peer = (tuple(end) for end in (sock.info["local"], sock.info["peer"]))
    netns.run("ss", "-K", "-t", "src", "%s" % local[0], "sport", "=", f":{local[1]}", "dport", "=",
              f":{peer[1]}")


@pytest.fixture
def mortal(make_agent, netns: Netns, cgroup) -> Agent:
    """An application that is going to be killed."""
    return make_agent(netns, cgroup)


def bring_about(connections: dict[str, Connection], netns: Netns, mortal: Agent) -> None:
    """Makes all connections end at the same time, each by its own cause."""
    for name in ("rude", "goodbye"):
        connections[name].sock.send("words")
    assert connections["goodbye"].server.receive() == "words"
    connections["goodbye"].server.close()
    netns.nft(FIREWALL)
    for name in ("lost", "refused"):
        connections[name].sock.send("words")
    connections["client"].sock.close()
    mortal.close()
    time.sleep(1.2)
    for name in ("server", "rude"):  # closing with unread data sends a reset
        connections[name].server.close()


@pytest.mark.parametrize("before", [
    pytest.param(False, id="connected"),
    pytest.param(True, id="swept", marks=needs(
        "5.11", "to tell how connections end that were there before"))])
def test_causes(daemon: Daemon, agent: Agent, mortal: Agent, netns: Netns, listener: Listener,
                holdfast: Command, before: bool) -> None:
    """Each end is counted by rule and cause, and logged with both addresses and process, unless the
    application closed it."""
    kernel.require_firewall()
    netns.add_address(*ADDRESSES.values())
    netns.sysctl("ipv4/tcp_retries2", 2)
    if not before:
        daemon.start(RULES)
    connections = {name: Connection(mortal if name == "killed" else agent, listener, name)
                   for name in CAUSES}
    if before:
        daemon.start(RULES)
    bring_about(connections, netns, mortal)
    wait_for(lambda: all(counters(daemon.pin_dir, name).ends for name in CAUSES),
             "all have ended", timeout=8, step=0.1)
    assert {name: counters(daemon.pin_dir, name).ends for name in CAUSES} == {
        name: {counter: 1} for name, (counter, _) in CAUSES.items()}
    assert Metrics(holdfast("metrics").out).nonzero("ends_total") == {
        f'rule="{name}",cause="{LABELS.get(counter, counter)}"': 1
        for name, (counter, _) in CAUSES.items()}
    wait_for(lambda: all(connections[name].lines(daemon.log)
                         for name, (_, words) in CAUSES.items() if words),
             "all have been told of", timeout=8)
    for name, (_, words) in CAUSES.items():
        connection = connections[name]
        lines = connection.lines(daemon.log)
        if not words:
            assert not lines
            continue
        assert len(lines) == 1, (name, lines)
        print(lines[0])
        assert re.search(words, lines[0]), lines[0]
        for part in (f"rule {name}:", connection.peer, connection.process):
            assert part in lines[0], (part, lines[0])

    # The application hasn't noticed the server's close, so `status` reports the connection as
    # closed.
    shown = holdfast.socket(connections["server"].cookie)
    assert shown["verdict"] == "closed"
    assert holdfast("status", "closed").status == NOT_WELL
    connections["server"].sock.close()
    # Ends are logged in their order, so that all lines about the first one are there by then.
    after(daemon, agent, listener, netns)
    assert counters(daemon.pin_dir, "server").ends == {"server": 1}
    assert len(connections["server"].lines(daemon.log)) == 1


def test_while_the_daemon_is_dead(daemon: Daemon, agent: Agent, listener: Listener,
                                  netns: Netns) -> None:
    """An end while no daemon runs is counted, and the next daemon logs it."""
    netns.add_address(*ADDRESSES.values())
    daemon.start(RULES)
    connection = Connection(agent, listener, "server")
    daemon.kill()
    time.sleep(0.6)
    connection.server.close()
    wait_for(lambda: counters(daemon.pin_dir, "server").ends == {"server": 1}, "it is counted")
    daemon.start(RULES)
    wait_for(lambda: connection.lines(daemon.log), "it is told")
    assert "closed by the server" in connection.lines(daemon.log)[0]


def test_connections_that_live_say_nothing(daemon: Daemon, agent: Agent, listener: Listener,
                                           netns: Netns) -> None:
    """Answered probes and the ends of unmatched connections are neither counted nor logged."""
    netns.add_address(*ADDRESSES.values())
    daemon.start(RULES.replace(ADDRESSES["rude"], "192.0.2.1"))
    alive, free = (Connection(agent, listener, name) for name in ("silent", "rude"))
    start = time.monotonic()
    free.sock.send("words")
    free.server.close()
    sleep_until(start + 2.5)
    assert not any(counters(daemon.pin_dir, name).ends for name in CAUSES)
    assert not alive.lines(daemon.log) + free.lines(daemon.log)
    assert alive.sock.error == 0


@pytest.mark.parametrize("used, closed", [
    pytest.param(0.35, 0, id="used-one-after-another"),
    pytest.param(0, 0.4, id="closed-one-after-another")])
def test_a_server_that_goes_away_is_no_wait_timeout(daemon: Daemon, agent: Agent,
                                                     listener: Listener, used: float,
                                                     closed: float) -> None:
    """A server that closes all its connections isn't taken for a wait_timeout."""
    daemon.start(rule("shop", time="30s", window="60s"))
    peers = []
    for _ in range(4):  # as near to each other as for a server that looks once a second
        agent.connect("127.0.0.1", PORT)
        peers.append(listener.accept())
        time.sleep(used)
    time.sleep(1.5)
    for peer in peers:
        peer.close()
        time.sleep(closed)
    wait_for(lambda: counters(daemon.pin_dir, "shop").ends == {"server": 4}, "all are closed")
    wait_for(lambda: daemon.log.count("closed by the server") >= 4, "each is told")
    assert "wait_timeout" not in daemon.log  # the third end would have brought that line


def test_two_timeouts(daemon: Daemon, agent: Agent, listener: Listener, netns: Netns) -> None:
    """Two servers under one rule have timeouts of their own, whose ends alternate."""
    netns.add_address("10.20.0.8", "10.20.0.9")
    daemon.start(rule("shop", time="30s", window="60s"))
    for _ in range(3):
        connections = []
        for address in ("10.20.0.8", "10.20.0.9"):
            connections.append((agent.connect(address, PORT), listener.accept()))
        for (_, peer), wait in zip(connections, (1.6, 2.6)):
            time.sleep(wait)
            peer.close()
    wait_for(lambda: daemon.log.count("closed by the server after about") == 2, "both are guessed")
    for line in ("to 10.20.0.8:3306 were closed by the server after about 2 s",
                 "to 10.20.0.9:3306 were closed by the server after about 4 s"):
        assert f"rule shop: 3 connections {line}" in daemon.log.replace(str(PORT), "3306")


def test_user_timeout_on_data(daemon: Daemon, agent: Agent, listener: Listener,
                              netns: Netns) -> None:
    """TCP_USER_TIMEOUT is named as the cause also where it runs out on data, without a probe."""
    kernel.require_firewall()
    netns.add_address(*ADDRESSES.values())
    daemon.start(rule("timeout", ADDRESSES["timeout"], time="30s", window="60s",
                      user_timeout="1500ms"))
    connection = Connection(agent, listener, "timeout")
    netns.nft(FIREWALL)
    connection.sock.send("words")
    wait_for(lambda: connection.lines(daemon.log), "its end is told", timeout=30)
    assert counters(daemon.pin_dir, "timeout").ends == {"user_timeout": 1}
    assert re.search(r"TCP_USER_TIMEOUT \(1500 ms\) ran out: .* 0 probes unanswered",
                     connection.lines(daemon.log)[0])


@pytest.mark.parametrize("what", ["news", "answers"])
def test_idle(daemon: Daemon, agent: Agent, listener: Listener, netns: Netns, what: str) -> None:
    """The idle time in the log counts from the last data or the last answer to a probe, whichever
    is later."""
    kernel.require_firewall()
    netns.add_address(*ADDRESSES.values())
    daemon.start(rule("silent", ADDRESSES["silent"], time="2s" if what == "news" else "1s",
                      interval="1s", probes=2, window="60s"))
    connection = Connection(agent, listener, "silent")
    if what == "news":
        # The kernel doesn't look at the acknowledgment of a segment behind unread data.
        connection.server.send("news")
        time.sleep(1.5)
        connection.server.send("more news")
    else:
        time.sleep(2.5)
    netns.nft(FIREWALL)
    diag = sockdiag.find(netns, connection.cookie)
    assert diag
    heard = time.monotonic() - diag.idle
    wait_for(lambda: counters(daemon.pin_dir, "silent").ends, "it is given up")
    idle = time.monotonic() - heard
    wait_for(lambda: connection.lines(daemon.log), "its end is told")
    line, = connection.lines(daemon.log)
    said = re.search(r"idle for (\d+\.\d) s, 2 probes unanswered", line)
    assert said and float(said[1]) == pytest.approx(idle, abs=0.4), (line, idle)


@pytest.fixture
def server(netns: Netns, mariadb_files: str, workdir: str) -> Iterator[mariadb.Server]:
    """A MariaDB that closes connections after two idle seconds."""
    made = mariadb.Server(netns, mariadb_files, workdir, PORT)
    netns.run("mariadb", "--no-defaults", "-h127.0.0.1", f"-P{PORT}", f"-u{mariadb.USER}",
              f"-p{mariadb.PASSWORD}", "-e", "SET GLOBAL wait_timeout = 2")
    yield made
    made.close()


def test_wait_timeout(daemon: Daemon, netns: Netns, cgroup, server: mariadb.Server) -> None:
    """The log names wait_timeout where MariaDB closes the idle connections of SQLAlchemy pools.

    MariaDB 10.11 closes with a reset and no FIN. This counts as a close by the server, and as no
    other cause.
    """
    daemon.start(rule("shop", time="30s", interval="1s", window="60s"))
    pools = [MysqlClient(netns, cgroup, pool=True) for _ in range(3)]
    try:
        for pool in pools:
            pool.begin_open("127.0.0.1", PORT)
            pool.end_open()
            time.sleep(1.7)  # ends at the same moment would count as one
        wait_for(lambda: sum(counters(daemon.pin_dir, "shop").ends.values()) == 3,
                 "the server closes them all", timeout=8)
        wait_for(lambda: len(lines_of(daemon, pools)) == 3, "each is told")
        for line, pool in lines_of(daemon, pools):
            print(line)
            assert re.search(r"closed by the server with a reset after (1\.9|2\.\d) s", line), line
            assert f"[{pool.pid}]" in line and "rule shop:" in line
        assert counters(daemon.pin_dir, "shop").ends == {"server": 3}
        hints = [line for line in daemon.log.splitlines() if "wait_timeout" in line]
        print(hints)
        assert len(hints) == 1 and "2 s" in hints[0] and "shop" in hints[0]

        # The application gets one error.
        pools[0].begin_query()
        assert pools[0].end_query().error in (2006, 2013)
    finally:
        for pool in pools:
            pool.close()


def lines_of(daemon: Daemon, pools: list[MysqlClient]) -> list[tuple[str, MysqlClient]]:
    """Returns the log's lines about the pools' connections, each with its pool."""
    return [(line, pool) for pool in pools for line in daemon.log.splitlines()
            if "%s:%d" % tuple(pool.ends[0]) in line]


def test_from_outside(daemon: Daemon, agent: Agent, listener: Listener, netns: Netns) -> None:
    """An end by `ss -K` is told apart from a timeout, whether or not data is unacknowledged."""
    netns.add_address(*ADDRESSES.values())
    daemon.start(RULES)
    connections = {name: Connection(agent, listener, name) for name in ("silent", "timeout")}
    connections["timeout"].sock.send("words")
    for connection in connections.values():
        kill(netns, connection.sock)
        wait_for(lambda c=connection: c.lines(daemon.log), "it is told")
        assert "ended from outside" in connection.lines(daemon.log)[0]
    for name in connections:
        assert counters(daemon.pin_dir, name).ends == {"aborted": 1}


@pytest.mark.parametrize("answered, pause, counter", [
    (True, 0.0, "application"),  # a close that comes with the last answer, as in TLS
    (True, 0.25, "server"),
    (False, 0.0, "application"),  # COM_QUIT has no answer
    (False, 0.25, "server"),
])
def test_soon_after_a_query(daemon: Daemon, agent: Agent, listener: Listener, netns: Netns,
                            answered: bool, pause: float, counter: str) -> None:
    """A close at once after a query counts as the application's wish, a later one as the
    server's."""
    netns.add_address(*ADDRESSES.values())
    daemon.start(RULES)
    connection = Connection(agent, listener, "server")
    time.sleep(0.05)  # the end of the handshake must not count as an answer
    connection.sock.send("query")
    assert connection.server.receive() == "query"
    if answered:
        connection.server.send("answer")
        assert connection.sock.receive() == "answer"
    time.sleep(pause)
    connection.server.close()
    wait_for(lambda: counters(daemon.pin_dir, "server").ends, "it has ended")
    assert counters(daemon.pin_dir, "server").ends == {counter: 1}
    if counter == "server":
        wait_for(lambda: connection.lines(daemon.log), "it is told")
    else:
        after(daemon, agent, listener, netns)
        assert not connection.lines(daemon.log)


class TestServerSide:
    """The same causes on a connection that this host has accepted."""

    NAMES = ("silent", "timeout", "forgetful", "refused", "lost", "rude", "server", "killed")
    WORDS = {
        "silent": ("keepalive", r"2 probes unanswered; the client or the path to it is gone"),
        "timeout": ("user_timeout", r"nothing came from the client for"),
        "forgetful": ("probe_reset", r"or the client has restarted"),
        "refused": ("reset", r"reset in answer to data.* or the client has restarted"),
        "lost": ("retransmit", r"data stayed unacknowledged: nothing came from the client"),
        "rude": ("application", None),  # the client resets the connection
        "server": ("application", None),  # the client closes the connection
        "killed": ("application", None),  # this host closes the connection
    }

    @pytest.mark.parametrize("before", [
        pytest.param(False, id="accepted"),
        pytest.param(True, id="swept", marks=needs(
            "5.11", "to tell how connections end that were there before"))])
    def test_causes(self, daemon: Daemon, agent: Agent, outsider: Agent, netns: Netns,
                    before: bool) -> None:
        """Each end is counted by cause and logged from a server's view; a client's close isn't
        logged."""
        kernel.require_firewall()
        netns.add_address(*ADDRESSES.values())
        netns.sysctl("ipv4/tcp_retries2", 2)
        rules = "".join(
            rule(name, ADDRESSES[name], side="server", time="1s", interval="1s",
                 probes=2 if name == "silent" else 9, window="60s",
                 user_timeout="2500ms" if name == "timeout" else "off") for name in self.NAMES)
        if not before:
            daemon.start(rules)
        listening = agent.listen(PORT, "0.0.0.0")
        clients, servers = {}, {}
        for name in self.NAMES:
            clients[name] = outsider.connect("127.0.0.1", PORT, source=ADDRESSES[name])
            servers[name] = listening.accept()
        if before:
            daemon.start(rules)
        servers["rude"].send("unread")
        netns.nft(FIREWALL.replace("dport", "sport"))
        for name in ("lost", "refused"):
            servers[name].send("words")
        servers["killed"].close()
        time.sleep(0.9)  # longer than the time in which a close counts as the application's wish
        for name in ("rude", "server"):
            clients[name].close()
        wait_for(lambda: all(counters(daemon.pin_dir, name).ends for name in self.NAMES),
                 "all have ended", timeout=10, step=0.1)
        assert {name: counters(daemon.pin_dir, name).ends for name in self.NAMES} == {
            name: {counter: 1} for name, (counter, _) in self.WORDS.items()}
        told = [name for name, (_, words) in self.WORDS.items() if words]
        wait_for(lambda: all(f"rule {name}:" in daemon.log for name in told), "all are told")
        for name, (_, words) in self.WORDS.items():
            lines = [line for line in daemon.log.splitlines() if f"rule {name}:" in line]
            assert len(lines) == (1 if words else 0), (name, lines)
            assert not words or re.search(words, lines[0]), lines[0]
        assert "by the server" not in daemon.log and "wait_timeout" not in daemon.log


def test_how_long_ago(daemon: Daemon, agent: Agent, listener: Listener, netns: Netns) -> None:
    """An end while no daemon ran is logged with how long ago it was."""
    netns.add_address(*ADDRESSES.values())
    daemon.start(RULES)
    connection = Connection(agent, listener, "server")
    now = Connection(agent, listener, "rude")
    daemon.kill()
    kill(netns, connection.sock)
    wait_for(lambda: counters(daemon.pin_dir, "server").ends, "it is counted")
    time.sleep(1.1)
    daemon.start(RULES)
    wait_for(lambda: connection.lines(daemon.log), "it is told")
    assert re.search(r" \([1-9] s ago, while no holdfastd ran\)$", connection.lines(daemon.log)[0])
    kill(netns, now.sock)
    wait_for(lambda: now.lines(daemon.log), "it is told")
    assert " ago" not in now.lines(daemon.log)[0]


def test_more_than_fit(daemon: Daemon, agent: Agent, listener: Listener, netns: Netns,
                       holdfast: Command) -> None:
    """Ends that the ring buffer had no room for are counted, logged as a number, and in the
    metrics."""
    netns.add_address(*ADDRESSES.values())
    daemon.start(RULES)
    socks = [Connection(agent, listener, "server") for _ in range(2700)]
    daemon.send_signal(signal.SIGSTOP)
    netns.run("ss", "-K", "-t", "dst", ADDRESSES["server"])
    wait_for(lambda: counters(daemon.pin_dir, "server").ends == {"aborted": len(socks)},
             "each is counted", timeout=20)
    untold = counters(daemon.pin_dir, "server").untold
    assert 0 < untold < len(socks)
    daemon.send_signal(signal.SIGCONT)
    wait_for(lambda: f"{untold} connections in all have ended faster than could be read"
             in daemon.log, "it is told", timeout=20)
    assert f'holdfast_ends_untold_total{{rule="server"}} {untold}\n' in holdfast("metrics").out


def test_a_noisy_tenant(daemon: Daemon, make_agent, make_netns, cgroup: Cgroup) -> None:
    """A namespace whose connections end in masses doesn't suppress the log lines of another one."""
    daemon.start(daemon_section(reconcile="60s") + rule("all", time="60s"))
    noisy, quiet = make_netns(), make_netns()
    agents = {where: make_agent(where, cgroup) for where in (noisy, quiet)}
    listeners = {where: make_agent(where, None).listen(PORT) for where in (noisy, quiet)}
    for _ in range(3):
        for _ in range(1000):
            agents[noisy].connect("127.0.0.1", listeners[noisy].port)
            listeners[noisy].accept()
        noisy.run("ss", "-K", "-t", "dport", "=", f":{PORT}")
    wait_for(lambda: "some are only counted now" in daemon.log, "the flood is told", timeout=20)
    sock = agents[quiet].connect("127.0.0.1", listeners[quiet].port)
    port = sock.info["local"][1]
    kill(quiet, sock)
    wait_for(lambda: f":{port} to" in daemon.log.split("some are only counted now")[-1],
             "the quiet one's end is told", timeout=10)


@needs("6.12", "to hear of ends by a flag of the socket")
@pytest.mark.parametrize("first", [True, False], ids=["before", "after"])
def test_another_program_takes_the_flag(daemon: Daemon, agent: Agent, listener: Listener,
                                        netns: Netns, cgroup: Cgroup, first: bool) -> None:
    """An end is reported also where another sockops program overwrites the callback flags: at once
    where that program was attached first, else from the next pass on."""
    netns.add_address(*ADDRESSES.values())
    config = daemon_section(reconcile="1s") + RULES
    if not first:
        daemon.start(config)
    foreign = bpf.Program(bpf.SOCK_OPS, "forgetful", bpf.FORGETS_FLAGS)
    try:
        foreign.link(cgroup.directory)
        if first:
            daemon.start(config)
        else:
            early = Connection(agent, listener, "forgetful")
            wait_for(lambda: "another sockops program" in daemon.log, "a pass notices", timeout=10)
            kill(netns, early.sock)
            wait_for(lambda: counters(daemon.pin_dir, "forgetful").ends == {"aborted": 1},
                     "what was there before the notice")
        late = Connection(agent, listener, "server")
        kill(netns, late.sock)
        wait_for(lambda: late.lines(daemon.log), "it is told")
        assert counters(daemon.pin_dir, "server").ends == {"aborted": 1}
        assert len(late.lines(daemon.log)) == 1
        daemon.reload()
        assert daemon.log.count("another sockops program") == (0 if first else 1)
    finally:
        foreign.close()
