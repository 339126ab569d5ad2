"""Host names as destinations: their addresses are held, and followed as they change.

The file is long because all of it needs the same name server.
"""

import os
import signal
import time
from pathlib import Path
from typing import Callable, Iterator

import pytest

from harness import bpf, build, compiler
from harness.cgroup import Cgroup
from harness.command import Command
from harness.config import PORT, rule
from harness.daemon import Daemon
from harness.dns import ZONE, Files, Server
from harness.fault import Fault
from harness.kernel import needs_ipv6
from harness.netns import Netns
from harness.options import UNTOUCHED, held
from harness.process import cpu_s
from harness.sockets import Agent, Listener, Socket
from harness.wait import wait_for

pytestmark = needs_ipv6

A, B, C = "10.20.0.8", "10.20.0.9", "10.20.0.10"
A6, B6 = "fd77::8", "fd77::9"
NAME = f"db.{ZONE}"
RULE = rule("db", NAME, time="120s", interval="30s", probes=4)
HELD = held(120, 30, 4)
# Seconds in which two look-ups with a TTL of a second are made.
TWO_ROUNDS = 2.5
FAILS = "looking up host name"


@pytest.fixture
def addresses(netns: Netns) -> None:
    """Adds the addresses of these tests' names to the namespace."""
    netns.add_address(A, B, C, A6, B6)


@pytest.fixture
def make_server(workdir: str, netns: Netns) -> Iterator[Callable[..., Server]]:
    """Starts DNS servers in the namespace, which know no names at first."""
    made: list[Server] = []

    def make(address: str = "127.0.0.53", ttl: int = 1) -> Server:
        directory = os.path.join(workdir, f"dns-{address}")
        os.mkdir(directory)
        made.append(Server(netns, directory, address, ttl))
        return made[-1]

    yield make
    for server in made:
        server.stop()


@pytest.fixture
def server(make_server: Callable[..., Server]) -> Server:
    """The server that /etc/resolv.conf names, with a TTL of one second."""
    return make_server()


@pytest.fixture
def files(workdir: str) -> Iterator[Files]:
    """/etc/resolv.conf and /etc/hosts of this test."""
    made = Files(workdir, "127.0.0.53")
    yield made
    made.close()


@pytest.fixture
def daemon(make_daemon: Callable[..., Daemon], netns: Netns, files: Files,
           addresses: None) -> Daemon:
    """A holdfastd in the namespace of the DNS server."""
    return make_daemon(netns=netns)


def settles(sock: Socket, settings: object) -> None:
    """Waits until a socket has these settings."""
    wait_for(lambda: sock.settings == settings, f"{settings} on a socket", timeout=10)


def test_both_families(daemon: Daemon, server: Server, agent: Agent, listener: Listener) -> None:
    """Addresses of A and AAAA records are held, on connections from before the start and after
    it."""
    server.answer(db=[A, B, A6])
    targets = [A, B, A6]
    before = [agent.connect(address, listener.port) for address in (*targets, C, B6)]
    daemon.start(RULE)
    after = [agent.connect(address, listener.port) for address in (*targets, C, B6)]
    for socks in (before, after):
        assert [s.settings for s in socks] == [HELD] * 3 + [UNTOUCHED] * 2


def test_changed_answer(daemon: Daemon, server: Server, agent: Agent, listener: Listener) -> None:
    """New addresses are held without a reload, and the old ones stay held for an hour at least."""
    server.answer(db=[A, A6])
    daemon.start(RULE)
    old = [agent.connect(a, listener.port, keepalive=1, time=5000) for a in (A, A6)]
    new = [agent.connect(a, listener.port) for a in (B, B6)]
    assert [s.settings for s in (*old, *new)] == [HELD] * 2 + [UNTOUCHED] * 2
    server.answer(db=[B, B6])
    for sock in new:
        settles(sock, HELD)
    assert [s.settings for s in old] == [HELD] * 2
    assert [agent.connect(a, listener.port).settings for a in (A, B)] == [HELD] * 2


