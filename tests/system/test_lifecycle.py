"""Start, stop, crash and take-over of holdfastd, and `holdfast release`."""

import os
import shutil
import signal
import subprocess
import time
from typing import Callable

import pytest

from harness import bpf, build, recorder
from harness.cgroup import Cgroup
from harness.command import Command
from harness.config import PORT, daemon as daemon_section, rule
from harness.daemon import Daemon
from harness.netns import Netns
from harness.options import UNTOUCHED, Settings, held
from harness.sockets import Agent, Listener
from harness.wait import wait_for

OLD = rule("all", time="120s", interval="30s", probes=4)
OLD_VALUES = held(120, 30, 4)
NEW = rule("all", time="60s", interval="20s", probes=3)
NEW_VALUES = held(60, 20, 3)

NOTHING_ATTACHED = 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_restores(daemon: Daemon, agent: Agent, listener: Listener, holdfast: Command,
                       number: int) -> None:
    """A stop gives every socket its settings back, removes all pins, and leaves new sockets
    alone."""
    own = {"keepalive": 1, "time": 5000, "interval": 50, "probes": 8}
    socks = [agent.connect("127.0.0.1", listener.port),
             agent.connect("127.0.0.1", listener.port, **own)]
    daemon.start(OLD)
    socks += [agent.connect("127.0.0.1", listener.port),
              agent.connect("127.0.0.1", listener.port, **own)]
    assert [s.settings for s in socks] == [OLD_VALUES] * 4
    daemon.stop(number)
    assert [s.settings for s in socks] == [UNTOUCHED, UNTOUCHED._replace(**own)] * 2
    assert not os.path.exists(daemon.pin_dir)
    assert agent.connect("127.0.0.1", listener.port).settings == UNTOUCHED
    assert holdfast("status").status == NOTHING_ATTACHED


def test_sysctls(daemon: Daemon, agent: Agent, listener: Listener, netns: Netns) -> None:
    """The namespace's keepalive sysctls are as they were, while it runs and afterwards."""
    def sysctls() -> list[str]:
        return [netns.read_sysctl(f"ipv4/tcp_keepalive_{name}")
                for name in ("time", "intvl", "probes")]

    before = sysctls()
    daemon.start(OLD)
    assert agent.connect("127.0.0.1", listener.port).settings == OLD_VALUES
    assert sysctls() == before
    daemon.stop()
    assert sysctls() == before


