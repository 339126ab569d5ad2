"""A start that fails, at every step that can: the old state or nothing, never half of either.

HF_EXHAUSTIVE=1 lets every call fail that a start makes; else some of them do.
"""

import os
import random

import pytest

from harness import bpf, build
from harness.cgroup import Cgroup
from harness.command import Command
from harness.compiler import compile_c
from harness.config import rule
from harness.daemon import Daemon
from harness.options import UNTOUCHED, Settings, held
from harness.sockets import Agent, Listener, Socket

pytestmark = [pytest.mark.skipif(
    build.SANITIZED, reason="a sanitizer wants to be preloaded first")]

OLD, OLD_VALUES = rule("all", time="120s", interval="30s", probes=4), held(120, 30, 4)
NEW, NEW_VALUES = rule("all", time="60s", interval="20s", probes=3), held(60, 20, 3)
EXHAUSTIVE = bool(os.environ.get("HF_EXHAUSTIVE"))
SEED = int(os.environ.get("HF_SEED") or random.randrange(1 << 32))
SAMPLES = 16


class Fault:
    """Lets the nth call of a start fail."""

    def __init__(self, daemon: Daemon, workdir: str, patch: pytest.MonkeyPatch) -> None:
        self.daemon = daemon
        self._patch = patch
        self._log = os.path.join(workdir, "faults")
        self._library = compile_c("fault", workdir)

    def start(self, config: str, nth: int) -> tuple[str, int | None, list[str]]:
        """A start: which call has failed (none: ''), the exit status (None: it runs), the log."""
        logged, noted = len(self.daemon.log), len(self._notes())
        with self._patch.context() as patch:
            for name, value in (("LD_PRELOAD", self._library), ("HF_FAULT_NTH", str(nth)),
                                ("HF_FAULT_LOG", self._log),
                                ("HF_FAULT_PATH", self.daemon.pin_dir)):
                patch.setenv(name, value)
            try:
                self.daemon.start(config)
                status = None
            except AssertionError:
                if self.daemon.running:
                    raise
                status = self.daemon.wait()
        lines = self.daemon.log[logged:].splitlines()
        return self._notes()[noted:].strip(), status, lines

    def _notes(self) -> str:
        if not os.path.exists(self._log):
            return ""
        with open(self._log, encoding="ascii") as file:
            return file.read()


@pytest.fixture
def fault(daemon: Daemon, workdir: str, monkeypatch: pytest.MonkeyPatch) -> Fault:
    """On the daemon."""
    return Fault(daemon, workdir, monkeypatch)


def steps(calls: int) -> list[int]:
    """Which calls are to fail, of so many."""
    print(f"HF_SEED={SEED}, {calls} calls in a start")
    if EXHAUSTIVE:
        return list(range(1, calls + 1))
    return sorted(random.Random(SEED).sample(range(1, calls + 1), min(SAMPLES, calls)))


def attached(daemon: Daemon, cgroup: Cgroup) -> bool:
    """Whether we are: pins and both programs, or nothing at all."""
    pins = os.path.exists(daemon.pin_dir) and os.listdir(daemon.pin_dir)
    programs = [bool(bpf.attached(cgroup.directory, kind))
                for kind in (bpf.SOCK_OPS, bpf.SETSOCKOPT)]
    assert programs == [bool(pins)] * 2, f"programs {programs}, but pins {pins}"
    return bool(pins)


class Trial:
    """One start with a fault, and what it has left; `wrong` gathers what must not be."""

    def __init__(self, fault: Fault, agent: Agent, listener: Listener, nth: int) -> None:
        self.call, self.status, self.lines = fault.start(NEW, nth)
        self.started = self.status is None
        self.new = agent.connect("127.0.0.1", listener.port)

    def check(self, sock: Socket, wanted: Settings) -> None:
        """The connection from before and the new one have these, and a failure was told well."""
        seen = sock.settings, self.new.settings
        if self.started:  # one call that it can do without
            assert seen[1] == wanted, seen
            assert seen[0] == wanted or "incomplete" in "".join(self.lines), seen
            return
        assert seen == (wanted, wanted), seen
        assert self.status and self.status > 0
        said = [line for line in self.lines if "can't start: " in line]
        assert len(said) == 1 and len(said[0]) > 30, "not one sentence"


def test_first_start(fault: Fault, daemon: Daemon, agent: Agent, cgroup: Cgroup,
                     listener: Listener, holdfast: Command) -> None:
    """Afterwards nothing is there, and no socket has been touched."""
    sock = agent.connect("127.0.0.1", listener.port)
    calls = fault.start(NEW, 0)[0].count("\n") + 1
    daemon.stop()
    n_started, tried, wrong = 0, steps(calls), []
    for nth in tried:
        trial = Trial(fault, agent, listener, nth)
        try:
            trial.check(sock, NEW_VALUES if trial.started else UNTOUCHED)
            if trial.started:
                n_started += 1
                daemon.stop()
            assert not attached(daemon, cgroup)
            assert sock.settings == trial.new.settings == UNTOUCHED
        except AssertionError as error:
            wrong.append((trial.call, trial.lines, str(error).splitlines()[0]))
            if daemon.running:
                daemon.kill()
            holdfast("release")
        trial.new.close()
    print(f"{len(tried)} faults: {n_started} started all the same")
    assert not wrong, "\n".join(map(str, wrong))
    assert n_started < len(tried), "not one of these faults was met"


def test_take_over(fault: Fault, daemon: Daemon, agent: Agent, cgroup: Cgroup,
                   listener: Listener, holdfast: Command) -> None:
    """Afterwards the old rules are in force, on old connections and new ones, or all is undone."""
    sock = agent.connect("127.0.0.1", listener.port)
    daemon.start(OLD)
    daemon.kill()
    calls = fault.start(OLD, 0)[0].count("\n") + 1
    daemon.kill()
    outcomes, wrong = {"started": 0, "old": 0, "nothing": 0}, []
    for nth in steps(calls):
        trial = Trial(fault, agent, listener, nth)
        outcome = "started"
        try:
            if trial.started:
                trial.check(sock, NEW_VALUES)
            elif attached(daemon, cgroup):
                outcome = "old"
                trial.check(sock, OLD_VALUES)
                trial.new.change(keepalive=0)
                assert trial.new.settings == OLD_VALUES, "the guard has gone"
                assert [r["time"] for r in holdfast.status()["rules"]] == [120]
            else:
                outcome = "nothing"
                trial.check(sock, UNTOUCHED)
        except AssertionError as error:
            wrong.append((trial.call, trial.lines, str(error).splitlines()[0]))
            outcome = "wrong"
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
        trial.new.close()
        if daemon.running:
            daemon.kill()
        if outcome != "old":
            daemon.start(OLD)
            daemon.kill()
            assert sock.settings == OLD_VALUES
    print(outcomes)
    assert not wrong, "\n".join(map(str, wrong))
    assert outcomes["old"]
    daemon.start(NEW)
    assert sock.settings == NEW_VALUES
