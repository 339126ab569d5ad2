"""`holdfast status --daemon`: whether the daemon has taken over and does its work."""

import glob
import os
import re
import resource
import signal
from typing import Callable

import pytest

from harness import build, stats
from harness.command import Command
from harness.config import PORT, daemon as daemon_section, rule
from harness.daemon import Daemon
from harness.fault import KERNEL, STOP, Fault, steps
from harness.netns import Netns
from harness.options import UNTOUCHED
from harness.process import spawn, state, stop
from harness.sockets import Agent, Listener
from harness.wait import wait_for

RULE = daemon_section(reconcile="1s") + rule("all", time="120s")
PASS = "reconcile: "  # logged with --verbose at the end of a pass
NOT_WELL, USAGE, NOTHING_ATTACHED = 1, 2, 3


def test_ready(daemon: Daemon, holdfast: Command) -> None:
    """For a daemon that works there is one line, and the exit status is 0."""
    assert holdfast("status", "--daemon").status == NOTHING_ATTACHED
    daemon.start(RULE)
    result = holdfast("status", "-d")
    assert (result.status, result.err) == (0, "")
    assert f"process {daemon.pid}, does its work" in result.out
    assert len(result.out.splitlines()) == 1


def test_exposed(daemon: Daemon, agent: Agent, listener: Listener, holdfast: Command) -> None:
    """An exposed connection doesn't count against the daemon."""
    agent.connect("127.0.0.1", listener.port)
    daemon.start(rule("all", override="never", window="350s", time="120s"))
    sock = agent.connect("127.0.0.1", listener.port, keepalive=1, time=5000)
    assert holdfast.socket(sock.info["cookie"])["verdict"] == "exposed"
    assert holdfast("status").status == NOT_WELL
    assert holdfast("status", "--daemon").status == 0


def test_gone(daemon: Daemon, holdfast: Command) -> None:
    """With all attached and no daemon, the exit status is 1."""
    daemon.start(RULE)
    daemon.kill()
    result = holdfast("status", "--daemon")
    assert (result.status, result.out) == (NOT_WELL, "")
    assert "the daemon is gone" in result.err


def test_not_yet(daemon: Daemon, holdfast: Command) -> None:
    """A daemon that has begun isn't ready, although an earlier one's pins are there."""
    daemon.start(RULE)
    daemon.kill()
    # Locks the pin dir, and goes no further.
    process = spawn(["flock", "--no-fork", daemon.pin_dir, "sleep", "60"])
    try:
        wait_for(lambda: holdfast("status").err == "", "it has the pin dir")
        result = holdfast("status", "--daemon")
        assert (result.status, result.out) == (NOT_WELL, "")
        assert f"process {process.pid}, has begun, and isn't ready yet" in result.err
    finally:
        stop(process)
    daemon.start()
    assert holdfast("status", "--daemon").status == 0


def test_before_its_first_pass(daemon: Daemon, holdfast: Command, workdir: str,
                               monkeypatch: pytest.MonkeyPatch) -> None:
    """A start that takes over isn't ready before its first pass has ended, wherever it is."""
    if build.SANITIZED:
        pytest.skip("a sanitizer wants to be preloaded first")
    fault = Fault(workdir, daemon.pin_dir)
    daemon.start(RULE)
    daemon.kill()
    fault.set_in(monkeypatch)
    calls = fault.calls_of(daemon.start)
    seen = []
    for nth in steps(calls, 20):
        daemon.kill()
        passes = daemon.log.count(PASS)
        fault.order(nth, KERNEL | STOP)
        daemon.launch("--verbose")
        wait_for(lambda: state(daemon.pid) == "T", "it has come there")
        status = holdfast("status", "--daemon").status
        seen.append(status)
        assert status == NOT_WELL or daemon.log.count(PASS) > passes
        daemon.send_signal(signal.SIGCONT)
        daemon.wait_ready()
        fault.order(-1)
        assert holdfast("status", "--daemon").status == 0
    assert NOT_WELL in seen


def test_hangs(daemon: Daemon, holdfast: Command) -> None:
    """A daemon without a pass for three periods and half a minute hangs."""
    daemon.start(rule("all"))  # with a pass every minute
    stats.age(daemon.pin_dir, 200)
    assert holdfast("status", "--daemon").status == 0
    stats.age(daemon.pin_dir, 20)
    result = holdfast("status", "--daemon")
    assert (result.status, result.out) == (NOT_WELL, "")
    assert f"process {daemon.pid}, hangs" in result.err and "every 60 s" in result.err
    daemon.reload()
    daemon.kill()
    daemon.start()
    assert holdfast("status", "--daemon").status == 0


def looked_ago(holdfast: Command) -> int:
    """Returns how many seconds ago all sockets were looked at, as `status --daemon` says."""
    result = holdfast("status", "--daemon")
    found = re.search(r"looked at all sockets (\d+) s ago", result.out)
    assert result.status == 0 and found, result
    return int(found[1])


