"""Passes that take long: the watchdog, signals in the middle of a pass, and the pace of passes.

Without the survey each network namespace costs a walk through the kernel's whole table of
connections, so that some hundred namespaces make a pass long enough to test.
"""

import os
import re
import signal
import time
from typing import Iterator

import pytest

from harness import build, compiler
from harness.command import Command
from harness.config import PORT, daemon as daemon_section, rule
from harness.daemon import Daemon
from harness.netns import Netns
from harness.options import UNTOUCHED, held
from harness.process import spawn, stop
from harness.sockets import Agent, Listener
from harness.wait import wait_for

RULE = rule("all", time="120s", interval="30s", probes=4)
VALUES = held(120, 30, 4)
NAMESPACES = 200


@pytest.fixture(scope="module")
def slow_build(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a build without the survey, as before Linux 6.2, that paces passes from the
    first."""
    return compiler.variant("hasty", build.DIRECTORY, str(tmp_path_factory.mktemp("level")))


@pytest.fixture(name="slow")
def fixture_slow(daemon: Daemon, slow_build: str) -> Iterator[Daemon]:
    """A daemon, not started yet, with many namespaces to look at, each kept by a process."""
    made = [Netns() for _ in range(NAMESPACES)]
    living = [spawn(["sleep", "600"], netns) for netns in made]
    daemon.build_dir = slow_build
    yield daemon
    for process in living:
        stop(process)
    for netns in made:
        netns.close()


def told(daemon: Daemon) -> list[str]:
    """Returns all words that the daemon has told the service manager."""
    return [word for message in daemon.told for word in message]


def test_watchdog_and_start(slow: Daemon, monkeypatch: pytest.MonkeyPatch, agent: Agent,
                            listener: Listener) -> None:
    """The watchdog is served during the first pass, which holds the connections that were there."""
    monkeypatch.setenv("WATCHDOG_USEC", "2000")  # a small machine's pass takes a few milliseconds
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    sock = agent.connect("127.0.0.1", listener.port)
    slow.start(RULE)
    assert told(slow).count("WATCHDOG=1") >= 3
    wait_for(lambda: sock.settings == VALUES, "the connection is held")
    before = told(slow).count("WATCHDOG=1")
    slow.stop()
    assert told(slow).count("WATCHDOG=1") > before
    assert sock.settings == UNTOUCHED


def test_a_signal_needs_not_wait(slow: Daemon) -> None:
    """SIGTERM in the middle of a pass is acted on before the pass ends, and all is detached."""
    slow.start(daemon_section(reconcile="1h") + RULE, "--verbose")
    slow.reload()
    seen = list(map(int, re.findall(r"reconcile: (\d+) network namespaces", slow.log)))
    # Events of this machine's cause passes over few of them in between.
    assert sum(n > NAMESPACES for n in seen) >= 2, seen
    assert "makes way" not in slow.log
    slow.send_signal(signal.SIGHUP)
    slow.send_signal(signal.SIGTERM)
    assert slow.wait() == 0
    assert "reconcile makes way for a signal" in slow.log
    assert not os.path.exists(slow.pin_dir) or not os.listdir(slow.pin_dir)


def test_passes_pace_themselves(slow: Daemon, holdfast: Command) -> None:
    """Passes that take long come less often than `reconcile` says, which status, metrics and log
    show."""
    slow.start(daemon_section(reconcile="1s") + RULE)

    def cpu() -> float:
        with open(f"/proc/{slow.pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")

    def metric(name: str) -> float:
        return float(re.search(rf"^holdfast_{name} (\S+)", holdfast("metrics").out,
                               re.MULTILINE)[1])

    def shown_alike() -> bool:
        """A pass between the two looks may change the period."""
        in_force = holdfast.status()["enforcement"]["reconcile_in_force"]
        assert in_force > 1
        return metric("reconcile_period_in_force_seconds") == in_force

    wait_for(shown_alike, "status and metrics show the same period")
    assert metric("reconcile_period_seconds") == 1
    assert "later than reconcile says" in slow.log
    # Each full pass leaves another time; without pacing there would be one a second.
    before, start = cpu(), time.monotonic()
    ends, periods = set(), set()
    while time.monotonic() < start + 6:
        periods.add(metric("reconcile_period_in_force_seconds"))
        ends.add(metric("last_reconcile_timestamp_seconds"))
        time.sleep(0.2)
    assert len(ends) <= 2 + 6 / min(periods)
    print(f"a pass each {periods} s; in 6 s: {cpu() - before:.3f} s of CPU time")


def test_ordinary_passes_come_as_configured(daemon: Daemon, holdfast: Command) -> None:
    """Short passes come as often as `reconcile` says."""
    daemon.start(daemon_section(reconcile="60s") + rule("all", port=PORT))
    assert "reconcile_in_force" not in holdfast.status()["enforcement"]
    assert "holdfast_reconcile_period_in_force_seconds 60\n" in holdfast("metrics").out
    assert "later than reconcile says" not in daemon.log
