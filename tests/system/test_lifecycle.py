"""Start, end, crash and take-over of holdfastd, and `holdfast release`."""

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
from harness.options import UNTOUCHED, held
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
    """Every socket gets its settings back, nothing stays pinned, new ones are left alone."""
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


def test_watchdog(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """It tells the service manager that it is alive, as often as that wants to hear it."""
    monkeypatch.setenv("WATCHDOG_USEC", "500000")
    daemon.start(OLD)
    for _ in range(3):
        daemon.wait_told("WATCHDOG=1")
    assert "WATCHDOG" not in daemon.log


def test_watchdog_of_no_use(daemon: Daemon, agent: Agent, listener: Listener,
                            monkeypatch: pytest.MonkeyPatch) -> None:
    """What the environment says of a watchdog is no reason not to hold connections."""
    monkeypatch.setenv("WATCHDOG_USEC", "soon")
    daemon.start(OLD)
    assert agent.connect("127.0.0.1", listener.port).settings == OLD_VALUES
    assert daemon.log.count("WATCHDOG_USEC") == 1


def test_pin_dir_that_was_there(daemon: Daemon) -> None:
    """An empty folder on the bpffs will do; nothing is left in it afterwards."""
    os.mkdir(daemon.pin_dir)
    daemon.start(OLD)
    assert os.listdir(daemon.pin_dir)
    daemon.stop()
    assert not os.path.exists(daemon.pin_dir) or not os.listdir(daemon.pin_dir)


def test_cgroup_that_is_removed(make_daemon, make_agent, make_cgroup, cgroup: Cgroup,
                                netns: Netns, listener: Listener) -> None:
    """The hook goes with it: the daemon says so and ends, as in a crash; the next one attaches to
    the control group that has the name by then."""
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
    """With them goes what is attached, on some kernels a moment later: the same."""
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
    """--persist leaves everything attached, until `release`."""
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
    """The kernel goes on, and `status` says that the daemon has gone."""
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
    """`release` does what SIGTERM would have done."""
    before = agent.connect("127.0.0.1", listener.port, **application)
    daemon.start(OLD)
    after = agent.connect("127.0.0.1", listener.port, **application)
    daemon.kill()
    assert holdfast("release").status == 0
    assert [s.settings for s in (before, after)] == [UNTOUCHED._replace(**application)] * 2
    assert not os.path.exists(daemon.pin_dir)
    assert agent.connect("127.0.0.1", listener.port).settings == UNTOUCHED


def test_release_of_what_is_hidden(daemon: Daemon, make_netns: Callable[[], Netns],
                                   make_agent: Callable[..., Agent], cgroup: Cgroup,
                                   holdfast: Command) -> None:
    """A connection that lies in a queue, and its namespace too: it is told that it stays held."""
    agent = make_agent(make_netns(), cgroup)
    listener = agent.listen(PORT)
    daemon.start(OLD)
    sock = agent.connect("127.0.0.1", listener.port)
    agent.park(sock, listener)
    daemon.kill()
    result = holdfast("release")
    assert result.status == 1 and "1 connection could not be reached" in result.err, result
    assert not os.path.exists(daemon.pin_dir)
    sock, _ = agent.unpark()
    assert sock.settings == OLD_VALUES


# In a mount namespace: the host's bpffs stays.
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
    """Where none is mounted it mounts one, and takes it away again."""
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


def test_release_with_nothing_to_release(daemon: Daemon, holdfast: Command) -> None:
    """It says so by its exit status."""
    assert holdfast("release").status == NOTHING_ATTACHED
    assert not os.path.exists(daemon.pin_dir)


def test_release_beside_a_running_daemon(daemon: Daemon, agent: Agent, listener: Listener,
                                         holdfast: Command) -> None:
    """It is refused, naming the process, and nothing changes."""
    daemon.start(OLD)
    result = holdfast("release")
    assert result.status not in (0, NOTHING_ATTACHED)
    assert str(daemon.pid) in result.err
    assert agent.connect("127.0.0.1", listener.port).settings == OLD_VALUES
    assert daemon.running


@pytest.mark.parametrize("end", ["kill", "persist"])
def test_next_start_takes_over(daemon: Daemon, agent: Agent, listener: Listener,
                               holdfast: Command, end: str) -> None:
    """Rules are the new ones, and what sockets had before the first daemon isn't forgotten."""
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
    """While daemons come and go, no new connection goes without."""
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
    """It says who has the pin dir, and leaves everything as it is."""
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
    """The start fails with a reason, and attaches nothing."""
    daemon = make_daemon(pin_dir=os.path.join(workdir, "pins"))
    daemon.configure(OLD)
    daemon.launch()
    assert daemon.wait() != 0
    assert "bpf" in daemon.log
    assert agent.connect("127.0.0.1", listener.port).settings == UNTOUCHED


def test_cgroup_that_is_not_there(make_daemon, make_cgroup) -> None:
    """The start fails with a reason, and leaves no pins."""
    gone = make_cgroup()
    gone.remove()
    daemon = make_daemon(gone)
    daemon.configure(OLD)
    daemon.launch()
    assert daemon.wait() != 0
    assert gone.directory in daemon.log
    assert not os.path.exists(daemon.pin_dir)
