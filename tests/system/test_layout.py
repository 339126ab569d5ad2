"""An upgrade to a version whose pinned maps have another layout."""

import os

import pytest

from harness import build
from harness.cgroup import Cgroup
from harness.command import Command
from harness.compiler import other_build
from harness.config import rule
from harness.daemon import Daemon
from harness.kernel import needs
from harness.options import UNTOUCHED, held
from harness.sockets import Agent, Listener

VALUES = held(120, 30, 4)
RULE = rule("all", time="120s", interval="30s", probes=4)


@pytest.fixture(name="other", scope="module")
def _other(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The same source with another HF_LAYOUT."""
    return other_build("layout", str(tmp_path_factory.mktemp("layout")))


@needs("5.15", "to give back what another layout has taken")
def test_upgrade(daemon: Daemon, agent: Agent, listener: Listener, holdfast: Command,
                 cgroup: Cgroup, other: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new one is attached before the old one goes, holds what that held, restores as it would."""
    before = agent.connect("127.0.0.1", listener.port)
    daemon.start(RULE)
    sock = agent.connect("127.0.0.1", listener.port)
    daemon.kill()

    monkeypatch.setattr(build, "HOLDFASTD", os.path.join(other, "holdfastd"))
    monkeypatch.setattr(build, "HOLDFAST", os.path.join(other, "holdfast"))
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
