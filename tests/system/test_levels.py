"""What holdfastd does on kernels that can't do all that it would like, on any kernel.

A build whose first try leaves out what they lack: level 0 is one that refuses iterators over maps,
level 1 a kernel before 6.2, level 2 one before 5.15, level 3 one before 5.11. The whole suite runs
on such kernels in the virtual machines; here is what differs.
"""

import os
import signal

import pytest

from harness import build, compiler, sockdiag
from harness.cgroup import Cgroup
from harness.command import Command
from harness.config import PORT, daemon as daemon_section, rule
from harness.counters import read as counters
from harness.daemon import Daemon
from harness.fault import KILL, OPTION, Fault, steps
from harness.kernel import needs
from harness.netns import Netns
from harness.options import UNTOUCHED, held
from harness.sockets import Agent, Listener, Socket
from harness.wait import wait_for

VALUES = held(120, 30, 4)
RULE = rule("all", time="120s", interval="30s", probes=4)
FASTER = daemon_section(reconcile="1s") + RULE

pytestmark = needs("5.15", "to choose between what older kernels can do")


@pytest.fixture(scope="module", params=compiler.LEVELS, autouse=True)
def level(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> int:
    """Has the tests of this file use a holdfastd of each level."""
    made = compiler.variant(f"level{request.param}", build.DIRECTORY,
                            str(tmp_path_factory.mktemp("level")))
    before, build.HOLDFASTD = build.HOLDFASTD, os.path.join(made, "holdfastd")
    request.addfinalizer(lambda: setattr(build, "HOLDFASTD", before))
    return int(request.param)


def test_life_of_a_connection(daemon: Daemon, agent: Agent, listener: Listener,
                              holdfast: Command) -> None:
    """Held when the daemon starts, changed by a reload, left by the next, given back at the end."""
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


def test_own_from_before(daemon: Daemon, agent: Agent, listener: Listener,
                         holdfast: Command) -> None:
    """An application whose own keepalive fires sooner keeps it."""
    sock = agent.connect("127.0.0.1", listener.port, keepalive=1, time=60, interval=7)
    daemon.start(RULE)
    assert sock.settings == held(60, 7, 9)
    assert holdfast.socket(sock.info["cookie"])["verdict"] == "own"


def test_overdue_connection_is_probed_at_once(daemon: Daemon, agent: Agent, netns: Netns,
                                              listener: Listener) -> None:
    """The order of the options is the sweep's: what has idled counts."""
    sock = agent.connect("127.0.0.1", listener.port)
    cookie = sock.info["cookie"]

    def idle() -> float:
        found = sockdiag.find(netns, cookie)
        assert found
        return found.idle

    wait_for(lambda: idle() > 2.5, "the connection has idled", timeout=10)
    daemon.start(rule("all", time="2s", interval="2s", probes=4, window="60s"))
    wait_for(lambda: idle() < 1.5, "it has been probed", timeout=1.5)


def test_healed(daemon: Daemon, agent: Agent, listener: Listener) -> None:
    """What an application undid, where no guard keeps it from that, is put back by the next pass."""
    sock = agent.connect("127.0.0.1", listener.port)
    daemon.start(daemon_section(reconcile="1s", guard="no") + RULE)
    sock.change(keepalive=0)
    wait_for(lambda: sock.settings == VALUES, "the connection is held again")


def test_own_afterwards(daemon: Daemon, agent: Agent, listener: Listener) -> None:
    """The guard lets a shorter time pass; the next pass sets what else the application asked for."""
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
    """The command has every held socket probed, and puts their time back."""
    before = agent.connect("127.0.0.1", listener.port)
    daemon.start(RULE)
    socks = [before, agent.connect("127.0.0.1", listener.port)]
    result = holdfast("probe")
    assert result.status == 0 and result.out.count("answered") == 2
    assert [sock.settings for sock in socks] == [VALUES] * 2


def test_status_of_all_verdicts(daemon: Daemon, agent: Agent, listener: Listener,
                                holdfast: Command) -> None:
    """Also of sockets that have no record: all is read from the socket itself."""
    exempt = agent.connect("127.0.0.1", listener.port, keepalive=1, time=30)
    daemon.start(rule("all", "127.0.0.1", enforce="no"))
    row = holdfast.socket(exempt.info["cookie"])
    assert (row["verdict"], row["keepalive"], row["time"]) == ("exempt", True, 30)
    assert row["processes"][0]["pid"] == agent.pid


def test_cgroup_of_the_same_name(make_daemon, make_agent, make_cgroup, cgroup: Cgroup,
                                 netns: Netns, listener: Listener) -> None:
    """Whose control group has been removed holds nothing in the next one of that name."""
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
    """One line, in the log and from `status`; not of what is slower and no more."""
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
# What the application left unset is filled in, and no more: as if nothing had happened.
NEVER = rule("all", time="90s", interval="20s", probes=6, override="never")
UNDER_RULE = [VALUES, VALUES, VALUES._replace(user_timeout=5000)]
UNDER_NEVER = [held(90, 20, 6), held(7000, 20, 3), held(90, 17, 6, 5000)]
OTHERS = rule("other", "192.0.2.1")


def killed(daemon: Daemon, fault: Fault, nth: int, config: str | None) -> str:
    """A start, a reload where it runs already, or a stop, that is killed in front of the nth
    option that is set: where that was."""
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
    """Whatever was done in part, is known for what it is."""
    # What has been given back can't be unset any more: under `never` it would count.
    daemon.start(RULE if given_back else NEVER)
    assert [sock.settings for sock in socks] == (UNDER_RULE if given_back else UNDER_NEVER), call
    daemon.stop()


@pytest.mark.skipif(build.SANITIZED, reason="a sanitizer wants to be preloaded first")
@pytest.mark.parametrize("what", ["start", "reload", "leave", "stop"])
def test_killed_between_options(level: int, daemon: Daemon, agent: Agent, listener: Listener,
                                workdir: str, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """What it had set by then isn't taken for the application's wish: that is given back. From 5.15
    on the kernel sets all of a socket's at once, and the daemon none."""
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


def test_who_opened_it(daemon: Daemon, agent: Agent, outsider: Agent, holdfast: Command) -> None:
    """What a listener accepted from the rule's port is none of ours, also when that has gone."""
    socks = []
    for backlog in (1024, 0):
        listening = agent.listen(0, "127.0.0.1", backlog)
        outsider.connect("127.0.0.1", listening.port, source_port=PORT)
        socks.append(listening.accept())
    gone = agent.listen(0, "127.0.0.1")
    outsider.connect("127.0.0.1", gone.port, source_port=PORT)
    socks.append(gone.accept())
    gone.close()
    daemon.start(FASTER)
    for _ in range(2):
        assert [sock.settings for sock in socks] == [UNTOUCHED] * 3
        assert holdfast.status()["sockets"] == []
        daemon.reload()
    daemon.reload(daemon_section(reconcile="1s") + rule("all", port=gone.port, side="server",
                                                       time="120s", interval="30s", probes=4))
    assert socks[2].settings == VALUES
    daemon.stop()
    assert socks[2].settings == UNTOUCHED
    assert "could not be reached" not in daemon.log
    assert "can't be held" not in daemon.log
