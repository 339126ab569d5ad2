"""Passes that take long: what the service manager is told, who needn't wait, and how they pace
themselves.

Each network namespace costs a walk through the kernel's whole table of connections where there is
no survey: some hundred of them make a pass that takes long enough to look at.
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
from harness.sockets import Agent, Listener
from harness.wait import wait_for

RULE = rule("all", time="120s", interval="30s", probes=4)
VALUES = held(120, 30, 4)
NAMESPACES = 200


@pytest.fixture(scope="module")
def slow_build(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One without a survey, as on kernels before 6.2, whose passes pace themselves at once."""
    return compiler.variant("hasty", build.DIRECTORY, str(tmp_path_factory.mktemp("level")))


@pytest.fixture(name="slow")
def fixture_slow(daemon: Daemon, slow_build: str, make_agent) -> Iterator[Daemon]:
    """A daemon that has many namespaces to look at, not started yet."""
    made = [Netns() for _ in range(NAMESPACES)]
    keeper = make_agent(None, None)
    daemon.build_dir = slow_build
    yield daemon
    for netns in made:
        netns.close()
    keeper.close()


def told(daemon: Daemon) -> list[str]:
    """All that it has told the service manager."""
    return [word for message in daemon.told for word in message]


def test_watchdog_and_start(slow: Daemon, monkeypatch: pytest.MonkeyPatch, agent: Agent,
                            listener: Listener) -> None:
    """It says that it lives while the first pass goes on, and holds what was there by its end."""
    monkeypatch.setenv("WATCHDOG_USEC", "20000")
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
    """SIGTERM in the middle of a pass is answered before its end; nothing stays attached."""
    slow.start(daemon_section(reconcile="1s") + RULE)
    slow.reload()
    slow.send_signal(signal.SIGHUP)
    slow.send_signal(signal.SIGTERM)
    assert slow.wait() == 0
    assert not os.path.exists(slow.pin_dir) or not os.listdir(slow.pin_dir)


def test_passes_pace_themselves(slow: Daemon, holdfast: Command) -> None:
    """What takes long comes less often than it is told to, and that shows."""
    slow.start(daemon_section(reconcile="1s") + RULE)
    enforcement = holdfast.status()["enforcement"]
    assert enforcement["reconcile_in_force"] > 1

    def cpu() -> float:
        with open(f"/proc/{slow.pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")

    def metric(name: str) -> float:
        return float(re.search(rf"^holdfast_{name} (\S+)", holdfast("metrics").out,
                               re.MULTILINE)[1])

    assert metric("reconcile_period_seconds") == 1
    assert metric("reconcile_period_in_force_seconds") == enforcement["reconcile_in_force"]
    assert "later than reconcile says" in slow.log
    # Each pass over everything leaves another time; without pacing there would be one a second.
    period, before, start = enforcement["reconcile_in_force"], cpu(), time.monotonic()
    ends = set()
    while time.monotonic() < start + 6:
        ends.add(metric("last_reconcile_timestamp_seconds"))
        time.sleep(0.2)
    assert len(ends) <= 2 + 6 / period
    print(f"a pass each {period} s; in 6 s: {cpu() - before:.3f} s of CPU time")


def test_ordinary_passes_come_as_configured(daemon: Daemon, holdfast: Command) -> None:
    """What costs little isn't stretched."""
    daemon.start(daemon_section(reconcile="60s") + rule("all", port=PORT))
    assert "reconcile_in_force" not in holdfast.status()["enforcement"]
    assert "holdfast_reconcile_period_in_force_seconds 60\n" in holdfast("metrics").out
    assert "later than reconcile says" not in daemon.log
