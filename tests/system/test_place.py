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

# What no other start will mend.
EX_UNAVAILABLE = 69

# What a container runtime does before it starts the program, in a mount namespace of its own.
HIDE_CGROUPS = """
    grep ' - cgroup2 ' /proc/self/mountinfo | cut -d ' ' -f 5 | while read -r dir; do
        umount --lazy "$dir" || exit
    done
    mount -t tmpfs tmpfs /run
"""
MOUNT_CGROUP = "mkdir /run/cgroup && mount -t cgroup2 cgroup2 /run/cgroup\n"


@pytest.fixture(name="pin_dir")
def _pin_dir(bpffs: str, cgroup: Cgroup) -> Iterator[str]:
    """A pin dir that must not be made."""
    directory = os.path.join(bpffs, cgroup.path.strip("/"))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


def run(cgroup: Cgroup, workdir: str, pin_dir: str, unshare: list[str], script: str,
        *arguments: str) -> tuple[int, str]:
    """Runs holdfastd to its end in new namespaces. Returns exit status and log."""
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
    """Returns the programs attached to the host's root."""
    return bpf.attached(find_root(), bpf.SOCK_OPS)


@pytest.mark.parametrize("script", [HIDE_CGROUPS, HIDE_CGROUPS + MOUNT_CGROUP],
                         ids=["nothing-mounted", "its-part-mounted"])
def test_cgroup_namespace(cgroup: Cgroup, workdir: str, pin_dir: str, script: str) -> None:
    """In a cgroup namespace, whose root isn't the host's, a start is refused."""
    before = attached()
    after = "\nafter() { status=$?; ls /run; exit $status; }; trap after EXIT\n"
    status, log = run(cgroup, workdir, pin_dir, ["--cgroup"], script + after)
    assert status == EX_UNAVAILABLE, log
    lines = log.splitlines()
    assert "not the host's root" in lines[0] and "--cgroup" in lines[0], log
    assert "holdfast" not in lines[1:], "a mount of its own stays"
    assert not os.path.exists(pin_dir)
    assert attached() == before
    assert not bpf.attached(cgroup.directory, bpf.SOCK_OPS)


def test_no_cgroup_v2(cgroup: Cgroup, workdir: str, pin_dir: str) -> None:
    """A start is refused where no cgroup v2 is mounted and none can be."""
    before = attached()
    script = HIDE_CGROUPS + "mount -o remount,ro /run\n"
    status, log = run(cgroup, workdir, pin_dir, [], script)
    assert status == 1, log
    assert len(log.splitlines()) == 1
    assert "can't start: no cgroup v2 is mounted, and it can't be mounted at /run/" in log, log
    assert not os.path.exists(pin_dir)
    assert attached() == before


def test_too_old(cgroup: Cgroup, workdir: str, pin_dir: str) -> None:
    """A kernel that is too old is told so, and not that it has no BTF."""
    script = ("mount -t tmpfs tmpfs /sys/kernel/btf\n"
              "set -- setarch --uname-2.6 \"$@\"\n")
    status, log = run(cgroup, workdir, pin_dir, [], script, "--cgroup", cgroup.directory)
    assert status == EX_UNAVAILABLE and "is too old: 5.10 is needed" in log, log
    assert not os.path.exists(pin_dir)
    assert not bpf.attached(cgroup.directory, bpf.SOCK_OPS)


def test_not_allowed(cgroup: Cgroup, workdir: str, pin_dir: str) -> None:
    """Whoever lacks a capability is told which."""
    script = 'set -- setpriv --bounding-set -sys_admin "$@"\n'
    status, log = run(cgroup, workdir, pin_dir, [], script, "--cgroup", cgroup.directory)
    assert status == 1 and "no permission: without CAP_SYS_ADMIN" in log, log


def test_a_start_that_fails(cgroup: Cgroup, workdir: str) -> None:
    """A start that fails unmounts the cgroup v2 that it has mounted."""
    pins = os.path.join(workdir, "pins")  # not on a bpffs, which the start checks after the cgroup
    after = "\nafter() { status=$?; find /run; grep cgroup2 /proc/self/mounts; exit $status; }; trap after EXIT\n"
    status, log = run(cgroup, workdir, pins, [], HIDE_CGROUPS + after)
    lines = log.splitlines()
    assert status == 1 and "is not on a bpffs" in lines[0], log
    assert lines[1:] == ["/run"], log


# Only on a machine of the tests' own, because the mounted hierarchy's root is the host's.
@pytest.mark.skipif(not os.environ.get("HF_OWN_MACHINE"), reason="it attaches to the host's root")
@pytest.mark.parametrize("end", ["kill $pid; wait $pid", 'kill -KILL $pid; wait $pid || "$0" --pin-dir "$PINS" release'],
                         ids=["stop", "release"])
def test_cgroup_mount_of_its_own(cgroup: Cgroup, workdir: str, pin_dir: str, end: str) -> None:
    """Where no cgroup v2 is mounted, the daemon mounts one, and its end or `release` unmounts
    it."""
    config = os.path.join(workdir, "holdfast.conf")
    with open(config, "w", encoding="utf-8") as file:
        file.write(rule("all", "192.0.2.1"))
    script = HIDE_CGROUPS + """
        "$@" 2>"$LOG" & pid=$!
        until grep -q ready "$LOG"; do sleep 0.1; done
        test -e /run/holdfast/cgroup/cgroup.procs
    """ + end + "\ntest ! -e /run/holdfast\n! grep cgroup2 /proc/self/mounts\n"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", "set -e\n" + script, build.HOLDFAST, build.HOLDFASTD,
         "--config", config, "--pin-dir", pin_dir],
        env={**os.environ, "LOG": os.path.join(workdir, "log"), "PINS": pin_dir},
        capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done
    assert not attached()


def test_pid_namespace(cgroup: Cgroup, workdir: str, pin_dir: str) -> None:
    """In a PID namespace, where it can't see all processes, a start is refused."""
    status, log = run(cgroup, workdir, pin_dir, ["--pid", "--fork", "--mount-proc", "--kill-child"],
                      "", "--cgroup", cgroup.directory)
    assert status == EX_UNAVAILABLE, log
    assert "PID namespace" in log and "hostPID" in log, log
    assert not os.path.exists(pin_dir)
    assert not bpf.attached(cgroup.directory, bpf.SOCK_OPS)


@pytest.mark.parametrize("verb", ["status", "probe"])
def test_command_in_a_pid_namespace(daemon: Daemon, agent: Agent, listener: Listener,
                                    holdfast: Command, verb: str) -> None:
    """In a PID namespace the command shows what it can see, and says that some may be missing."""
    daemon.start(rule("all"))
    agent.connect("127.0.0.1", listener.port)
    assert "missing" not in holdfast(verb).err
    result = run_to_end("unshare", "--pid", "--fork", build.HOLDFAST, "--pin-dir", daemon.pin_dir,
                        verb)
    assert result.status == 0
    assert "some sockets may be missing" in result.err and "--pid=host" in result.err