@pytest.mark.waits
@pytest.mark.parametrize("silent", [False, True], ids=["answers", "silent"])
def test_dropped_and_added(daemon: Daemon, server: Server, agent: Agent, listener: Listener,
                           silent: bool) -> None:
    """A name that a reload drops and another one adds again has the addresses that it had, those
    that no answer has any more, too, also while the name server is silent."""
    other = rule("other", "192.0.2.1")
    server.answer(db=A)
    daemon.start(RULE + other)
    old, new = (agent.connect(address, listener.port) for address in (A, B))
    server.answer(db=B)
    settles(new, HELD)
    daemon.reload(other)
    assert [sock.settings for sock in (old, new)] == [UNTOUCHED] * 2
    asked, cpu = server.asked(NAME), cpu_s(daemon.pid)
    time.sleep(TWO_ROUNDS)
    assert server.asked(NAME) == asked
    assert cpu_s(daemon.pid) - cpu < TWO_ROUNDS / 5
    if silent:
        server.freeze()
    daemon.reload(RULE + other)
    assert [sock.settings for sock in (old, new)] == [HELD] * 2
    if not silent:
        assert server.asked(NAME) > asked


@pytest.mark.waits
def test_family_goes(daemon: Daemon, server: Server, agent: Agent, listener: Listener) -> None:
    """Addresses stay held when the name's AAAA records go and its A records stay."""
    server.answer(db=[A, A6])
    daemon.start(RULE)
    asked = server.asked(NAME)
    server.answer(db=A)
    wait_for(lambda: server.asked(NAME) >= asked + 4, "two rounds of look-ups", timeout=10)
    assert [agent.connect(a, listener.port).settings for a in (A, A6)] == [HELD] * 2


@pytest.mark.waits
def test_rotation(daemon: Daemon, server: Server, agent: Agent, listener: Listener,
                  holdfast: Command) -> None:
    """All addresses of a name that answers with one at a time are held. Once all are known, an
    answer causes neither a swap of rules nor a log line."""
    server.answer(db=A)
    daemon.start(RULE)
    socks = {}
    for turn, address in enumerate((A, B, C)):
        server.answer(db=address)
        if turn:
            socks[address] = agent.connect(address, listener.port)
            settles(socks[address], HELD)
        else:
            socks[address] = agent.connect(address, listener.port)
        assert [sock.settings for sock in socks.values()] == [HELD] * len(socks)
    generation = holdfast.status()["enforcement"]["generation"]
    wait_for(lambda: daemon.log.count("1 existing connection held") == 2, "the last pass's line")
    lines = daemon.log.count("\n")
    for address in (A, B, C, A):
        asked = server.asked(NAME)
        server.answer(db=address)
        wait_for(lambda: server.asked(NAME) >= asked + 4, "two rounds of look-ups", timeout=10)  # pylint: disable=cell-var-from-loop
        assert [sock.settings for sock in socks.values()] == [HELD] * 3
        assert [agent.connect(a, listener.port).settings for a in (A, B, C)] == [HELD] * 3
    assert holdfast.status()["enforcement"]["generation"] == generation
    assert daemon.log.count("\n") == lines
    # The next daemon takes over all of them, whatever the first answer is.
    daemon.kill()
    daemon.start()
    assert [sock.settings for sock in socks.values()] == [HELD] * 3
    assert [agent.connect(a, listener.port).settings for a in (A, B, C)] == [HELD] * 3


@pytest.mark.waits
def test_same_answer_is_no_reload(daemon: Daemon, server: Server, holdfast: Command) -> None:
    """Rules are swapped when addresses change, not at each look-up."""
    server.answer(db=[A, B])
    daemon.start(RULE)
    generation = holdfast.status()["enforcement"]["generation"]
    asked = server.asked(NAME)
    server.answer(db=[B, A])
    wait_for(lambda: server.asked(NAME) >= asked + 4, "two rounds of look-ups", timeout=10)
    assert holdfast.status()["enforcement"]["generation"] == generation


