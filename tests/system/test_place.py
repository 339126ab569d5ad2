"""In a container that shows too little of the host, holdfastd says so and attaches nothing."""

import os
import shutil
import subprocess
from typing import Iterator

import pytest

from harness import bpf, build
from harness.cgroup import Cgroup, find_root
from harness.command import Command, run as run_to_end
from harness.config import rule
from harness.daemon import Daemon
from harness.process import spawn
from harness.sockets import Agent, Listener

# What a container runtime does before it starts the program; the mounts are this one's own.
HIDE_CGROUPS = """
    grep ' - cgroup2 ' /proc/self/mountinfo | cut -d ' ' -f 5 | while read -r dir; do
        umount --lazy "$dir" || exit
    done
    mount -t tmpfs tmpfs /run
"""
MOUNT_CGROUP = "mkdir /run/cgroup && mount -t cgroup2 cgroup2 /run/cgroup\n"


@pytest.fixture(name="pin_dir")
def _pin_dir(bpffs: str, cgroup: Cgroup) -> Iterator[str]:
    """That must not come to be."""
    directory = os.path.join(bpffs, cgroup.path.strip("/"))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


def run(cgroup: Cgroup, workdir: str, pin_dir: str, unshare: list[str], script: str,
        *arguments: str) -> tuple[int, str]:
    """Runs holdfastd to its end in namespaces of its own; exit status and log."""
    config = os.path.join(workdir, "holdfast.conf")
    with open(config, "w", encoding="utf-8") as file:
        file.write(rule("all"))
    process = spawn(
        ["unshare", "--mount", *unshare, "sh", "-c", f'set -e\n{script}\n"$@"', "sh",
         build.HOLDFASTD, "--config", config, "--pin-dir", pin_dir, *arguments],
        cgroup=cgroup, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True)
    try:
        log, _ = process.communicate(timeout=10)
    except subprocess.TimeoutExpired:
        cgroup.remove()
        log, _ = process.communicate()
        raise AssertionError(f"it runs:\n{log}") from None
    return process.returncode, log


def attached() -> list[int]:
    """What is attached to the host's root."""
    return bpf.attached(find_root(), bpf.SOCK_OPS)


@pytest.mark.parametrize("script", [HIDE_CGROUPS, HIDE_CGROUPS + MOUNT_CGROUP],
                         ids=["nothing-mounted", "its-part-mounted"])
def test_cgroup_namespace(cgroup: Cgroup, workdir: str, pin_dir: str, script: str) -> None:
    """The root of its own cgroup namespace isn't the host's."""
    before = attached()
    after = "\nafter() { status=$?; ls /run; exit $status; }; trap after EXIT\n"
    status, log = run(cgroup, workdir, pin_dir, ["--cgroup"], script + after)
    assert status == 1, log
    lines = log.splitlines()
    assert "not the host's root" in lines[0] and "--cgroup" in lines[0], log
    assert "holdfast" not in lines[1:], "a mount of its own stays"
    assert not os.path.exists(pin_dir)
    assert attached() == before
    assert not bpf.attached(cgroup.directory, bpf.SOCK_OPS)


def test_no_cgroup_v2(cgroup: Cgroup, workdir: str, pin_dir: str) -> None:
    """None is mounted, and there is no place to mount one."""
    before = attached()
    script = HIDE_CGROUPS + "mount -o remount,ro /run\n"
    status, log = run(cgroup, workdir, pin_dir, [], script)
    assert status == 1, log
    assert len(log.splitlines()) == 1
    assert "can't start: no cgroup v2 is mounted, and it can't be mounted at /run/" in log, log
    assert not os.path.exists(pin_dir)
    assert attached() == before


def test_pid_namespace(cgroup: Cgroup, workdir: str, pin_dir: str) -> None:
    """Processes that it can't see have sockets that it can't hold."""
    status, log = run(cgroup, workdir, pin_dir, ["--pid", "--fork", "--mount-proc", "--kill-child"],
                      "", "--cgroup", cgroup.directory)
    assert status == 1, log
    assert "PID namespace" in log and "hostPID" in log, log
    assert not os.path.exists(pin_dir)
    assert not bpf.attached(cgroup.directory, bpf.SOCK_OPS)


@pytest.mark.parametrize("verb", ["status", "probe"])
def test_command_in_a_pid_namespace(daemon: Daemon, agent: Agent, listener: Listener,
                                    holdfast: Command, verb: str) -> None:
    """It shows what it can see, and says that it isn't all."""
    daemon.start(rule("all"))
    agent.connect("127.0.0.1", listener.port)
    assert "missing" not in holdfast(verb).err
    result = run_to_end("unshare", "--pid", "--fork", build.HOLDFAST, "--pin-dir", daemon.pin_dir,
                        verb)
    assert result.status == 0
    assert "some sockets may be missing" in result.err and "--pid=host" in result.err