def test_watchdog(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon sends WATCHDOG=1 as often as the service manager asks for."""
    monkeypatch.setenv("WATCHDOG_USEC", "500000")
    daemon.start(OLD)
    for _ in range(3):
        daemon.wait_told("WATCHDOG=1")
    assert "WATCHDOG" not in daemon.log


def test_watchdog_of_no_use(daemon: Daemon, agent: Agent, listener: Listener,
                            monkeypatch: pytest.MonkeyPatch) -> None:
    """An invalid WATCHDOG_USEC doesn't keep the daemon from holding connections."""
    monkeypatch.setenv("WATCHDOG_USEC", "soon")
    daemon.start(OLD)
    assert agent.connect("127.0.0.1", listener.port).settings == OLD_VALUES
    assert daemon.log.count("WATCHDOG_USEC") == 1


def test_pin_dir_that_was_there(daemon: Daemon) -> None:
    """An empty folder on a bpffs is accepted as pin dir, and nothing is left in it after the
    stop."""
    os.mkdir(daemon.pin_dir)
    daemon.start(OLD)
    assert os.listdir(daemon.pin_dir)
    daemon.stop()
    assert not os.path.exists(daemon.pin_dir) or not os.listdir(daemon.pin_dir)


def test_cgroup_that_is_removed(make_daemon, make_agent, make_cgroup, cgroup: Cgroup,
                                netns: Netns, listener: Listener) -> None:
    """When the control group is removed, the hook goes with it: the daemon says so and ends, and
    the next one attaches to the control group that has the name then."""
    gone = make_cgroup("gone", cgroup)
    daemon = make_daemon(gone)
    holdfast = Command(daemon.pin_dir)
    daemon.start(daemon_section(reconcile="1s") + OLD)
    os.rmdir(gone.directory)
    os.mkdir(gone.directory)
    agent = make_agent(netns, gone)
    sock = agent.connect("127.0.0.1", listener.port)
    assert daemon.wait() == 1
    said = [line for line in daemon.log.splitlines() if "aren't held any more" in line]
    assert len(said) == 1 and gone.directory in said[0] and "removed" in said[0], daemon.log
    result = holdfast("status")
    assert result.status == NOTHING_ATTACHED and "nothing is attached" in result.err
    assert holdfast.status()["enforcement"]["attached"] is False
    assert sock.settings == UNTOUCHED
    daemon.start(OLD)
    assert holdfast.status()["enforcement"]["attached"] is True
    assert sock.settings == agent.connect("127.0.0.1", listener.port).settings == OLD_VALUES
    daemon.stop()
    assert sock.settings == UNTOUCHED


def test_pins_that_are_removed(daemon: Daemon, cgroup: Cgroup, agent: Agent,
                               listener: Listener) -> None:
    """When the pins are removed, on some kernels a moment later, the daemon says so and ends."""
    daemon.start(daemon_section(reconcile="1s") + OLD)
    folder = daemon.layout
    shutil.rmtree(folder)
    wait_for(lambda: not bpf.attached(cgroup.directory, bpf.SOCK_OPS), "nothing is attached")
    assert agent.connect("127.0.0.1", listener.port).settings == UNTOUCHED
    assert daemon.wait() == 1
    said = [line for line in daemon.log.splitlines() if "aren't held any more" in line]
    assert len(said) == 1 and folder in said[0] and "removed" in said[0], daemon.log
    daemon.start(OLD)
    assert agent.connect("127.0.0.1", listener.port).settings == OLD_VALUES


def test_persist(daemon: Daemon, agent: Agent, listener: Listener, holdfast: Command) -> None:
    """--persist leaves everything attached after a stop, until `release`."""
    daemon.start(OLD, "--persist")
    sock = agent.connect("127.0.0.1", listener.port)
    daemon.stop()
    assert sock.settings == OLD_VALUES
    later = agent.connect("127.0.0.1", listener.port)
    assert later.settings == OLD_VALUES
    enforcement = holdfast.status()["enforcement"]
    assert enforcement["attached"] is True
    assert enforcement["daemon_pid"] is None
    assert holdfast("release").status == 0
    assert [s.settings for s in (sock, later)] == [UNTOUCHED] * 2
    assert not os.path.exists(daemon.pin_dir)


def test_killed_daemon(daemon: Daemon, agent: Agent, listener: Listener,
                       holdfast: Command) -> None:
    """After a kill the kernel goes on enforcing, and `status` says that the daemon is gone."""
    daemon.start(OLD)
    assert holdfast.status()["enforcement"]["daemon_pid"] == daemon.pid
    sock = agent.connect("127.0.0.1", listener.port)
    daemon.kill()
    later = agent.connect("127.0.0.1", listener.port)
    assert [s.settings for s in (sock, later)] == [OLD_VALUES] * 2
    result = holdfast("status", "-J")
    assert result.status == 0
    assert result.json["enforcement"]["attached"] is True
    assert result.json["enforcement"]["daemon_pid"] is None
    assert len(result.json["sockets"]) == 2
    table = holdfast("status")
    assert "gone" in table.out + table.err


@pytest.mark.parametrize("application", [{}, {"keepalive": 1, "time": 5000}])
def test_release_after_a_kill(daemon: Daemon, agent: Agent, listener: Listener,
                              holdfast: Command, application: dict[str, int]) -> None:
    """`release` gives back and removes what a killed daemon has left."""
    before = agent.connect("127.0.0.1", listener.port, **application)
    daemon.start(OLD)
    after = agent.connect("127.0.0.1", listener.port, **application)
    daemon.kill()
    assert holdfast("release").status == 0
    assert [s.settings for s in (before, after)] == [UNTOUCHED._replace(**application)] * 2
    assert not os.path.exists(daemon.pin_dir)
    assert agent.connect("127.0.0.1", listener.port).settings == UNTOUCHED


@pytest.mark.parametrize("application, settings", [
    ({}, OLD_VALUES), ({"keepalive": 1, "time": 15}, UNTOUCHED._replace(keepalive=1, time=15))],
    ids=["held", "own"])
def test_release_of_what_is_hidden(daemon: Daemon, make_netns: Callable[[], Netns],
                                   make_agent: Callable[..., Agent], cgroup: Cgroup,
                                   holdfast: Command, application: dict[str, int],
                                   settings: Settings) -> None:
    """`release` reports a connection that no process has open, in a namespace without a process, as
    not reached; it may have the rule's values, and one with a keepalive of its own has them not."""
    agent = make_agent(make_netns(), cgroup)
    listener = agent.listen(PORT)
    daemon.start(OLD)
    sock = agent.connect("127.0.0.1", listener.port, **application)
    agent.park(sock, listener)
    daemon.kill()
    result = holdfast("release")
    assert result.status == 1, result
    assert "1 connection could not be reached and may keep the rules' values" in result.err, result
    assert not os.path.exists(daemon.pin_dir)
    sock, _ = agent.unpark()
    assert sock.settings == settings


# Runs in a mount namespace of its own, so that the host's bpffs stays.
OWN_BPFFS = """
set -e
while mountpoint -q /sys/fs/bpf; do umount --lazy /sys/fs/bpf; done
"$@" 2>"$LOG" & pid=$!
tries=0
until grep -q ready "$LOG"; do
    sleep 0.1
    tries=$((tries + 1))
    test $tries -lt 900
done
test -e /sys/fs/bpf/holdfast/layout-*/hf_sockops
"""
STOP = "kill $pid\nwait $pid\n"
RELEASE = 'kill -KILL $pid\nwait $pid || "$HOLDFAST" release\n'


@pytest.mark.parametrize("end", [STOP, RELEASE], ids=["stop", "release"])
def test_bpffs_of_its_own(agent: Agent, listener: Listener, cgroup: Cgroup, workdir: str,
                          end: str) -> None:
    """Where no bpffs is mounted, the daemon mounts one, and its end or `release` unmounts it."""
    config = os.path.join(workdir, "holdfast.conf")
    with open(config, "w", encoding="utf-8") as file:
        file.write(OLD)
    sock = agent.connect("127.0.0.1", listener.port)
    environment = {**os.environ, "LOG": os.path.join(workdir, "log"), "HOLDFAST": build.HOLDFAST}
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", OWN_BPFFS + end + "! mountpoint -q /sys/fs/bpf\n", "sh",
         *recorder.unit_limits(), build.HOLDFASTD, "--config", config, "--cgroup",
         cgroup.directory],
        capture_output=True, text=True, env=environment, timeout=180, check=False)
    assert done.returncode == 0, done
    assert sock.settings == UNTOUCHED
    assert not bpf.attached(cgroup.directory, bpf.SOCK_OPS)


