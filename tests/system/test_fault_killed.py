"""SIGKILL between any two calls into the kernel: every connection has the old state or the new one,
`status` can read what is left, and the next start or `release` cleans up.

With HF_EXHAUSTIVE=1 the daemon is killed at each call; else at a sample of them.
"""

import os

import pytest

from harness import bpf, build
from harness.cgroup import Cgroup
from harness.command import Command
from harness.config import rule
from harness.daemon import Daemon
from harness.fault import HANGUP, KERNEL, KILL, Fault, steps
from harness.options import UNTOUCHED, Settings, held
from harness.sockets import Agent, Listener, Socket
from harness.wait import wait_for

pytestmark = [pytest.mark.skipif(
    build.SANITIZED, reason="a sanitizer wants to be preloaded first")]

A, A_VALUES = rule("all", time="120s", interval="30s", probes=4), held(120, 30, 4)
B, B_VALUES = rule("all", time="60s", interval="20s", probes=3), held(60, 20, 3)
SAMPLES = 10


@pytest.fixture
def fault(daemon: Daemon, workdir: str, monkeypatch: pytest.MonkeyPatch) -> Fault:
    """A fault in all programs that are started from now on."""
    made = Fault(workdir, daemon.pin_dir)
    made.set_in(monkeypatch)
    return made


class Ground:
    """A connection from before the daemon, and the checks that must hold at any moment."""

    def __init__(self, daemon: Daemon, agent: Agent, listener: Listener, cgroup: Cgroup,
                 holdfast: Command, fault: Fault) -> None:
        self.daemon, self.holdfast, self.fault = daemon, holdfast, fault
        self._agent, self._port, self._cgroup = agent, listener.port, cgroup
        self.sock = self.connect()
        self.wrong: list[str] = []
        self.seen: set[tuple[str, int]] = set()

    def connect(self) -> Socket:
        """Opens a new connection."""
        return self._agent.connect("127.0.0.1", self._port)

    @property
    def attached(self) -> bool:
        """Whether new connections are held."""
        return bool(bpf.attached(self._cgroup.directory, bpf.SOCK_OPS))

    def killed(self) -> str:
        """Waits for the end. Returns the call that the daemon was killed at, or '' where it has
        ended by itself."""
        status = self.daemon.wait()
        call = self.fault.take_notes()
        self.fault.order(-1)
        assert status == -9 or not call, (status, call, self.daemon.log)
        self.seen |= bpf.pinned(self.daemon.pin_dir)
        return call

    def start_killed(self, nth: int) -> str:
        """Starts the daemon so that it is killed at the nth call. Returns that call, or '' where
        there were fewer."""
        self.fault.order(nth, KERNEL | KILL)
        try:
            self.daemon.start()
        except AssertionError:
            return self.killed()
        self.fault.order(-1)  # one start may make fewer calls than the next
        self.daemon.kill()
        return ""

    def claim(self, call: str, holds: bool, what: str) -> None:
        """Notes what is wrong, so that one run shows all of it."""
        if not holds:
            self.wrong.append(f"{call}: {what}")

    def look(self, call: str, *values: Settings) -> None:
        """Checks that old and new connection have one of these settings, and that `status`
        works."""
        new = self.connect()
        for name, sock in (("old", self.sock), ("new", new)):
            settings = sock.settings
            self.claim(call, settings in values, f"the {name} one has {settings}")
        result = self.holdfast("status")
        wanted = (0, 1) if new.settings != UNTOUCHED else (3,)
        self.claim(call, result.status in wanted, f"status: {result}")
        new.close()

    def settled(self, call: str, values: Settings) -> None:
        """Checks that old and new connection have exactly these settings."""
        new = self.connect()
        seen = self.sock.settings, new.settings
        self.claim(call, seen == (values, values), f"afterwards {seen}")
        new.close()

    def gone(self, call: str) -> None:
        """Checks that no pin and no program is left, and that no connection is held."""
        there = os.path.exists(self.daemon.pin_dir)
        self.claim(call, not there, f"{there and os.listdir(self.daemon.pin_dir)} stays")
        for kind in (bpf.SOCK_OPS, bpf.SETSOCKOPT):
            self.claim(call, not bpf.attached(self._cgroup.directory, kind), f"{kind} stays")
        self.settled(call, UNTOUCHED)

    def end(self) -> None:
        """AssertionError with all that was wrong; also waits until the kernel has freed all
        objects."""
        assert not self.wrong, "\n".join(self.wrong)
        wait_for(lambda: not any(bpf.exists(*one) for one in self.seen),
                 "no map, program or link is left", 20, 0.2)


@pytest.fixture
def ground(daemon: Daemon, agent: Agent, listener: Listener, cgroup: Cgroup, holdfast: Command,
           fault: Fault) -> Ground:
    """The connection and the checks, before any daemon runs."""
    return Ground(daemon, agent, listener, cgroup, holdfast, fault)