def test_every_pass_fails(daemon: Daemon, holdfast: Command) -> None:
    """Passes that fail, since the daemon can open nothing, don't count as a look at all sockets."""
    daemon.start(RULE)
    soft, hard = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (3, hard))
    wait_for(lambda: daemon.log.count("incomplete: finding network namespaces") >= 4,
             "several passes have failed", timeout=30)
    assert looked_ago(holdfast) >= 3
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (soft, hard))
    wait_for(lambda: looked_ago(holdfast) <= 1, "a pass has succeeded")


def test_first_pass_fails(daemon: Daemon, holdfast: Command, agent: Agent, listener: Listener,
                          workdir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A start whose first pass finds no namespaces is ready for new connections, and says that it
    hasn't looked at those from before. `status --daemon` waits for a pass that does."""
    if build.SANITIZED:
        pytest.skip("a sanitizer wants to be preloaded first")
    fault = Fault(workdir, daemon.pin_dir)
    fault.set_in(monkeypatch)
    sock = agent.connect("127.0.0.1", listener.port)
    daemon.configure(rule("all", time="120s"))  # with a pass every minute
    # That map is made when all is attached, before the first pass.
    fault.step(daemon, lambda: glob.glob(f"{daemon.pin_dir}/layout-*/hf_daemon"))
    limits = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (3, limits[1]))
    daemon.send_signal(signal.SIGCONT)
    wait_for(lambda: "ready: " in daemon.log, "it is ready")
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, limits)
    assert "reconcile is incomplete: finding network namespaces" in daemon.log
    assert "in force; connections that were open before are not held yet" in daemon.log
    assert sock.settings == UNTOUCHED
    assert agent.connect("127.0.0.1", listener.port).settings.time == 120
    result = holdfast("status", "--daemon")
    assert result.status == NOT_WELL and "isn't ready yet" in result.err
    daemon.reload()
    assert sock.settings.time == 120
    assert holdfast("status", "--daemon").status == 0


def first_entry(daemon: Daemon, fault: Fault) -> int:
    """Reloads, and returns which of the calls first entered a namespace."""
    fault.order(0)
    daemon.reload()
    notes = [note.split() for note in fault.take_notes().splitlines()]
    return next(int(nth) for nth, what, _ in notes if what == "setns")


def test_no_memory_for_a_namespace(daemon: Daemon, workdir: str, agent: Agent,
                                   monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass that lacked the memory to look at a namespace doesn't count as one."""
    if build.SANITIZED:
        pytest.skip("a sanitizer wants to be preloaded first")
    fault = Fault(workdir, daemon.pin_dir)
    fault.set_in(monkeypatch)
    agent.listen(PORT)
    daemon.start(rule("all", time="120s"))
    for _ in range(5):  # other processes of the host may change the number of calls
        entry = first_entry(daemon, fault)
        before = stats.passed_ms(daemon.pin_dir)
        fault.order(entry)
        daemon.reload()
        fault.order(-1)
        if "can't enter network namespace" in daemon.log:
            break
    assert "incomplete: can't enter network namespace" in daemon.log
    assert stats.passed_ms(daemon.pin_dir) == before
    daemon.reload()
    assert stats.passed_ms(daemon.pin_dir) > before


def test_namespace_gone(daemon: Daemon, make_netns: Callable[[], Netns],
                        make_agent: Callable[..., Agent], workdir: str,
                        monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass that has looked at all but a namespace that vanished counts as one."""
    if build.SANITIZED:
        pytest.skip("a sanitizer wants to be preloaded first")
    fault = Fault(workdir, daemon.pin_dir)
    fault.set_in(monkeypatch)
    netnses = make_netns(), make_netns()
    make_agent(netnses[0], None)
    daemon.start(rule("all", time="120s"))
    # The daemon keeps no descriptor of most namespaces, and finds one gone when it gets there.
    files = len(os.listdir(f"/proc/{daemon.pid}/fd"))
    limit = files + 24  # 8 fewer than it leaves free: it may have had some open for a moment
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (limit, limit))
    for _ in range(5):  # other processes of the host may change the number of calls
        last = make_agent(netnses[1], None)
        daemon.reload()  # a namespace that is new takes calls of its own
        entry = first_entry(daemon, fault)
        before = stats.passed_ms(daemon.pin_dir)
        fault.order(entry, KERNEL | STOP)
        daemon.send_signal(signal.SIGHUP)
        wait_for(lambda: state(daemon.pid) == "T", "it is about to enter a namespace")
        last.close()
        netnses[1].close()
        fault.order(-1)
        daemon.send_signal(signal.SIGCONT)
        daemon.wait_ready()
        if "has gone, or its last known process has" in daemon.log:
            break
        netnses = netnses[0], make_netns()
    assert "incomplete: network namespace" in daemon.log
    assert stats.passed_ms(daemon.pin_dir) > before

@pytest.mark.parametrize("more", [["-J"], ["-n"], ["-r"], ["-o", "RULE"], ["held"]])
def test_alone(daemon: Daemon, holdfast: Command, more: list[str]) -> None:
    """--daemon can't be combined with output options or filters."""
    daemon.start(RULE)
    result = holdfast("status", "--daemon", *more)
    assert (result.status, result.out) == (USAGE, "")
