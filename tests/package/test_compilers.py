"""The kernel accepts the BPF programs as another clang compiles them.

Where it accepts only the variants for older kernels, the daemon says so and works with less.
"""

import os
import subprocess
from typing import Iterator

import pytest

import source
from harness import build, mounts
from harness.cgroup import Cgroup
from harness.command import Command
from harness.config import rule
from harness.daemon import Daemon

# The clang of Debian 13, which is the newest in Debian 12, too.
CLANG = "clang-19"


@pytest.fixture(name="built", scope="module")
def _built(session_dir: str) -> str:
    """The folder of a build with that clang."""
    directory = os.path.join(session_dir, CLANG)
    done = subprocess.run(
        ["make", "-C", source.TREE, f"BUILD={directory}", f"CLANG={CLANG}", "all"],
        env=source.environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False)
    assert done.returncode == 0 and "warning:" not in done.stdout, done.stdout
    return directory


@pytest.fixture(name="daemon")
def _daemon(built: str, workdir: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    """A daemon of that build."""
    monkeypatch.setattr(build, "HOLDFASTD", os.path.join(built, "holdfastd"))
    monkeypatch.setattr(build, "HOLDFAST", os.path.join(built, "holdfast"))
    bpffs = os.path.join(workdir, "bpf")
    mounts.mount("bpf", bpffs)
    cgroup = Cgroup(f"holdfast-package-{os.getpid()}")
    daemon = Daemon(workdir, cgroup, os.path.join(bpffs, "pins"))
    try:
        yield daemon
        print(daemon.log)
    finally:
        daemon.close()
        mounts.unmount(bpffs)
        cgroup.remove()


def test_loads(daemon: Daemon) -> None:
    """All programs load, and the daemon doesn't report any limits."""
    daemon.start(rule("all"))
    assert daemon.log.splitlines() == ["ready: 1 rule in force"]
    enforcement = Command(daemon.pin_dir).status()["enforcement"]
    assert enforcement["adopts_existing"] is True and enforcement["guard"] is True