def test_bpffs_that_ends_with_a_container(agent: Agent, listener: Listener, cgroup: Cgroup,
                                          workdir: str) -> None:
    """A bpffs that the daemon mounts in a mount namespace of its own goes with that. It says so,
    and with --persist, which couldn't keep its word, it doesn't start."""
    try:
        os.stat("/proc/1/ns/mnt")
    except PermissionError:
        pytest.skip("this machine doesn't show PID 1's mount namespace")
    config, log = os.path.join(workdir, "holdfast.conf"), os.path.join(workdir, "log")
    with open(config, "w", encoding="utf-8") as file:
        file.write(OLD)
    sock = agent.connect("127.0.0.1", listener.port)
    daemon = [*recorder.unit_limits(), build.HOLDFASTD, "--config", config, "--cgroup",
              cgroup.directory]
    script = OWN_BPFFS.split('"$@"', 1)[0]
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script + '"$@"; status=$?\n'
         "! mountpoint -q /sys/fs/bpf && exit $status", "sh", *daemon, "--persist"],
        capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == os.EX_UNAVAILABLE, done
    assert "can't start: no bpffs was mounted at /sys/fs/bpf" in done.stderr
    assert sock.settings == UNTOUCHED
    assert not bpf.attached(cgroup.directory, bpf.SOCK_OPS)

    subprocess.run(["unshare", "--mount", "sh", "-c", OWN_BPFFS + STOP, "sh", *daemon],
                   capture_output=True, env={**os.environ, "LOG": log}, timeout=180, check=True)
    with open(log, encoding="utf-8") as file:
        assert "\nno bpffs was mounted at /sys/fs/bpf" in file.read()


