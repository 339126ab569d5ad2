"""A start that fails, at every step that can: the old state or nothing, never half of either.

HF_EXHAUSTIVE=1 lets every call fail that a start makes; else some of them do.
"""

import os

import pytest

from harness import bpf, build
from harness.cgroup import Cgroup
from harness.command import Command
from harness.config import rule
from harness.daemon import Daemon
from harness.fault import KERNEL, MEMORY, Fault, steps
from harness.options import UNTOUCHED, Settings, held
from harness.sockets import Agent, Listener, Socket

pytestmark = [pytest.mark.skipif(
    build.SANITIZED, reason="a sanitizer wants to be preloaded first")]

OLD, OLD_VALUES = rule("all", time="120s", interval="30s", probes=4), held(120, 30, 4)
NEW, NEW_VALUES = rule("all", time="60s", interval="20s", probes=3), held(60, 20, 3)
SAMPLES = 12


class Start:
    """Lets the nth call of a start fail."""

    def __init__(self, daemon: Daemon, fault: Fault, kinds: int,
                 patch: pytest.MonkeyPatch) -> None:
        self.daemon = daemon
        self._fault = fault
        self._kinds = kinds
        self._patch = patch
        self.calls = 0  # of the last one

    def __call__(self, config: str, nth: int) -> tuple[str, int | None, list[str]]:
        """A start: which call has failed (none: ''), the exit status (None: it runs), the log."""
        logged = len(self.daemon.log)
        self._fault.order(nth, self._kinds)
        with self._patch.context() as patch:
            self._fault.set_in(patch)
            try:
                self.daemon.start(config)
                status = None
            except AssertionError:
                if self.daemon.running:
                    raise
                status = self.daemon.wait()
        lines = self.daemon.log[logged:].splitlines()
        self.calls = self._fault.count
        self._fault.order(-1)  # where this one made fewer than the one that was counted
        return self._fault.take_notes(), status, lines

    def count(self, config: str) -> int:
        """How many calls a start makes that none of them fails in; the daemon runs then."""
        assert self(config, 0)[1] is None
        return self.calls


@pytest.fixture(params=[pytest.param(KERNEL, id="kernel"), pytest.param(MEMORY, id="memory")])
def start(daemon: Daemon, workdir: str, monkeypatch: pytest.MonkeyPatch,
          request: pytest.FixtureRequest) -> Start:
    """On the daemon."""
    return Start(daemon, Fault(workdir, daemon.pin_dir), request.param, monkeypatch)


def attached(daemon: Daemon, cgroup: Cgroup) -> bool:
    """Whether we are: pins and both programs, or nothing at all."""
    pins = os.path.exists(daemon.pin_dir) and os.listdir(daemon.pin_dir)
    programs = [bool(bpf.attached(cgroup.directory, kind))
                for kind in (bpf.SOCK_OPS, bpf.SETSOCKOPT)]
    assert programs == [bool(pins)] * 2, f"programs {programs}, but pins {pins}"
    return bool(pins)


class Trial:
    """One start with a fault, and what it has left; `wrong` gathers what must not be."""

    def __init__(self, start: Start, agent: Agent, listener: Listener, nth: int) -> None:
        self.call, self.status, self.lines = start(NEW, nth)
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
        assert len(said) == 1 and len(said[0]) > 20, "not one sentence"


def test_first_start(start: Start, daemon: Daemon, agent: Agent, cgroup: Cgroup,
                     listener: Listener, holdfast: Command) -> None:
    """Afterwards nothing is there, and no socket has been touched."""
    sock = agent.connect("127.0.0.1", listener.port)
    calls = start.count(NEW)
    daemon.stop()
    n_started, tried, wrong = 0, steps(calls, SAMPLES), []
    for nth in tried:
        trial = Trial(start, agent, listener, nth)
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


def test_take_over(start: Start, daemon: Daemon, agent: Agent, cgroup: Cgroup,
                   listener: Listener, holdfast: Command) -> None:
    """Afterwards the old rules are in force, on old connections and new ones, or all is undone."""
    sock = agent.connect("127.0.0.1", listener.port)
    daemon.start(OLD)
    daemon.kill()
    calls = start.count(OLD)
    daemon.kill()
    outcomes, wrong = {"started": 0, "old": 0, "nothing": 0}, []
    for nth in steps(calls, SAMPLES):
        trial = Trial(start, agent, listener, nth)
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