@pytest.mark.waits
@pytest.mark.parametrize("fault", ["down", "silent", "no such name"])
def test_failure_keeps_the_last_good_answer(daemon: Daemon, server: Server, agent: Agent,
                                            listener: Listener, fault: str) -> None:
    """A failed look-up keeps the last addresses, is logged once, and the next answer counts
    again."""
    server.answer(db=A)
    daemon.start(RULE)
    sock, other = (agent.connect(a, listener.port) for a in (A, B))
    fail, heal = {"down": (server.stop, server.start), "silent": (server.freeze, server.thaw),
                  "no such name": (server.answer, lambda: None)}[fault]
    fail()
    # A server that doesn't answer is asked three times before the look-up fails.
    wait_for(lambda: FAILS in daemon.log, "the failure is told", timeout=30)
    time.sleep(TWO_ROUNDS)
    assert sock.settings == HELD
    assert agent.connect(A, listener.port).settings == HELD
    assert other.settings == UNTOUCHED
    assert daemon.log.count(FAILS) == 1
    heal()
    server.answer(db=B)
    wait_for(lambda: other.settings == HELD, "the new answer counts", timeout=20)
    assert sock.settings == HELD
    # One address family may have failed before the server is back, so that recovery takes longer.
    wait_for(lambda: "can be looked up again" in daemon.log, "the recovery is told", timeout=20)
    time.sleep(TWO_ROUNDS)
    assert daemon.log.count("can be looked up again") == 1
    assert daemon.log.count(FAILS) == 1


@pytest.mark.waits
def test_never_resolved(daemon: Daemon, server: Server, agent: Agent, listener: Listener,
                        holdfast: Command) -> None:
    """A name without addresses is shown as such, the other rules are in force, and a later answer
    counts."""
    daemon.start(RULE + rule("other", C, time="60s", interval="20s", probes=3))
    sock, other = (agent.connect(a, listener.port) for a in (A, C))
    assert sock.settings == UNTOUCHED
    assert other.settings == held(60, 20, 3)
    assert [r["destination"] for r in holdfast.status()["rules"]] == [[NAME], [C]]
    assert NAME in str(holdfast("explain", "-J", f"{A}:{PORT}").json["unresolved"])
    assert NAME in holdfast("explain", f"{A}:{PORT}").out
    assert f"rule db: host name {NAME} has no address by now" in holdfast("status").err
    time.sleep(TWO_ROUNDS)
    assert daemon.running
    assert daemon.log.count(FAILS) == 1
    server.answer(db=A)
    settles(sock, HELD)
    assert holdfast("explain", "-J", f"{A}:{PORT}").json["rule"]["name"] == "db"
    assert not holdfast("explain", "-J", f"{A}:{PORT}").json["unresolved"]
    assert "no address" not in holdfast("status").err


def test_silent_server_does_not_stop_the_start(daemon: Daemon, server: Server, agent: Agent,
                                               listener: Listener) -> None:
    """A start waits only a moment for a name server, and its answer counts when it comes."""
    server.answer(db=A)
    server.freeze()
    begin = time.monotonic()
    ready = daemon.start(RULE + rule("other", C, time="60s", interval="20s", probes=3))
    assert ready - begin < 10
    assert agent.connect(C, listener.port).settings == held(60, 20, 3)
    sock = agent.connect(A, listener.port)
    assert sock.settings == UNTOUCHED
    assert "1 host name has no answer yet; going on without" in daemon.log
    server.thaw()
    settles(sock, HELD)


def test_reload_of_a_silent_server(daemon: Daemon, server: Server, agent: Agent,
                                   listener: Listener) -> None:
    """A reload waits only a moment for a name server, too."""
    server.answer(db=A)
    daemon.start(rule("other", C, time="60s", interval="20s", probes=3))
    server.freeze()
    begin = time.monotonic()
    daemon.reload(RULE + rule("other", C, time="50s", interval="20s", probes=3))
    assert time.monotonic() - begin < 10
    assert "1 host name has no answer yet; going on without" in daemon.log
    assert agent.connect(C, listener.port).settings == held(50, 20, 3)
    sock = agent.connect(A, listener.port)
    assert sock.settings == UNTOUCHED
    server.thaw()
    settles(sock, HELD)


