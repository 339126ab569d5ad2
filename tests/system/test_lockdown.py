"""A kernel in lockdown (kernel_lockdown(7)); run by tests/vm/guest/lockdown.py."""

import os

import pytest

from harness import bpf
from harness.command import Command
from harness.config import rule
from harness.daemon import Daemon
from harness.kernel import version
from harness.options import UNTOUCHED, held
from harness.sockets import Agent, Listener

LEVEL = os.environ.get("HF_LOCKDOWN")
RULE, VALUES = rule("all", time="120s", interval="30s", probes=4), held(120, 30, 4)

pytestmark = pytest.mark.skipif(
    not LEVEL, reason="locks the kernel down: done in the virtual machines")


def test_in_force() -> None:
    """The kernel is in lockdown, without which the other tests would show nothing."""
    with open("/sys/kernel/security/lockdown", encoding="ascii") as file:
        assert f"[{LEVEL}]" in file.read()
    assert not os.path.exists("/dev/mem") or _refused("/dev/mem")


def _refused(path: str) -> bool:
    try:
        os.close(os.open(path, os.O_RDWR))
    except PermissionError:
        return True
    return False


def test_whole_life(daemon: Daemon, agent: Agent, listener: Listener, holdfast: Command) -> None:
    """In lockdown the daemon and `status` can do all that they can do without."""
    before = agent.connect("127.0.0.1", listener.port)
    daemon.start(RULE)
    after = agent.connect("127.0.0.1", listener.port)
    assert before.settings == after.settings == VALUES
    after.change(keepalive=0)
    assert after.settings == VALUES
    status = holdfast.status()
    assert [s["verdict"] for s in status["sockets"]] == ["held"] * 2
    assert all(s["processes"][0]["pid"] == agent.pid for s in status["sockets"])
    assert status["enforcement"]["adopts_existing"]
    daemon.kill()
    daemon.start(RULE.replace("120s", "60s"))
    assert before.settings == after.settings == held(60, 30, 4)
    assert bpf.pinned(daemon.pin_dir)
    daemon.stop()
    assert before.settings == after.settings == UNTOUCHED
    if version() >= (5, 15):
        assert "existing connections are held through" not in daemon.log
