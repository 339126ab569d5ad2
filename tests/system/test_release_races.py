"""`holdfast release` beside a start or another `release`: whoever comes second waits or is refused,
and in the end there is a whole daemon or nothing."""

import os
import random
import signal
import subprocess
import time

import pytest

from harness import bpf, build
from harness.cgroup import Cgroup
from harness.command import Command
from harness.config import rule
from harness.daemon import Daemon
from harness.fault import KERNEL, STOP, Fault
from harness.options import UNTOUCHED, held
from harness.process import state
from harness.sockets import Agent, Listener
from harness.wait import wait_for

RULE, VALUES = rule("all", time="120s", interval="30s", probes=4), held(120, 30, 4)
ROUNDS = 12
START = 0.6  # seconds; about the length of a start


def release(daemon: Daemon) -> subprocess.Popen:
    """Begins a `release`."""
    return subprocess.Popen([build.HOLDFAST, "--pin-dir", daemon.pin_dir, "release"],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.races
@pytest.mark.parametrize("left", [True, False], ids=["left", "nothing"])
def test_beside_a_start(daemon: Daemon, agent: Agent, listener: Listener, cgroup: Cgroup,
                        holdfast: Command, left: bool) -> None:
    """Whatever the order of start and `release`, the daemon runs in the end, complete, and
    holds."""
    sock = agent.connect("127.0.0.1", listener.port)
    rng, seen = random.Random(1), set()
    daemon.configure(RULE)
    for nth in range(ROUNDS):
        if left:
            daemon.start()
            daemon.kill()
        first = None
        if nth % 3 == 0:
            first = release(daemon)
            time.sleep(rng.random() * 0.02)
        daemon.launch()
        if not first:
            time.sleep(rng.random() * START)
            first = release(daemon)
        out, err = first.communicate(timeout=30)
        seen.add((first.returncode, err.split(":")[-1].strip()[:40] if first.returncode else ""))
        daemon.wait_ready()
        assert first.returncode in ((0, 3, 4) if left else (3, 4)), (out, err)
        new = agent.connect("127.0.0.1", listener.port)
        assert sock.settings == new.settings == VALUES, (out, err)
        assert holdfast.status()["enforcement"]["daemon_pid"] == daemon.pid
        new.close()
        daemon.stop()
        assert sock.settings == UNTOUCHED
        assert not os.path.exists(daemon.pin_dir), os.listdir(daemon.pin_dir)
        assert not bpf.attached(cgroup.directory, bpf.SOCK_OPS)
    print(seen)


class Stopped:
    """A start that is stopped by SIGSTOP at a call, with something left by an earlier daemon."""

    def __init__(self, daemon: Daemon, fault: Fault, patch: pytest.MonkeyPatch) -> None:
        self._daemon, self._fault, self._patch = daemon, fault, patch
        daemon.configure(RULE)

    def _names(self) -> list[str]:
        self._fault.order(0)
        self._daemon.start()
        self._daemon.kill()
        return [line.split()[1] for line in self._fault.take_notes().splitlines()]

    def start(self, call: str) -> None:
        """Starts the daemon, and waits until it is stopped at the first such call."""
        with self._patch.context() as patch:
            self._fault.set_in(patch)
            self._names()
            nth = self._names().index(call) + 1
            self._fault.order(nth, KERNEL | STOP)
            self._daemon.launch()
        wait_for(lambda: state(self._daemon.pid) == "T", "it is stopped")
        self._fault.order(-1)

    def go_on(self) -> None:
        """Resumes the daemon."""
        self._daemon.send_signal(signal.SIGCONT)


@pytest.fixture
def stopped(daemon: Daemon, workdir: str, monkeypatch: pytest.MonkeyPatch) -> Stopped:
    """A Stopped for the test's daemon."""
    if build.SANITIZED:
        pytest.skip("a sanitizer wants to be preloaded first")
    return Stopped(daemon, Fault(workdir, daemon.pin_dir), monkeypatch)


# statfs: between finding the pin dir and asking for its file system. flock: between opening and
# locking it.
@pytest.mark.parametrize("call", ["statfs", "flock"])
def test_pin_dir_that_vanishes(stopped: Stopped, daemon: Daemon, agent: Agent, listener: Listener,
                               call: str) -> None:
    """A start whose pin dir is removed by `release` meanwhile makes it again."""
    stopped.start(call)
    first = release(daemon)
    assert first.wait(30) == 0 and not os.path.exists(daemon.pin_dir)
    stopped.go_on()
    daemon.wait_ready()
    assert agent.connect("127.0.0.1", listener.port).settings == VALUES
    assert release(daemon).wait(30) == 4, "it has the lock"


def test_pin_dir_of_another(stopped: Stopped, daemon: Daemon, make_daemon, agent: Agent,
                            listener: Listener) -> None:
    """A start whose pin dir is removed and made again by another daemon fails, naming that one."""
    stopped.start("flock")
    assert release(daemon).wait(30) == 0
    other = make_daemon(pin_dir=daemon.pin_dir)
    other.start(RULE)
    stopped.go_on()
    assert daemon.wait() == 1 and f"in use by holdfastd, process {other.pid}" in daemon.log
    assert agent.connect("127.0.0.1", listener.port).settings == VALUES
    other.stop()
    assert not os.path.exists(daemon.pin_dir)


@pytest.mark.races
def test_beside_another(daemon: Daemon, agent: Agent, listener: Listener) -> None:
    """One of several `release` does the work, the others find nothing, and nothing is left."""
    sock = agent.connect("127.0.0.1", listener.port)
    daemon.configure(RULE)
    for _ in range(ROUNDS):
        daemon.start()
        daemon.kill()
        both = [release(daemon) for _ in range(3)]
        said = [one.communicate(timeout=30) for one in both]
        statuses = sorted(one.returncode for one in both)
        assert statuses == [0, 3, 3], (statuses, said)
        assert sock.settings == UNTOUCHED
        assert not os.path.exists(daemon.pin_dir), os.listdir(daemon.pin_dir)
