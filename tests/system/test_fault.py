"""A start in which one call fails: afterwards the old state or nothing is there, never half of
either.

With HF_EXHAUSTIVE=1 every call of a start fails once; else a sample of them does.
"""

import glob
import os
import signal
from typing import Any, Callable, Sequence

import pytest

from harness import bpf, build
from harness.cgroup import Cgroup
from harness.command import Command
from harness.config import daemon as daemon_section, rule
from harness.daemon import Daemon
from harness.fault import KERNEL, MEMORY, Fault, steps, steps_of
from harness.netns import Netns
from harness.options import UNTOUCHED, Settings, held
from harness.sockets import Agent, Listener, Socket
from harness.wait import wait_for

pytestmark = [pytest.mark.skipif(
    build.SANITIZED, reason="a sanitizer wants to be preloaded first")]

OLD, OLD_VALUES = rule("all", time="120s", interval="30s", probes=4), held(120, 30, 4)
NEW, NEW_VALUES = rule("all", time="60s", interval="20s", probes=3), held(60, 20, 3)
SAMPLES = 12
LATE = 8  # of the late calls, besides the sample


class Start:
    """Starts the daemon so that the nth call fails."""

    def __init__(self, daemon: Daemon, fault: Fault, kinds: int,
                 patch: pytest.MonkeyPatch) -> None:
        self.daemon = daemon
        self._fault = fault
        self._kinds = kinds
        self._patch = patch
        self.calls = 0  # calls of the last start

    def __call__(self, config: str, nth: int) -> tuple[str, int | None, list[str]]:
        """Starts the daemon. Returns the call that has failed ('' for none), the exit status (None
        where it runs), and the log."""
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
        self._fault.order(-1)  # the start may have made fewer calls than the counted one
        return self._fault.take_notes(), status, lines


@pytest.fixture(params=[pytest.param(KERNEL, id="kernel"), pytest.param(MEMORY, id="memory")])
def start(daemon: Daemon, workdir: str, monkeypatch: pytest.MonkeyPatch,
          request: pytest.FixtureRequest) -> Start:
    """A Start for the test's daemon."""
    return Start(daemon, Fault(workdir, daemon.pin_dir), request.param, monkeypatch)


def attached(daemon: Daemon, cgroup: Cgroup) -> bool:
    """Whether pins and both programs are there; AssertionError where only some are."""
    pins = os.path.exists(daemon.pin_dir) and os.listdir(daemon.pin_dir)
    programs = [bool(bpf.attached(cgroup.directory, kind))
                for kind in (bpf.SOCK_OPS, bpf.SETSOCKOPT)]
    assert programs == [bool(pins)] * 2, f"programs {programs}, but pins {pins}"
    return bool(pins)


def test_first_start_whose_link_is_open(daemon: Daemon, cgroup: Cgroup, workdir: str,
                                        monkeypatch: pytest.MonkeyPatch) -> None:
    """A first start that fails detaches its guard also where another process, bpftool for example,
    has the link open by then."""
    fault = Fault(workdir, daemon.pin_dir)
    fault.set_in(monkeypatch)
    daemon.configure(NEW)
    fault.step(daemon, lambda: glob.glob(f"{daemon.pin_dir}/layout-*/hf_guard"))
    link = bpf.get(os.path.join(daemon.layout, "hf_guard"))
    try:
        assert bpf.attached(cgroup.directory, bpf.SETSOCKOPT)
        fault.order(1)
        daemon.send_signal(signal.SIGCONT)
        assert daemon.wait() == 1
        assert "can't start: " in daemon.log
        assert not bpf.attached(cgroup.directory, bpf.SETSOCKOPT)
    finally:
        os.close(link)
    assert not os.path.exists(daemon.pin_dir)