def test_hosts_file(daemon: Daemon, server: Server, files: Files, agent: Agent,
                    listener: Listener) -> None:
    """/etc/hosts wins over DNS for both address families, and a change of it takes effect."""
    server.answer(db=[A, A6], web=B)
    files.write_hosts(f"{C} {NAME} alias")
    daemon.start(RULE + rule("web", f"web.{ZONE}, alias", PORT + 1))
    socks = [agent.connect(a, listener.port) for a in (C, A, A6)]
    assert [s.settings for s in socks] == [HELD, UNTOUCHED, UNTOUCHED]
    # The file is read again with the next look-up, which the TTL of `web` brings about.
    files.write_hosts(f"{B6} {NAME}")
    settles(agent.connect(B6, listener.port), HELD)
    assert socks[0].settings == HELD
    files.write_hosts()
    settles(socks[1], HELD)
    settles(socks[2], HELD)


def test_hosts_file_of_the_same_size_and_time(daemon: Daemon, server: Server, files: Files,
                                              agent: Agent, listener: Listener) -> None:
    """A change of /etc/hosts that keeps size and time (cp -p, rsync -t) takes effect, too."""
    server.answer(web=C)
    assert len(A) == len(B)
    files.write_hosts(f"{A} {NAME}")
    daemon.start(RULE + rule("web", f"web.{ZONE}", PORT + 1))
    sock = agent.connect(B, listener.port)
    assert sock.settings == UNTOUCHED
    files.write_hosts(f"{B} {NAME}", as_old=True)
    settles(sock, HELD)


def test_files_that_change_during_a_look_up(daemon: Daemon, server: Server, files: Files,
                                            agent: Agent, listener: Listener) -> None:
    """A look-up during which /etc/hosts changes starts again and doesn't count as failed."""
    server.answer(db=A)
    daemon.start(RULE)
    server.freeze()
    time.sleep(1.5)  # the TTL is over, and the next look-up waits for its answer
    files.write_hosts(f"{C} other")
    daemon.reload(RULE + rule("other", "other", PORT + 1))
    assert FAILS not in daemon.log
    files.write_hosts(f"{C} other", f"{B} {NAME}")
    sock = agent.connect(B, listener.port)
    daemon.reload(RULE + rule("other", "localhost", PORT + 1))
    settles(sock, HELD)
    assert FAILS not in daemon.log


def test_hosts_file_without_a_server(daemon: Daemon, agent: Agent, listener: Listener) -> None:
    """A name in /etc/hosts needs no DNS server."""
    daemon.start(rule("local", "localhost", time="120s", interval="30s", probes=4))
    assert agent.connect("127.0.0.1", listener.port).settings == HELD
    assert FAILS not in daemon.log and "no answer yet" not in daemon.log


def test_other_server(daemon: Daemon, server: Server, make_server: Callable[..., Server],
                      files: Files, agent: Agent, listener: Listener) -> None:
    """A changed /etc/resolv.conf is read again."""
    server.answer(db=A)
    make_server("127.0.0.54").answer(db=B)
    daemon.start(RULE)
    sock = agent.connect(B, listener.port)
    assert sock.settings == UNTOUCHED
    files.resolve_with("127.0.0.54")
    settles(sock, HELD)


def test_search_domain(daemon: Daemon, server: Server, agent: Agent, listener: Listener) -> None:
    """A short name is looked up in the search domains of /etc/resolv.conf."""
    server.answer(db=A)
    daemon.start(RULE.replace(NAME, "db"))
    assert agent.connect(A, listener.port).settings == HELD


