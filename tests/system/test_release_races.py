"""`holdfast release` beside a daemon that starts, and beside another one: whoever comes second waits
for the first or is told, and at the end there is a whole daemon or nothing."""

import os
import random
import subprocess
import time

import pytest

from harness import bpf, build
from harness.cgroup import Cgroup
from harness.command import Command
from harness.config import rule
from harness.daemon import Daemon
from harness.options import UNTOUCHED, held
from harness.sockets import Agent, Listener

RULE, VALUES = rule("all", time="120s", interval="30s", probes=4), held(120, 30, 4)
ROUNDS = 12
START = 0.6  # seconds; about as long as a start takes


def release(daemon: Daemon) -> subprocess.Popen:
    """Begins one."""
    return subprocess.Popen([build.HOLDFAST, "--pin-dir", daemon.pin_dir, "release"],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.races
@pytest.mark.parametrize("left", [True, False], ids=["left", "nothing"])
def test_beside_a_start(daemon: Daemon, agent: Agent, listener: Listener, cgroup: Cgroup,
                        holdfast: Command, left: bool) -> None:
    """Whatever the order, the daemon runs in the end, and holds; what it took over is whole."""
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


@pytest.mark.races
def test_beside_another(daemon: Daemon, agent: Agent, listener: Listener) -> None:
    """One of them does it; nothing is left, and nothing made."""
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
