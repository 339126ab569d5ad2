"""An upgrade to a version with another layout of the pinned maps."""

import os

import pytest

from harness import bpf, build
from harness.cgroup import Cgroup
from harness.command import Command
from harness.compiler import other_build
from harness.config import rule
from harness.daemon import Daemon
from harness.fault import Fault, steps_of
from harness.kernel import needs
from harness.options import UNTOUCHED, held
from harness.sockets import Agent, Listener

VALUES = held(120, 30, 4)
RULE = rule("all", time="120s", interval="30s", probes=4)


@pytest.fixture(name="other", scope="module")
def _other(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a build with another HF_LAYOUT."""
    return other_build("layout", str(tmp_path_factory.mktemp("layout")))


@needs("5.15", "to give back what another layout has taken")
def test_upgrade(daemon: Daemon, agent: Agent, listener: Listener, holdfast: Command,
                 cgroup: Cgroup, other: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upgrade takes over all held connections, and its end gives them back as the old daemon
    would have."""
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


@needs("5.15", "to give back what another layout has taken")
def test_links_that_someone_has_open(daemon: Daemon, cgroup: Cgroup, other: str) -> None:
    """An upgrade detaches the old layout's links, although someone has them open."""
    daemon.start(RULE)
    daemon.kill()
    opened = [bpf.get(os.path.join(daemon.layout, name)) for name in ("hf_sockops", "hf_guard")]
    try:
        daemon.build_dir = other
        daemon.start(RULE)
        assert [len(bpf.attached(cgroup.directory, kind))
                for kind in (bpf.SOCK_OPS, bpf.SETSOCKOPT)] == [1, 1]
        daemon.stop()
    finally:
        for fd in opened:
            os.close(fd)


def test_left_unfinished(daemon: Daemon, agent: Agent, listener: Listener) -> None:
    """A start removes the folder without rules that an interrupted start of another layout has left."""
    os.makedirs(os.path.join(daemon.pin_dir, "layout-998"), 0o700)
    os.chmod(daemon.pin_dir, 0o700)
    daemon.start(RULE)
    assert "layout-998" not in os.listdir(daemon.pin_dir)
    assert agent.connect("127.0.0.1", listener.port).settings == VALUES
    daemon.stop()


class Upgrade:
    """Upgrades from one layout to the other, with a failing call."""

    def __init__(self, daemon: Daemon, fault: Fault, cgroup: Cgroup, other: str,
                 patch: pytest.MonkeyPatch) -> None:
        self._daemon, self._fault, self._cgroup = daemon, fault, cgroup
        self._other, self._patch = other, patch

    def __call__(self, nth: int) -> bool:
        """Upgrades with the nth call failing. Returns whether the daemon runs."""
        self._fault.order(nth)
        with self._patch.context() as patch:
            patch.setattr(build, "HOLDFASTD", os.path.join(self._other, "holdfastd"))
            self._fault.set_in(patch)
            self._daemon.launch()
            try:
                self._daemon.wait_ready()
            except AssertionError:
                assert self._daemon.wait() == 1
        self._fault.order(-1)
        return self._daemon.running

    def late(self) -> list[int]:
        """Returns a sample of the calls from the drop of capabilities on, before which nothing has been
        touched, and the calls around the first namespace that the old rules are taken from."""
        assert self(0)
        names = [line.split()[1] for line in self._fault.take_notes().splitlines()]
        self._daemon.stop()
        begin = names.index("capset") + 1
        inside = names.index("setns", begin)
        emptying = [at + 1 for at in range(inside - 2, inside + 3) if names[at] == "open"]
        return sorted({*steps_of(range(begin, min(begin + 40, len(names))), 8), *emptying})

    def found(self) -> tuple[object, ...]:
        """Returns the pins and the attached programs, by the identity of their objects."""
        hooks = [bpf.attached(self._cgroup.directory, kind)
                 for kind in (bpf.SOCK_OPS, bpf.SETSOCKOPT)]
        return os.listdir(self._daemon.pin_dir), bpf.pinned(self._daemon.pin_dir), hooks


@needs("5.15", "to give back what another layout has taken")
@pytest.mark.skipif(build.SANITIZED, reason="a sanitizer wants to be preloaded first")
def test_upgrade_that_fails(daemon: Daemon, agent: Agent, listener: Listener, cgroup: Cgroup,
                            other: str, workdir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upgrade that fails leaves all pins and programs as they were, enforcing."""
    upgrade = Upgrade(daemon, Fault(workdir, daemon.pin_dir), cgroup, other, monkeypatch)
    sock = agent.connect("127.0.0.1", listener.port)
    daemon.start(RULE)
    daemon.kill()
    failed = 0
    for nth in upgrade.late():
        daemon.start(RULE)
        daemon.kill()
        before = upgrade.found()
        if upgrade(nth):
            daemon.stop()
            assert sock.settings == UNTOUCHED
            continue
        failed += 1
        assert upgrade.found() == before
        new = agent.connect("127.0.0.1", listener.port)
        for one in (sock, new):
            one.change(keepalive=0)
            one.change(keepalive=1)
            assert one.settings == VALUES
            one.change(keepalive=0)
        new.close()
    assert failed