def test_alias(daemon: Daemon, server: Server, agent: Agent, listener: Listener) -> None:
    """A CNAME is followed, as for the writer of a cluster in a cloud."""
    server.answer(db=[A, A6])
    daemon.start(RULE.replace(NAME, f"alias.{ZONE}"))
    old, six, new = (agent.connect(a, listener.port) for a in (A, A6, B))
    assert [old.settings, six.settings, new.settings] == [HELD, HELD, UNTOUCHED]
    server.answer(db=B)
    settles(new, HELD)
    assert [old.settings, six.settings] == [HELD, HELD]


def test_many_addresses(daemon: Daemon, server: Server, agent: Agent, listener: Listener) -> None:
    """An answer too long for a datagram is asked for over TCP."""
    server.answer(db=[f"10.21.0.{i}" for i in range(1, 100)] + [A])
    daemon.start(RULE)
    assert agent.connect(A, listener.port).settings == HELD


@pytest.mark.waits
def test_looked_up_once(daemon: Daemon, make_server: Callable[..., Server], agent: Agent,
                        listener: Listener, outsider: Agent) -> None:
    """A name in several rules, in capitals or not, is looked up once per TTL."""
    server = make_server(ttl=60)
    server.answer(db=A)
    second = outsider.listen(PORT + 1)
    daemon.start(RULE + rule("more", NAME.upper(), PORT + 1, time="60s", interval="20s", probes=3))
    assert agent.connect(A, listener.port).settings == HELD
    assert agent.connect(A, second.port).settings == held(60, 20, 3)
    time.sleep(TWO_ROUNDS)
    daemon.reload()
    assert agent.connect(A, second.port).settings == held(60, 20, 3)
    # One question for IPv4, one for IPv6.
    assert server.asked(NAME) + server.asked(NAME.upper()) == 2


@pytest.mark.waits
def test_reload(daemon: Daemon, server: Server, agent: Agent, listener: Listener) -> None:
    """At the end of a reload a new name's addresses are held, and a dropped name's are given
    back."""
    server.answer(db=A, web=B)
    daemon.start(RULE)
    db, web = (agent.connect(a, listener.port) for a in (A, B))
    daemon.reload(RULE.replace(NAME, f"web.{ZONE}"))
    assert [db.settings, web.settings] == [UNTOUCHED, HELD]
    daemon.reload(RULE.replace(NAME, f"{NAME}, web.{ZONE}"))
    assert [db.settings, web.settings] == [HELD, HELD]
    daemon.reload(rule("none", C))
    assert [db.settings, web.settings] == [UNTOUCHED, UNTOUCHED]
    asked = server.asked(NAME)
    time.sleep(TWO_ROUNDS)
    assert server.asked(NAME) == asked


def test_failed_reload_keeps_the_names(daemon: Daemon, server: Server, agent: Agent,
                                       listener: Listener, cgroup: Cgroup) -> None:
    """After a failed reload the names of the rules in force are looked up, and not those of the
    others."""
    server.answer(db=A, web=C)
    daemon.start(RULE + "override = never\n")
    program = bpf.Program(bpf.SETSOCKOPT, "in_the_way")  # of the guard
    try:
        program.attach(cgroup.directory, 0)
        daemon.reload(RULE.replace(NAME, f"web.{ZONE}"))
        assert "not reloaded" in daemon.log
        server.answer(db=B, web=C)
        settles(agent.connect(B, listener.port), HELD)
        assert agent.connect(C, listener.port).settings == UNTOUCHED
        program.detach(cgroup.directory)
    finally:
        program.close()


def test_reload_while_the_server_is_down(daemon: Daemon, server: Server, agent: Agent,
                                         listener: Listener) -> None:
    """A reload while the server is down keeps the known addresses of its names."""
    server.answer(db=A)
    daemon.start(RULE)
    sock = agent.connect(A, listener.port)
    server.stop()
    daemon.reload(RULE.replace("120s", "60s"))
    assert sock.settings == HELD._replace(time=60)
    daemon.reload("nonsense\n")
    assert agent.connect(A, listener.port).settings == HELD._replace(time=60)