def clean_up(ground: Ground, call: str, nth: int) -> None:
    """Cleans up by a start and a stop for odd nth, by `release` for even."""
    if nth % 2:
        ground.daemon.start(A)
        ground.settled(call, A_VALUES)
        ground.daemon.stop()
    else:
        result = ground.holdfast("release")
        ground.claim(call, result.status in (0, 3), f"release: {result}")
    ground.gone(call)


def test_first_start(ground: Ground, fault: Fault, daemon: Daemon) -> None:
    """A first start that is killed leaves each connection held or untouched."""
    calls = fault.calls_of(lambda: daemon.start(A))
    daemon.stop()
    for nth in steps(calls, SAMPLES):
        call = ground.start_killed(nth)
        ground.look(call, UNTOUCHED, A_VALUES)
        if not ground.attached:
            ground.settled(call, UNTOUCHED)
        clean_up(ground, call, nth)
    ground.end()


def test_take_over(ground: Ground, fault: Fault, daemon: Daemon) -> None:
    """A take-over that is killed leaves each connection held, by the old rules or the new ones."""
    daemon.start(A)
    daemon.kill()
    calls = fault.calls_of(lambda: daemon.start(A))
    daemon.kill()
    for nth in steps(calls, SAMPLES):
        daemon.configure(B)
        call = ground.start_killed(nth)
        ground.look(call, A_VALUES, B_VALUES)
        ground.sock.change(keepalive=0)
        ground.look(call, A_VALUES, B_VALUES)  # the guard works, too
        daemon.start(B)
        ground.settled(call, B_VALUES)
        daemon.reload(A)
        ground.settled(call, A_VALUES)
        daemon.kill()
    daemon.start(A)
    daemon.stop()
    ground.end()


def test_reload(ground: Ground, fault: Fault, daemon: Daemon) -> None:
    """A reload that is killed leaves the old or the new rules, and the guard that they need."""
    quiet = A + "[daemon]\nguard = no\n"
    daemon.start(quiet)
    calls = fault.calls_of(lambda: daemon.reload(B))
    daemon.reload(quiet)
    for nth in steps(calls, SAMPLES):
        fault.order(nth, KERNEL | KILL)
        try:
            daemon.reload(B)
            fault.order(-1)
            daemon.kill()
            call = ""
        except AssertionError:
            call = ground.killed()
        ground.look(call, A_VALUES, B_VALUES)
        daemon.start(B)
        ground.settled(call, B_VALUES)
        daemon.configure(quiet)
        assert ground.holdfast("reload").status == 0, call
        ground.settled(call, A_VALUES)
    daemon.stop()
    ground.end()


def test_stop(ground: Ground, fault: Fault, daemon: Daemon) -> None:
    """A stop that is killed leaves each connection held or given back, and can be completed."""
    daemon.start(A)
    calls = fault.calls_of(daemon.stop)
    for nth in steps(calls, SAMPLES):
        daemon.start(A)
        fault.order(nth, KERNEL | KILL)
        daemon.send_signal(15)
        call = ground.killed()
        ground.look(call, UNTOUCHED, A_VALUES)
        clean_up(ground, call, nth)
    ground.end()


def test_release(ground: Ground, fault: Fault, daemon: Daemon) -> None:
    """A `release` that is killed leaves each connection held or given back, and can be
    completed."""
    daemon.start(A)
    daemon.kill()
    calls = fault.calls_of(lambda: ground.holdfast("release"))
    for nth in steps(calls, SAMPLES):
        daemon.start(A)
        daemon.kill()
        fault.order(nth, KERNEL | KILL)
        result = ground.holdfast("release")
        call = fault.take_notes()
        fault.order(-1)
        assert result.status == -9 or not call, result
        ground.look(call, UNTOUCHED, A_VALUES)
        clean_up(ground, call, nth)
    ground.end()


def test_release_hung_up(ground: Ground, fault: Fault, daemon: Daemon) -> None:
    """A `release` that gets SIGHUP either hasn't begun or completes."""
    daemon.start(A)
    daemon.kill()
    calls = fault.calls_of(lambda: ground.holdfast("release"))
    ended = 0
    for nth in steps(calls, SAMPLES):
        daemon.start(A)
        daemon.kill()
        fault.order(nth, KERNEL | HANGUP)
        result = ground.holdfast("release")
        call = fault.take_notes()
        fault.order(-1)
        assert result.status in (0, -1), result
        if result.status:
            ground.settled(call, A_VALUES)
            ground.claim(call, ground.attached, "detached half-way")
            assert ground.holdfast("release").status == 0
        ended += not result.status
        ground.gone(call)
    assert ended, "none of them has begun to release anything"
    ground.end()