def test_release_with_nothing_to_release(daemon: Daemon, holdfast: Command) -> None:
    """Without anything to release the exit status is 3."""
    assert holdfast("release").status == NOTHING_ATTACHED
    assert not os.path.exists(daemon.pin_dir)


def test_release_beside_a_running_daemon(daemon: Daemon, agent: Agent, listener: Listener,
                                         holdfast: Command) -> None:
    """`release` is refused while a daemon runs, naming the process, and changes nothing."""
    daemon.start(OLD)
    result = holdfast("release")
    assert result.status not in (0, NOTHING_ATTACHED)
    assert str(daemon.pid) in result.err
    assert agent.connect("127.0.0.1", listener.port).settings == OLD_VALUES
    assert daemon.running


@pytest.mark.parametrize("end", ["kill", "persist"])
def test_next_start_takes_over(daemon: Daemon, agent: Agent, listener: Listener,
                               holdfast: Command, end: str) -> None:
    """A take-over applies the new rules, and the stop restores what was before the first daemon."""
    application = {"keepalive": 1, "time": 5000}
    early = agent.connect("127.0.0.1", listener.port)
    daemon.start(OLD, *(["--persist"] if end == "persist" else []))
    socks = [early, agent.connect("127.0.0.1", listener.port, **application)]
    if end == "persist":
        daemon.stop()
    else:
        daemon.kill()
    socks.append(agent.connect("127.0.0.1", listener.port))
    daemon.start(NEW)
    assert [s.settings for s in socks] == [NEW_VALUES] * 3
    assert holdfast.status()["enforcement"]["daemon_pid"] == daemon.pid
    daemon.stop()
    assert [s.settings for s in socks] == [
        UNTOUCHED, UNTOUCHED._replace(**application), UNTOUCHED]
    assert not os.path.exists(daemon.pin_dir)


@pytest.mark.races
def test_takeover_without_a_gap(daemon: Daemon, agent: Agent,
                            listener: Listener) -> None:
    """While daemons are killed and started, every new connection is held."""
    listener.serve_all()
    daemon.start(OLD)
    agent.churn_start("127.0.0.1", PORT)
    for _ in range(2):
        daemon.kill()
        time.sleep(0.05)
        daemon.start(OLD)
    seen = agent.churn_stop()
    assert set(seen) == {OLD_VALUES}, seen


def test_second_daemon_is_refused(daemon: Daemon, make_daemon, agent: Agent, listener: Listener,
                                  holdfast: Command) -> None:
    """A second daemon on a pin dir fails, naming the first one's process, and changes nothing."""
    daemon.start(OLD)
    second = make_daemon(pin_dir=daemon.pin_dir)
    second.configure(NEW)
    second.launch()
    assert second.wait() not in (0, 78)
    assert str(daemon.pid) in second.log
    assert agent.connect("127.0.0.1", listener.port).settings == OLD_VALUES
    assert holdfast.status()["enforcement"]["daemon_pid"] == daemon.pid
    assert daemon.running


def test_pin_dir_that_is_no_bpffs(make_daemon, workdir: str, agent: Agent,
                                  listener: Listener) -> None:
    """A start with a pin dir that is not on a bpffs fails with a reason, and attaches nothing."""
    daemon = make_daemon(pin_dir=os.path.join(workdir, "pins"))
    daemon.configure(OLD)
    daemon.launch()
    assert daemon.wait() != 0
    assert "bpf" in daemon.log
    assert agent.connect("127.0.0.1", listener.port).settings == UNTOUCHED


def test_cgroup_that_is_not_there(make_daemon, make_cgroup) -> None:
    """A start on a control group that doesn't exist fails with a reason, and leaves no pins."""
    gone = make_cgroup()
    gone.remove()
    daemon = make_daemon(gone)
    daemon.configure(OLD)
    daemon.launch()
    assert daemon.wait() != 0
    assert gone.directory in daemon.log
    assert not os.path.exists(daemon.pin_dir)
