"""Calls that fail in a running daemon (a reload, a reconcile pass, the stop) and in the command.

Every outcome is the old state or the new one, reported in one sentence, and nothing is lost for
good. With HF_EXHAUSTIVE=1 every call fails once; else a sample of them does.
"""

import json
import os
import time
import pytest

from harness import bpf, build, kernel
from harness.cgroup import Cgroup
from harness.command import Command
from harness.config import PORT, daemon as daemon_section, rule
from harness.daemon import Daemon
from harness.fault import KERNEL, MEMORY, Fault, steps, steps_of
from harness.options import UNTOUCHED, held
from harness.process import rss_kb
from harness.sockets import Agent, Listener
from harness.wait import wait_for

pytestmark = [pytest.mark.skipif(
    build.SANITIZED, reason="a sanitizer wants to be preloaded first")]

A, A_VALUES = rule("all", time="120s", interval="30s", probes=4), held(120, 30, 4)
B, B_VALUES = rule("all", time="60s", interval="20s", probes=3), held(60, 20, 3)
SAMPLES = 14
EARLY = 8
FEW = 5  # sample of tests that start the daemon each time

KINDS = [pytest.param(KERNEL, id="kernel"), pytest.param(MEMORY, id="memory")]


@pytest.fixture
def fault(daemon: Daemon, workdir: str, monkeypatch: pytest.MonkeyPatch) -> Fault:
    """A fault in the daemon, from its next start on, and in the command."""
    made = Fault(workdir, daemon.pin_dir)
    made.set_in(monkeypatch)
    return made


def open_files(daemon: Daemon) -> int:
    """Returns how many descriptors the daemon has open."""
    return len(os.listdir(f"/proc/{daemon.pid}/fd"))


class Wrong:
    """Gathers what is wrong, so that one run shows all of it."""

    def __init__(self) -> None:
        self.found: list[tuple[str, str, str]] = []

    def check(self, call: str, log: str, *claims: tuple[bool, str]) -> bool:
        """Notes the claims that don't hold. Returns whether all do."""
        false = [what for holds, what in claims if not holds]
        if false:
            self.found.append((call, log, "; ".join(false)))
        return not false

    def end(self) -> None:
        """AssertionError with all that was wrong."""
        assert not self.found, "\n".join(map(str, self.found))


# Which rules need the guard: the old ones, the new ones, or both.
NEEDS = [pytest.param((True, True), id="both"), pytest.param((True, False), id="old"),
         pytest.param((False, True), id="new")]