@pytest.mark.waits
def test_killed_while_the_server_is_down(daemon: Daemon, server: Server, agent: Agent,
                                         listener: Listener) -> None:
    """A new daemon takes over the known addresses until it can ask again."""
    server.answer(db=[A, A6])
    daemon.start(RULE)
    socks = [agent.connect(a, listener.port) for a in (A, A6)]
    daemon.send_signal(signal.SIGKILL)
    daemon.wait()
    server.stop()
    socks.append(agent.connect(A, listener.port))
    daemon.start()
    socks.append(agent.connect(A6, listener.port))
    assert [s.settings for s in socks] == [HELD] * 4
    server.start()
    server.answer(db=B)
    settles(agent.connect(B, listener.port), HELD)
    assert [s.settings for s in socks] == [HELD] * 4


@pytest.mark.skipif(build.SANITIZED, reason="a sanitizer wants to be preloaded first")
def test_change_that_fails(daemon: Daemon, server: Server, agent: Agent, listener: Listener,
                           netns: Netns, workdir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """New addresses that couldn't be put in force are tried again without anyone asking."""
    failed = "new addresses of host names are not in force"
    fault = Fault(workdir, daemon.pin_dir)
    fault.set_in(monkeypatch)
    server.answer(db=[A])
    daemon.start(RULE)
    socks = {}
    for nth in range(1, 60):
        address = f"10.20.1.{nth}"
        netns.add_address(address)
        socks[address] = agent.connect(address, listener.port)
        fault.order(nth)
        server.answer(db=[address])
        wait_for(lambda: socks[address].settings == HELD or failed in daemon.log,  # pylint: disable=cell-var-from-loop
                 "the change has been seen", 15)
        if failed in daemon.log:
            break
    fault.order(-1)
    assert daemon.log.count(failed) == 1, daemon.log
    settles(socks[address], HELD)
    assert agent.connect(address, listener.port).settings == HELD


def test_explain(daemon: Daemon, server: Server, holdfast: Command) -> None:
    """A host name yields to a rule that has the address itself, and to an earlier rule's name."""
    server.answer(db=[A], other=[A])
    daemon.start(rule("written", A) + RULE + rule("later", f"other.{ZONE}"))
    result = holdfast("explain", f"{A}:{PORT}")
    assert result.status == 0 and "by host name, and written has the address itself" in result.out
    found = holdfast("explain", "-J", f"{A}:{PORT}").json
    assert found["rule"]["name"] == "written" and found["match"]["reason"] == "wins"
    assert [(other["rule"], other["reason"]) for other in found["also"]] == [
        ("db", "by-name"), ("later", "by-name")]
    daemon.reload(RULE + rule("later", f"other.{ZONE}"))
    assert "by host name too, and db comes first" in holdfast("explain", f"{A}:{PORT}").out


@pytest.mark.waits
def test_let_go(daemon: Daemon, server: Server, agent: Agent, listener: Listener,
                holdfast: Command, tmp_path: Path) -> None:
    """An address that isn't answered any more is dropped after its time, unless a held connection
    goes there. In this build the time is three seconds, not an hour."""
    daemon.build_dir = compiler.variant("forgetful", build.DIRECTORY, str(tmp_path))
    server.answer(db=[A, B, A6])
    daemon.start(RULE)
    used, six = (agent.connect(a, listener.port) for a in (A, A6))
    server.answer(db=C)
    settles(agent.connect(C, listener.port), HELD)
    wait_for(lambda: "1 address let go" in daemon.log, "an address is let go", timeout=15)
    settles(agent.connect(B, listener.port), UNTOUCHED)
    assert [used.settings, six.settings] == [HELD, HELD]
    more = agent.connect(A, listener.port)
    assert more.settings == HELD
    generation = holdfast.status()["enforcement"]["generation"]
    time.sleep(5)  # longer than that time
    assert [used.settings, six.settings] == [HELD, HELD]
    assert holdfast.status()["enforcement"]["generation"] == generation
    used.close()
    more.close()
    wait_for(lambda: daemon.log.count("1 address let go") == 2, "the next one is", timeout=15)
    settles(agent.connect(A, listener.port), UNTOUCHED)
    assert six.settings == HELD