def test_take_over_whose_link_is_open(daemon: Daemon, cgroup: Cgroup,
                                      make_cgroup: Callable[..., Cgroup], workdir: str,
                                      monkeypatch: pytest.MonkeyPatch) -> None:
    """A take-over that fails detaches what it has attached to another control group also where
    another process has the link open by then."""
    daemon.start(OLD)
    daemon.kill()
    inner = make_cgroup("inner", cgroup)
    daemon.cgroup = inner
    fault = Fault(workdir, daemon.pin_dir)
    fault.set_in(monkeypatch)
    daemon.configure(NEW)
    places = f"{daemon.pin_dir}/*_new/hf_sockops"
    fault.step(daemon, lambda: glob.glob(places))
    link = bpf.get(glob.glob(places)[0])
    try:
        assert bpf.attached(inner.directory, bpf.SOCK_OPS)
        fault.order(1)
        daemon.send_signal(signal.SIGCONT)
        assert daemon.wait() == 1
        for kind in (bpf.SOCK_OPS, bpf.SETSOCKOPT):
            assert not bpf.attached(inner.directory, kind)
            assert bpf.attached(cgroup.directory, kind), "what was attached before"
    finally:
        os.close(link)


class Trial:
    """A start with a fault, and a new connection after it."""

    def __init__(self, start: Start, agent: Agent, listener: Listener, nth: int) -> None:
        self.call, self.status, self.lines = start(NEW, nth)
        self.started = self.status is None
        self.new = agent.connect("127.0.0.1", listener.port)

    def check(self, sock: Socket, wanted: Settings) -> None:
        """Checks the settings of an old and the new connection, and that a failed start gave one
        sentence."""
        seen = sock.settings, self.new.settings
        if self.started:  # the start doesn't need the call that has failed
            assert seen[1] == wanted, seen
            assert seen[0] == wanted or "incomplete" in "".join(self.lines), seen
            return
        assert seen == (wanted, wanted), seen
        assert self.status and self.status > 0
        said = [line for line in self.lines if "can't start: " in line]
        assert len(said) == 1 and len(said[0]) > 20, "not one sentence"


def libbpf_calls(notes: str) -> list[int]:
    """Returns the calls of bpf() until the first map is filled. With some of them libbpf asks what
    the kernel can do, and does without what has failed."""
    names = [line.split(maxsplit=1)[1] for line in notes.splitlines()]
    before = names[:names.index("bpf 2")] if "bpf 2" in names else []  # BPF_MAP_UPDATE_ELEM
    return [nth for nth, name in enumerate(before, 1) if name.startswith("bpf ")]


def test_first_start(start: Start, daemon: Daemon, agent: Agent, cgroup: Cgroup,
                     listener: Listener, holdfast: Command) -> None:
    """A failed first start leaves nothing behind and touches no socket."""
    sock = agent.connect("127.0.0.1", listener.port)
    notes, status, _ = start(NEW, 0)
    assert status is None
    daemon.stop()
    n_started, wrong = 0, []
    tried = sorted({*steps(start.calls, SAMPLES), *libbpf_calls(notes)})
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
    """Returns all that a dead daemon has left, by the identity of its objects."""
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


def late_calls(notes: str) -> list[int]:
    """Returns the calls between giving up capabilities and looking for network namespaces. What the
    daemon finds there depends on the machine."""
    names = [line.split()[1] for line in notes.splitlines()]
    begin = names.index("capset") if "capset" in names else len(names)
    end = names.index("opendir", begin) if begin < len(names) else begin
    return list(range(begin + 1, end + 1))


