"""An upgrade to a version whose pinned maps have another layout."""

import os
import subprocess

import pytest

from harness import build
from harness.cgroup import Cgroup
from harness.command import Command
from harness.config import rule
from harness.daemon import Daemon
from harness.kernel import needs
from harness.options import UNTOUCHED, held
from harness.sockets import Agent, Listener

VALUES = held(120, 30, 4)
RULE = rule("all", time="120s", interval="30s", probes=4)
TREE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")


@pytest.fixture(scope="module")
def other_build(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The same source with another HF_LAYOUT."""
    directory = str(tmp_path_factory.mktemp("layout"))
    # What a make that runs the tests has been told is not for this one.
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    made = subprocess.run(["make", "-C", TREE, f"BUILD={directory}", "BPF_CPPFLAGS=-DHF_LAYOUT=999",
                           "SANITIZE=0", "CFLAGS=-O1", "all"], capture_output=True, text=True,
                          env=environment)
    assert made.returncode == 0, made.stderr
    return directory


@needs("5.15", "to give back what another layout has taken")
def test_upgrade(daemon: Daemon, agent: Agent, listener: Listener, holdfast: Command,
                 cgroup: Cgroup, other_build: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new one is attached before the old one goes, holds what that held, restores as it would."""
    before = agent.connect("127.0.0.1", listener.port)
    daemon.start(RULE)
    sock = agent.connect("127.0.0.1", listener.port)
    daemon.kill()

    monkeypatch.setattr(build, "HOLDFASTD", os.path.join(other_build, "holdfastd"))
    monkeypatch.setattr(build, "HOLDFAST", os.path.join(other_build, "holdfast"))
    refused = holdfast("status")
    assert refused.status == 4 and "another version" in refused.err

    daemon.start(RULE)
    assert os.listdir(daemon.pin_dir) == ["layout-999"]
    assert before.settings == sock.settings == VALUES
    assert agent.connect("127.0.0.1", listener.port).settings == VALUES
    assert {s["verdict"] for s in holdfast.status()["sockets"]} == {"held"}
    daemon.stop()
    assert before.settings == sock.settings == UNTOUCHED
    assert not os.path.exists(daemon.pin_dir)
