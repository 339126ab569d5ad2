"""A start that fails, at every step that can: the old state or nothing, never half of either.

HF_EXHAUSTIVE=1 lets every call fail that a start makes; else some of them do.
"""

import os
from typing import Any, Callable, Sequence

import pytest

from harness import bpf, build
from harness.cgroup import Cgroup
from harness.command import Command
from harness.config import rule
from harness.daemon import Daemon
from harness.fault import KERNEL, MEMORY, Fault, steps, steps_of
from harness.netns import Netns
from harness.options import UNTOUCHED, Settings, held
from harness.sockets import Agent, Listener, Socket

pytestmark = [pytest.mark.skipif(
    build.SANITIZED, reason="a sanitizer wants to be preloaded first")]

OLD, OLD_VALUES = rule("all", time="120s", interval="30s", probes=4), held(120, 30, 4)
NEW, NEW_VALUES = rule("all", time="60s", interval="20s", probes=3), held(60, 20, 3)
SAMPLES = 12
LATE = 8  # besides these


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


def found(daemon: Daemon, groups: Sequence[Cgroup], holdfast: Command) -> dict[str, Any]:
    """All that there is of a daemon that has gone: the very same objects, not their like."""
    info = bpf.get(os.path.join(daemon.layout, "hf_info"))
    status = holdfast.status()
    try:
        return {
            "pins": sorted(os.listdir(daemon.layout)), "folders": os.listdir(daemon.pin_dir),
            "objects": bpf.pinned(daemon.pin_dir),
            "hooks": [bpf.attached(group.directory, kind) for group in groups
                      for kind in (bpf.SOCK_OPS, bpf.SETSOCKOPT)],
            "info": bpf.lookup(info, bytes(4), bpf.value_size(info)),
            "enforcement": status["enforcement"],
            "rules": [{**row, "sockets": None} for row in status["rules"]]}
    finally:
        os.close(info)


class TakeOver:
    """Starts that take over, one after the other, each with a fault."""

    def __init__(self, start: Start, agent: Agent, listener: Listener, holdfast: Command,
                 places: Sequence[Cgroup]) -> None:
        """`places`: the control groups that the daemons before and after are told."""
        self._start, self._agent, self._listener = start, agent, listener
        self._daemon, self._holdfast, self._places = start.daemon, holdfast, places
        self._sock = agent.connect("127.0.0.1", listener.port)
        self.outcomes = {"started": 0, "old": 0}
        self.wrong: list[tuple[str, list[str], str]] = []

    def begin(self) -> None:
        """Leaves something to take over."""
        self._daemon.cgroup = self._places[0]
        self._daemon.start(OLD)
        self._daemon.kill()
        assert self._sock.settings == OLD_VALUES

    def count(self) -> tuple[int, list[int]]:
        """How many calls it takes, and which come late: from where the daemon gives up
        capabilities to where it looks for network namespaces. What it finds there is its own."""
        self._daemon.cgroup = self._places[1]
        notes, status, _ = self._start(NEW, 0)
        assert status is None
        calls, names = self._start.calls, [line.split()[1] for line in notes.splitlines()]
        begin = names.index("capset") if "capset" in names else len(names)
        end = names.index("opendir", begin) if begin < len(names) else begin
        self._daemon.kill()
        self.begin()
        return calls, list(range(begin + 1, end + 1))

    def _check(self, trial: Trial, before: dict[str, Any]) -> None:
        if trial.started:
            trial.check(self._sock, NEW_VALUES)
            for group in set(self._places):
                for kind in (bpf.SOCK_OPS, bpf.SETSOCKOPT):
                    hooks = bpf.attached(group.directory, kind)
                    assert len(hooks) == (group == self._places[1]), f"{group.path}: {hooks}"
            return
        after = found(self._daemon, self._places, self._holdfast)
        assert after == before, {k: (v, after[k]) for k, v in before.items() if v != after[k]}
        trial.check(self._sock, OLD_VALUES)
        trial.new.change(keepalive=0)
        assert trial.new.settings == OLD_VALUES, "the guard has gone"

    def __call__(self, nth: int) -> None:
        """One in which the nth call fails."""
        before = found(self._daemon, self._places, self._holdfast)
        self._daemon.cgroup = self._places[1]
        trial = Trial(self._start, self._agent, self._listener, nth)
        try:
            self._check(trial, before)
        except AssertionError as error:
            self.wrong.append((trial.call, trial.lines, str(error).splitlines()[0]))
        self.outcomes["started" if trial.started else "old"] += 1
        trial.new.close()
        if trial.started:
            self._daemon.kill()
            self.begin()

    def end(self) -> None:
        """AssertionError with all that was wrong; then the next start does it."""
        print(self.outcomes)
        assert not self.wrong, "\n".join(map(str, self.wrong))
        assert self.outcomes["old"]
        self._daemon.start(NEW)
        assert self._sock.settings == NEW_VALUES


@pytest.fixture(params=["same", "wider", "narrower"])
def take_over(start: Start, make_agent: Callable[..., Agent], netns: Netns, cgroup: Cgroup,
              make_cgroup: Callable[..., Cgroup], listener: Listener, holdfast: Command,
              request: pytest.FixtureRequest) -> TakeOver:
    """With something to take over, by a daemon that is told the same control group or another."""
    inner = make_cgroup("inner", cgroup)
    places = {"same": (inner, inner), "wider": (inner, cgroup), "narrower": (cgroup, inner)}
    made = TakeOver(start, make_agent(netns, inner), listener, holdfast, places[request.param])
    made.begin()
    return made


def test_take_over(take_over: TakeOver) -> None:
    """Afterwards all is as it was found, enforcing: on old connections and on new ones."""
    calls, late = take_over.count()
    for nth in sorted({*steps(calls, SAMPLES), *steps_of(late, LATE)}):
        take_over(nth)
    take_over.end()