class TakeOver:
    """Starts that take over, one after the other, each with a fault."""

    def __init__(self, start: Start, agent: Agent, listener: Listener, holdfast: Command,
                 places: Sequence[Cgroup]) -> None:
        """`places`: the control group of the daemon before, and of the one that takes over."""
        self._start, self._agent, self._listener = start, agent, listener
        self._daemon, self._holdfast, self._places = start.daemon, holdfast, places
        self._sock = agent.connect("127.0.0.1", listener.port)
        self.outcomes = {"started": 0, "old": 0}
        self.wrong: list[tuple[str, list[str], str]] = []

    def begin(self) -> None:
        """Leaves something to take over: starts a daemon with the old rules and kills it."""
        self._daemon.cgroup = self._places[0]
        self._daemon.start(OLD)
        self._daemon.kill()
        assert self._sock.settings == OLD_VALUES

    def count(self) -> tuple[int, list[int]]:
        """Returns how many calls a take-over makes, and which of them are late."""
        self._daemon.cgroup = self._places[1]
        notes, status, _ = self._start(NEW, 0)
        assert status is None
        calls = self._start.calls
        self._daemon.kill()
        self.begin()
        return calls, late_calls(notes)

    def _check_hooks(self, group: Cgroup, kind: int) -> None:
        """Checks that one program is attached there, or none. What couldn't be detached by force
        goes when the kernel gets round to freeing its link."""
        wanted = int(group == self._places[1])
        wait_for(lambda: len(bpf.attached(group.directory, kind)) == wanted,
                 f"{wanted} programs on {group.path}", timeout=3)

    def _check(self, trial: Trial, before: dict[str, Any]) -> None:
        if trial.started:
            trial.check(self._sock, NEW_VALUES)
            for group in set(self._places):
                for kind in (bpf.SOCK_OPS, bpf.SETSOCKOPT):
                    self._check_hooks(group, kind)
            return
        after = found(self._daemon, self._places, self._holdfast)
        assert after == before, {k: (v, after[k]) for k, v in before.items() if v != after[k]}
        trial.check(self._sock, OLD_VALUES)
        trial.new.change(keepalive=0)
        assert trial.new.settings == OLD_VALUES, "the guard has gone"

    def __call__(self, nth: int) -> None:
        """Takes over with the nth call failing, and checks what is there afterwards."""
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
        """AssertionError with all that was wrong; else checks that the next start takes over."""
        print(self.outcomes)
        assert not self.wrong, "\n".join(map(str, self.wrong))
        assert self.outcomes["old"]
        self._daemon.start(NEW)
        assert self._sock.settings == NEW_VALUES


@pytest.mark.parametrize("start", [pytest.param(KERNEL, id="kernel")], indirect=True)
def test_take_over_that_adds_a_guard(start: Start, daemon: Daemon, cgroup: Cgroup,
                                     holdfast: Command) -> None:
    """A failed take-over that would have added a guard leaves none attached."""
    unguarded = daemon_section(guard="no") + OLD

    def left() -> dict[str, Any]:
        daemon.start(unguarded)
        daemon.kill()
        return found(daemon, [cgroup], holdfast)

    left()
    notes, status, _ = start(NEW, 0)
    assert status is None
    daemon.kill()
    failed = 0
    late = late_calls(notes)
    for nth in sorted({*steps_of(late, LATE), *late[-LATE:]}):  # the rules' calls are last
        before = left()
        assert not bpf.attached(cgroup.directory, bpf.SETSOCKOPT)
        _, status, _ = start(NEW, nth)
        if status is None:
            daemon.kill()
            continue
        failed += 1
        assert found(daemon, [cgroup], holdfast) == before
    assert failed


@pytest.fixture(params=["same", "wider", "narrower"])
def take_over(start: Start, make_agent: Callable[..., Agent], netns: Netns, cgroup: Cgroup,
              make_cgroup: Callable[..., Cgroup], listener: Listener, holdfast: Command,
              request: pytest.FixtureRequest) -> TakeOver:
    """A state to take over, by a daemon with the same, a wider or a narrower control group."""
    inner = make_cgroup("inner", cgroup)
    places = {"same": (inner, inner), "wider": (inner, cgroup), "narrower": (cgroup, inner)}
    made = TakeOver(start, make_agent(netns, inner), listener, holdfast, places[request.param])
    made.begin()
    return made


def test_take_over(take_over: TakeOver) -> None:
    """A failed take-over leaves all as it was, and old and new connections held."""
    calls, late = take_over.count()
    for nth in sorted({*steps(calls, SAMPLES), *steps_of(late, LATE)}):
        take_over(nth)
    take_over.end()
