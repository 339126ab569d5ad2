"""Tests, on any kernel, how holdfastd works on kernels that lack some features.

The builds leave out in their first try what such kernels lack: level 0 has no iterators over maps,
level 1 is a kernel before 6.2, level 2 one before 5.15, level 3 one before 5.11. The whole suite
runs on real ones in the virtual machines; these tests are about the differences.
"""

import os
import signal
import time

import pytest

from harness import build, compiler, record, sockdiag
from harness.cgroup import Cgroup
from harness.command import Command
from harness.config import PORT, daemon as daemon_section, rule
from harness.counters import read as counters
from harness.daemon import Daemon
from harness.fault import KILL, OPTION, Fault, steps
from harness.kernel import needs, require_closed, require_firewall
from harness.netns import HAS_IPV6, Netns
from harness.options import UNTOUCHED, held
from harness.sockets import Agent, Listener, Socket
from harness.wait import wait_for

VALUES = held(120, 30, 4)
RULE = rule("all", time="120s", interval="30s", probes=4)
FASTER = daemon_section(reconcile="1s") + RULE

pytestmark = needs("5.15", "to choose between what older kernels can do")


@pytest.fixture(scope="module", params=compiler.LEVELS, autouse=True)
def level(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> int:
    """Has this module's tests use a holdfastd of each level."""
    made = compiler.variant(f"level{request.param}", build.DIRECTORY,
                            str(tmp_path_factory.mktemp("level")))
    before, build.HOLDFASTD = build.HOLDFASTD, os.path.join(made, "holdfastd")
    request.addfinalizer(lambda: setattr(build, "HOLDFASTD", before))
    return int(request.param)


def test_life_of_a_connection(daemon: Daemon, agent: Agent, listener: Listener,
                              holdfast: Command) -> None:
    """Connections are held by a start, changed by a reload, and given back by a reload and by the
    stop."""
    socks = [agent.connect("127.0.0.1", listener.port, **own) for own in (
        {}, {"keepalive": 1}, {"keepalive": 1, "time": 7000, "probes": 3}, {"user_timeout": 5000})]
    before = [sock.settings for sock in socks]
    daemon.start(RULE)
    assert [sock.settings for sock in socks[:3]] == [VALUES] * 3
    assert socks[3].settings == VALUES._replace(user_timeout=5000)
    new = agent.connect("127.0.0.1", listener.port)
    assert new.settings == VALUES
    assert {s["verdict"] for s in holdfast.status()["sockets"]} == {"held"}
    assert counters(daemon.pin_dir, "all").swept == 4

    daemon.reload(rule("all", time="90s", interval="30s", probes=4, user_timeout="100s"))
    assert new.settings == held(90, 30, 4, 100_000)
    assert socks[3].settings == held(90, 30, 4, 5000)
    daemon.reload(rule("other", "192.0.2.1"))
    assert [sock.settings for sock in socks] == before
    assert new.settings == UNTOUCHED
    daemon.reload(RULE)
    daemon.stop()
    assert [sock.settings for sock in socks] == before
    assert "4 connections given back" in daemon.log or "5 connections given back" in daemon.log


LEFT_ALONE, YES = 124, 1 << 8  # hf_record.left_alone is the second byte behind this


def test_left_alone(daemon: Daemon, agent: Agent, listener: Listener, holdfast: Command) -> None:
    """What `holdfast measure` has marked is no concern of any program's, nor of the daemon's."""
    socks = [agent.connect("127.0.0.1", listener.port)]
    daemon.start(FASTER)
    socks.append(agent.connect("127.0.0.1", listener.port))
    for sock in socks:
        record.change(daemon, sock, LEFT_ALONE, YES)
        sock.change(keepalive=0, time=7000)
    off = VALUES._replace(keepalive=0, time=7000)
    assert [sock.settings for sock in socks] == [off] * 2
    held_too = agent.connect("127.0.0.1", listener.port)
    daemon.reload(FASTER.replace("120s", "90s"))
    time.sleep(1.5)
    assert held_too.settings == held(90, 30, 4)
    assert [sock.settings for sock in socks] == [off] * 2
    for sock in socks:
        assert holdfast.socket(sock.info["cookie"])["verdict"] == "exempt"
    assert holdfast("status").status == 0 and len(holdfast("probe", "-J").json["sockets"]) == 1
    daemon.stop()
    assert held_too.settings == UNTOUCHED
    assert [sock.settings for sock in socks] == [off] * 2


def test_own_from_before(daemon: Daemon, agent: Agent, listener: Listener,
                         holdfast: Command) -> None:
    """An application whose own keepalive fires sooner keeps it."""
    sock = agent.connect("127.0.0.1", listener.port, keepalive=1, time=60, interval=7)
    daemon.start(RULE)
    assert sock.settings == held(60, 7, 9)
    assert holdfast.socket(sock.info["cookie"])["verdict"] == "own"


def test_overdue_connection_is_probed_at_once(daemon: Daemon, agent: Agent, netns: Netns,
                                              listener: Listener) -> None:
    """A connection that has idled longer than `time` at the start is probed at once."""
    sock = agent.connect("127.0.0.1", listener.port)
    cookie = sock.info["cookie"]

    def idle() -> float:
        found = sockdiag.find(netns, cookie)
        assert found
        return found.idle

    wait_for(lambda: idle() > 2.5, "the connection has idled", timeout=10)
    daemon.start(rule("all", time="2s", interval="2s", probes=4, window="60s"))
    wait_for(lambda: idle() < 1.5, "it has been probed", timeout=1.5)


def test_user_timeout_of_an_overdue_connection(daemon: Daemon, agent: Agent, netns: Netns,
                                               listener: Listener) -> None:
    """A lost probe doesn't end a connection that had idled for longer than the user timeout."""
    require_firewall()
    sock = agent.connect("127.0.0.1", listener.port)
    time.sleep(4)
    netns.nft("table inet t {\n chain c {\n type filter hook output priority 0\n"
              f"tcp dport {PORT} drop\n }}\n }}\n")
    daemon.start(daemon_section(reconcile="1s") + rule("all", time="2s", interval="1s", probes=9,
                                                       user_timeout="3500ms"))
    time.sleep(1.5)
    assert not sock.error and sock.settings == held(2, 1, 9)
    netns.nft("flush ruleset")
    wait_for(lambda: sock.settings == held(2, 1, 9, 3500), "the user timeout")
    assert "changed to the new rules" not in daemon.log and "held again" not in daemon.log


def test_healed(daemon: Daemon, agent: Agent, listener: Listener) -> None:
    """Without the guard the next pass restores what an application has changed."""
    sock = agent.connect("127.0.0.1", listener.port)
    daemon.start(daemon_section(reconcile="1s", guard="no") + RULE)
    sock.change(keepalive=0)
    wait_for(lambda: sock.settings == VALUES, "the connection is held again")


def test_own_afterwards(daemon: Daemon, agent: Agent, listener: Listener) -> None:
    """A shorter time takes effect at once, and the next pass sets the application's other
    options."""
    daemon.start(FASTER)
    sock = agent.connect("127.0.0.1", listener.port)
    sock.change(interval=7, probes=2)
    assert sock.settings == VALUES
    sock.change(time=60)
    assert sock.settings.time == 60
    wait_for(lambda: sock.settings == held(60, 7, 2), "the rest has been set")
    sock.change(time=5000)
    wait_for(lambda: sock.settings == VALUES, "it has the rule's values again")


def test_probe(daemon: Daemon, agent: Agent, listener: Listener, holdfast: Command) -> None:
    """`holdfast probe` has every held socket probed, and puts their values back."""
    before = agent.connect("127.0.0.1", listener.port)
    daemon.start(RULE)
    socks = [before, agent.connect("127.0.0.1", listener.port)]
    result = holdfast("probe")
    assert result.status == 0 and result.out.count("answered") == 2
    assert [sock.settings for sock in socks] == [VALUES] * 2


def test_status_of_all_verdicts(daemon: Daemon, agent: Agent, listener: Listener,
                                holdfast: Command) -> None:
    """`status` shows a socket without a record, too, with the socket's own values."""
    exempt = agent.connect("127.0.0.1", listener.port, keepalive=1, time=30)
    daemon.start(rule("all", "127.0.0.1", enforce="no"))
    row = holdfast.socket(exempt.info["cookie"])
    assert (row["verdict"], row["keepalive"], row["time"]) == ("exempt", True, 30)
    assert row["processes"][0]["pid"] == agent.pid


def test_cgroup_of_the_same_name(make_daemon, make_agent, make_cgroup, cgroup: Cgroup,
                                 netns: Netns, listener: Listener) -> None:
    """When the control group is removed, one of the same name doesn't inherit its rules."""
    gone = make_cgroup("gone", cgroup)
    daemon = make_daemon(gone)
    daemon.start(FASTER)
    os.rmdir(gone.directory)
    os.mkdir(gone.directory)
    sock = make_agent(netns, gone).connect("127.0.0.1", listener.port)
    assert daemon.wait() == 1
    assert sock.settings == UNTOUCHED


def test_says_what_is_missing(level: int, daemon: Daemon, agent: Agent,
                              holdfast: Command) -> None:
    """A missing feature is named once in the log and once by `status`, unless its lack only costs
    time."""
    daemon.start(RULE)
    line = "can't set options from BPF iterators"
    if level <= 1:
        assert line not in daemon.log and not holdfast("status").err
        assert "limits" not in holdfast.status()["enforcement"]
        return
    assert daemon.log.count(line) == 1
    result = holdfast("status")
    assert result.err.count(line) == 1 and len(result.err.splitlines()) == 1
    enforcement = holdfast.status()["enforcement"]
    assert enforcement["adopts_existing"] is True and line in enforcement["limits"]


OWN = ({}, {"keepalive": 1, "time": 7000, "probes": 3}, {"interval": 17, "user_timeout": 5000})
# Under `never` only what the application left unset is filled in, so that any leftover would show.
NEVER = rule("all", time="90s", interval="20s", probes=6, override="never")
UNDER_RULE = [VALUES, VALUES, VALUES._replace(user_timeout=5000)]
UNDER_NEVER = [held(90, 20, 6), held(7000, 20, 3), held(90, 17, 6, 5000)]
OTHERS = rule("other", "192.0.2.1")


def killed(daemon: Daemon, fault: Fault, nth: int, config: str | None) -> str:
    """Kills a start, a reload (where the daemon runs) or a stop (no config) at the nth
    setsockopt(). Returns that call."""
    fault.order(nth, OPTION | KILL)
    try:
        if config is None:
            daemon.send_signal(signal.SIGTERM)
            assert daemon.wait() == 0
        elif daemon.running:
            daemon.reload(config)
            daemon.kill()
        else:
            daemon.start(config)
            daemon.kill()
    except AssertionError:
        if daemon.process:
            daemon.wait()
    fault.order(-1)
    return fault.take_notes()


def check_killed(daemon: Daemon, socks: list[Socket], given_back: bool, call: str) -> None:
    """Checks that the next start knows which values were the application's, and gives them back."""
    # Values that were given back can't be unset any more, and would count as set under `never`.
    daemon.start(RULE if given_back else NEVER)
    assert [sock.settings for sock in socks] == (UNDER_RULE if given_back else UNDER_NEVER), call
    daemon.stop()


@pytest.mark.skipif(build.SANITIZED, reason="a sanitizer wants to be preloaded first")
@pytest.mark.parametrize("what", ["start", "reload", "leave", "stop"])
def test_killed_between_options(level: int, daemon: Daemon, agent: Agent, listener: Listener,
                                workdir: str, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """Options set by a daemon that is killed halfway aren't taken for the application's wish. From
    5.15 on the kernel sets all options of a socket, and the daemon none."""
    fault = Fault(workdir, daemon.pin_dir)
    fault.set_in(monkeypatch)
    config = {"start": RULE, "reload": RULE.replace("120s", "90s").replace("4", "7"),
              "leave": OTHERS, "stop": None}[what]
    seen = set()
    for nth in steps(4 * len(OWN), 4 * len(OWN)) if level > 1 else [1]:
        socks = [agent.connect("127.0.0.1", listener.port, **own) for own in OWN]
        before = [sock.settings for sock in socks]
        if what != "start":
            daemon.start(RULE)
        call = killed(daemon, fault, nth, config)
        seen.add(call.partition(" ")[2])
        check_killed(daemon, socks, what in ("leave", "stop"), call)
        assert [sock.settings for sock in socks] == before, call
        for sock in socks:
            sock.close()
    assert len(seen) >= 3 if level > 1 else seen == {""}, seen


def test_take_over_from_one_that_can_more(daemon: Daemon, agent: Agent,
                                          listener: Listener) -> None:
    """After taking over from a more capable build, the pins are those of a first start."""
    daemon.start(RULE)
    wanted = sorted(os.listdir(daemon.layout))
    daemon.stop()
    daemon.build_dir = build.DIRECTORY
    daemon.start(RULE)
    sock = agent.connect("127.0.0.1", listener.port)
    daemon.kill()
    daemon.build_dir = None
    daemon.start(RULE)
    assert sorted(os.listdir(daemon.layout)) == wanted
    daemon.stop()
    assert sock.settings == UNTOUCHED


def test_who_opened_it(daemon: Daemon, agent: Agent, outsider: Agent, netns: Netns,
                       holdfast: Command) -> None:
    """A connection that a listener has accepted from the rule's port isn't held by a client rule,
    even where the listener has gone."""
    socks = []
    for backlog in (1024, 0):
        listening = agent.listen(0, "127.0.0.1", backlog)
        outsider.connect("127.0.0.1", listening.port, source_port=PORT)
        socks.append(listening.accept())
    gone = agent.listen(0, "127.0.0.1")
    outsider.connect("127.0.0.1", gone.port, source_port=PORT)
    socks.append(gone.accept())
    gone.close()
    outsider.listen(PORT)
    ours = agent.connect("127.0.0.1", PORT)
    outsider.listen(ours.local_port, "127.0.0.2")  # can't have accepted it
    if HAS_IPV6:
        netns.sysctl("ipv6/bindv6only", 1)
        outsider.listen(ours.local_port, "::")  # nor this one
    daemon.start(FASTER)
    for _ in range(2):
        assert [sock.settings for sock in socks] == [UNTOUCHED] * 3
        assert ours.settings == VALUES
        assert [s["cookie"] for s in holdfast.status()["sockets"]] == [ours.info["cookie"]]
        daemon.reload()
    daemon.reload(daemon_section(reconcile="1s") + rule("all", port=gone.port, side="server",
                                                       time="120s", interval="30s", probes=4))
    assert socks[2].settings == VALUES
    daemon.stop()
    assert socks[2].settings == UNTOUCHED
    assert "could not be reached" not in daemon.log
    assert "can't be held" not in daemon.log


def test_closed(daemon: Daemon, agent: Agent, listener: Listener) -> None:
    """Held sockets that aren't connected any more are given back by a reload and by the stop."""
    daemon.start(RULE)
    require_closed(daemon.layout)
    socks = [agent.connect("127.0.0.1", listener.port) for _ in range(2)]
    socks[0].disconnect()
    daemon.reload(RULE)
    assert [sock.settings for sock in socks] == [VALUES] * 2
    daemon.reload(rule("all", "192.0.2.0/24"))
    assert [sock.settings for sock in socks] == [UNTOUCHED] * 2
    daemon.reload(RULE)
    assert [sock.settings for sock in socks] == [UNTOUCHED, VALUES]
    socks[1].disconnect()
    socks[1].change(interval=71)
    daemon.stop()
    assert socks[1].settings == UNTOUCHED._replace(interval=71)
    assert "could not be reached" not in daemon.log


def test_closed_in_two_processes(daemon: Daemon, agent: Agent, listener: Listener) -> None:
    """One that two processes have open is given back once."""
    daemon.start(RULE)
    require_closed(daemon.layout)
    sock = agent.connect("127.0.0.1", listener.port)
    agent.call("fork")
    sock.disconnect()
    daemon.stop()
    assert sock.settings == UNTOUCHED
    assert "1 connection given back" in daemon.log
    assert "could not be reached" not in daemon.log