@pytest.mark.parametrize("needs", NEEDS)
@pytest.mark.parametrize("kinds", KINDS)
def test_reload(fault: Fault, daemon: Daemon, agent: Agent, listener: Listener, cgroup: Cgroup,
                holdfast: Command, kinds: int, needs: tuple[bool, bool]) -> None:
    """A reload with a failing call leaves old and new connections under the same rules, the old or
    the new, with the guard that these need, and leaks nothing."""
    old, new_rules = (text if need else daemon_section(guard="no") + text
                      for text, need in zip((A, B), needs))
    daemon.start(old)
    sock = agent.connect("127.0.0.1", listener.port)
    daemon.reload(new_rules)
    daemon.reload(old)
    fault.order(0, kinds)
    daemon.reload(new_rules)
    calls = fault.count
    fault.take_notes()
    fault.order(-1)
    daemon.reload(old)
    assert sock.settings == A_VALUES
    files, memory = open_files(daemon), rss_kb(daemon.pid)
    wrong, outcomes = Wrong(), {"new": 0, "old": 0}
    early = steps_of(range(1, calls // 3), EARLY)  # what refuses a reload is among these
    for nth in sorted({*early, *steps(calls, SAMPLES)}):
        logged = len(daemon.log)
        fault.order(nth, kinds)
        daemon.reload(new_rules)
        fault.order(-1)
        call, log = fault.take_notes(), daemon.log[logged:]
        guards = len(bpf.attached(cgroup.directory, bpf.SETSOCKOPT))
        refused = [line for line in log.splitlines() if "not reloaded" in line]
        wanted = A_VALUES if refused else B_VALUES
        new = agent.connect("127.0.0.1", listener.port)
        outcomes["old" if refused else "new"] += 1
        times = [r["time"] for r in holdfast.status()["rules"]]
        wrong.check(call, log,
                    (new.settings == wanted, f"a new one has {new.settings}"),
                    (sock.settings == wanted or "incomplete" in log, f"it has {sock.settings}"),
                    (not refused or len(refused[0]) > 50, "it doesn't say why"),
                    (guards == needs[0 if refused else 1], f"{guards} guards"),
                    (times == [120 if refused else 60], f"status shows {times}"))
        new.close()
        daemon.reload(old)
        wrong.check(call, log, (sock.settings == A_VALUES, f"later it has {sock.settings}"))
    print(outcomes)
    wrong.end()
    assert outcomes["old"]
    wait_for(lambda: open_files(daemon) <= files, "what a reload opens is closed again")
    assert rss_kb(daemon.pid) < memory + 2048


@pytest.mark.parametrize("kinds", KINDS)
def test_reconcile(fault: Fault, daemon: Daemon, agent: Agent, outsider: Agent,
                   holdfast: Command, kinds: int) -> None:
    """A pass with a failing call says so, and the next pass makes up for it."""
    daemon.start(A + "[daemon]\nreconcile = 1s\nguard = no\n")
    sock = agent.connect("127.0.0.1", outsider.listen(PORT).port)

    def undo() -> None:
        sock.change(keepalive=0)
        wait_for(lambda: sock.settings == A_VALUES, "it is held again")

    undo()
    fault.order(0, kinds)
    undo()
    calls = fault.count
    fault.take_notes()
    fault.order(-1)
    time.sleep(0.2)
    files = open_files(daemon)
    wrong = Wrong()
    for nth in steps(calls, FEW):
        logged = len(daemon.log)
        sock.change(keepalive=0)
        fault.order(nth, kinds)
        wait_for(lambda: sock.settings == A_VALUES, "it is held again", 8)
        fault.order(-1)
        call, log = fault.take_notes(), daemon.log[logged:]
        said = [line for line in log.splitlines() if "incomplete" in line]
        wrong.check(call, log, (daemon.running, "it has ended"),
                    (all(len(line) > 30 for line in said), "it doesn't say why"))
    wrong.end()
    wait_for(lambda: open_files(daemon) <= files, "what a pass opens is closed again")
    assert holdfast("status").status == 0


@pytest.mark.parametrize("kinds", KINDS)
def test_stop(fault: Fault, daemon: Daemon, agent: Agent, listener: Listener, cgroup: Cgroup,
              holdfast: Command, kinds: int) -> None:
    """A stop with a failing call gives all back, or says what is left so that `release` can do
    it."""
    sock = agent.connect("127.0.0.1", listener.port)
    daemon.start(A)
    fault.order(0, kinds)
    daemon.stop()
    calls = fault.count
    fault.take_notes()
    wrong, outcomes = Wrong(), {"clean": 0, "told": 0}
    for nth in steps(calls, FEW):
        fault.order(-1)
        daemon.start(A)
        assert sock.settings == A_VALUES
        logged = len(daemon.log)
        fault.order(nth, kinds)
        daemon.send_signal(15)
        status = daemon.wait()
        fault.order(-1)
        call, log = fault.take_notes(), daemon.log[logged:]
        clean = sock.settings == UNTOUCHED and not os.path.exists(daemon.pin_dir)
        pins = os.path.exists(daemon.pin_dir) and os.listdir(daemon.pin_dir)
        outcomes["clean" if status == 0 else "told"] += 1
        if status:
            wrong.check(call, log, (status == 1, f"status {status}"),
                        ("stopping: " in log or "the event loop broke: " in log,
                         "it doesn't say why"))
            released = holdfast("release")
            wrong.check(call, log + released.err,
                        (released.status == 0 or not pins, f"release: {released}"))
        wrong.check(call, log,
                    (clean or status != 0 or "could not be reached" in log or not pins,
                     f"exit 0, and {sock.settings} {pins}"),
                    (sock.settings == UNTOUCHED or "could not be reached" in log,
                     f"it keeps {sock.settings}"),
                    (not bpf.attached(cgroup.directory, bpf.SOCK_OPS), "still attached"))
    print(outcomes)
    wrong.end()


VERBS = [("status", "-J"), ("status",), ("metrics",), ("explain", "-J", "10.0.0.1"),
         ("probe", "-J"), ("preview", "-J", "--config"), ("check", "-J"), ("report",)]


@pytest.mark.parametrize("kinds", KINDS)
@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: "-".join(verb).replace("--", "-"))
def test_command(fault: Fault, daemon: Daemon, agent: Agent, listener: Listener,
                 holdfast: Command, verb: tuple[str, ...], kinds: int) -> None:
    """A verb with a failing call does its work, or exits with 4 and one sentence."""
    daemon.start(A)
    sock = agent.connect("127.0.0.1", listener.port)
    if verb[0] in ("check", "preview"):
        verb = (*verb, daemon.config_file)
    fault.order(0, kinds)
    good = holdfast(*verb)
    calls = fault.count
    fault.take_notes()
    assert good.status == 0, good
    wrong, failed = Wrong(), 0
    for nth in steps(calls, SAMPLES):
        fault.order(nth, kinds)
        result = holdfast(*verb)
        fault.order(-1)
        call = fault.take_notes()
        if result.status == 0:
            wrong.check(call, result.err, (bool(result.out), "it says nothing"))
            if "-J" in verb:
                json.loads(result.out)
            continue
        failed += 1
        lines = [line for line in kernel.without_limits(result.err) if line not in good.err]
        wrong.check(call, f"{result.status} {result.err} {result.out[:200]}",
                    (result.status in (1, 4) if verb[0] == "probe" else result.status == 4,
                     f"status {result.status}"),
                    (len(lines) == 1 and len(lines[0]) > 20 if result.status == 4 else True,
                     "not one sentence"),
                    (result.status == 1 or not result.out.endswith("}\n"),
                     "what it could print of the document looks whole"))
    print(f"{failed} failed")
    wrong.end()
    # A report says in place of a part why there is none.
    assert failed or kinds == MEMORY or verb[0] in ("check", "report")
    assert sock.settings == A_VALUES
