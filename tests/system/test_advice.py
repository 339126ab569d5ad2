"""The command's advice where nothing is attached: one line on standard error, and exit status 3."""

import os
import re
import subprocess
from typing import Callable

import pytest

from harness import bpf, build
from harness.command import Command, Result, run
from harness.config import rule
from harness.daemon import Daemon
from harness.kernel import without_limits
from harness.options import held
from harness.sockets import Agent, Listener
from harness.wait import wait_for

RULE, VALUES = rule("all", time="120s", interval="30s", probes=4), held(120, 30, 4)
VERBS = [("status",), ("status", "-J"), ("metrics",), ("reload",), ("probe",),
         ("explain", "192.0.2.1"), ("release",)]
ASKING = VERBS[:-1]

# Runs a command where it sees no other process and none of this machine's pins.
ALONE = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c",
         'mount -t bpf bpf /sys/fs/bpf; exec "$@"', "sh"]


def line(result: Result) -> str:
    """Returns the only line on standard error, apart from the one about this kernel's limits."""
    said, = without_limits(result.err)
    assert said.startswith("holdfast: nothing is attached"), result
    assert result.status == 3, result
    return said


@pytest.mark.parametrize("verb", VERBS, ids="-".join)
def test_no_daemon(verb: tuple[str, ...]) -> None:
    """Without any daemon the usual pin dir is named, and starting the service is advised."""
    said = line(run(*ALONE, build.HOLDFAST, *verb))
    assert "/sys/fs/bpf/holdfast" in said
    assert ("start the daemon (systemctl start holdfast)" in said) == (verb[0] != "release"), said
    assert ("--config" in said) == (verb[0] == "explain"), said


def test_no_daemon_elsewhere(workdir: str) -> None:
    """With another --pin-dir the advice is a daemon with this --pin-dir, not the service."""
    said = line(run(*ALONE, build.HOLDFAST, "--pin-dir", workdir, "status"))
    assert "start the daemon with this --pin-dir" in said and "systemctl" not in said


@pytest.mark.parametrize("verb", VERBS, ids="-".join)
def test_another_pin_dir(daemon: Daemon, bpffs: str, verb: tuple[str, ...]) -> None:
    """A daemon that runs with another pin dir is named, with that pin dir."""
    daemon.start(RULE)

    def has_it() -> bool:
        said = line(Command(os.path.join(bpffs, "no-such"))(*verb))
        found = re.search(r"holdfastd, process (\d+), has another pin dir: --pin-dir (\S+?)(;|$)", said)
        assert found, said
        try:
            with open(f"/proc/{found[1]}/cmdline", encoding="utf-8") as file:
                return found[2] in file.read().split("\0")
        except FileNotFoundError:
            return False  # a daemon of this machine that has ended

    wait_for(has_it, "it is named")


@pytest.mark.parametrize("spelling", ["{}", "{}/", "{}//"])
def test_a_start_that_waits(daemon: Daemon, agent: Agent, listener: Listener,
                            spelling: str) -> None:
    """A daemon that waits for its configuration, before it has its pin dir, is named as
    starting."""
    os.mkfifo(daemon.config_file)
    daemon.launch()
    holdfast = Command(spelling.format(daemon.pin_dir))
    wait_for(lambda: "has only begun" in holdfast("status").err, "it is found")
    for verb in ASKING:
        said = line(holdfast(*verb))
        assert f"holdfastd, process {daemon.pid}, has only begun; try again" in said
    result = holdfast("release")
    assert result.status == 4 and f"stop the daemon instead: process {daemon.pid}" in result.err
    daemon.configure(RULE)
    daemon.wait_ready()
    assert agent.connect("127.0.0.1", listener.port).settings == VALUES


def test_of_several(make_daemon: Callable[..., Daemon]) -> None:
    """The daemon with this pin dir is named among several that start."""
    daemons = [make_daemon() for _ in range(3)]
    for daemon in daemons:
        os.mkfifo(daemon.config_file)
        daemon.launch()
    for daemon in daemons:
        holdfast = Command(daemon.pin_dir)
        wait_for(lambda d=daemon, h=holdfast: f"holdfastd, process {d.pid}, has only begun"
                 in h("status").err, "it is found")
        daemon.kill()


# Locks its pin dir, like a daemon at its first start until it has loaded its programs.
HOLDER = """
import fcntl, os, sys, time
with open("/proc/self/comm", "w") as file:
    file.write("holdfastd")
fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX)
print("locked", flush=True)
time.sleep(60)
"""


def test_a_start_that_loads(bpffs: str) -> None:
    """A daemon that has locked its pin dir but pinned nothing yet is named as starting."""
    directory = os.path.join(bpffs, "loading")
    os.mkdir(directory, 0o700)
    with subprocess.Popen(["/usr/bin/python3", "-c", HOLDER, directory], stdout=subprocess.PIPE,
                          text=True) as holder:
        try:
            assert holder.stdout and holder.stdout.readline() == "locked\n"
            for verb in ASKING:
                assert f"holdfastd, process {holder.pid}, has only begun" in line(
                    Command(directory)(*verb))
            result = Command(directory)("release")
            assert result.status == 4 and "stop the daemon instead" in result.err
        finally:
            holder.kill()
    os.rmdir(directory)


def test_a_bpffs_elsewhere(daemon: Daemon, session_dir: str) -> None:
    """The daemon's bpffs may be in another mount namespace; the advice is to enter it with
    nsenter."""
    directory = os.path.join(session_dir, "elsewhere")
    os.mkdir(directory)
    daemon.pin_dir = os.path.join(directory, "pins")
    daemon.configure(RULE)
    daemon.launch(through=["unshare", "--mount", "sh", "-c",
                           f'mount -t bpf bpf {directory}; exec "$@"', "sh"])
    daemon.wait_ready()
    said = line(Command(daemon.pin_dir)("status"))
    found = re.search(r"\(nsenter (--mount --target \d+)\)$", said)
    assert found and f"process {daemon.pid}," in said, said
    inside = run("nsenter", *found[1].split(), build.HOLDFAST, "--pin-dir", daemon.pin_dir, "status")
    assert inside.status == 0, inside
    daemon.stop()
    os.rmdir(directory)


@pytest.mark.parametrize("running", [True, False], ids=["running", "gone"])
def test_detached(daemon: Daemon, holdfast: Command, running: bool) -> None:
    """Where the pinned link is detached, the advice is to restart the daemon, or to start it."""
    daemon.start("[daemon]\nreconcile = 1h\n" + RULE)
    if not running:
        daemon.kill()
    bpf.detach(os.path.join(daemon.layout, "hf_sockops"))
    for verb in (("status",), ("explain", "192.0.2.1")):
        said = line(holdfast(*verb))
        assert ("restart the daemon" if running else "start the daemon") in said
        assert ("restart" in said) == running and "systemctl" not in said


def test_gone(daemon: Daemon, holdfast: Command) -> None:
    """Where all is attached and the daemon has gone, status 0 comes with the advice to start it."""
    daemon.start(RULE)
    daemon.kill()
    result = holdfast("status")
    assert result.status == 0 and "the daemon is gone" in result.err and "start it" in result.err
    assert "start it" in holdfast("reload").err
