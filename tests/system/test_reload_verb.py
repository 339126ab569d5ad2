"""`holdfast reload` asks the daemon to reload, waits for the outcome, and prints it."""

import os
import signal
import subprocess
import threading
import time

import pytest

from harness import build
from harness.command import Command, Result, run
from harness.config import rule
from harness.daemon import Daemon
from harness.options import held
from harness.sockets import Agent, Listener
from harness.wait import wait_for

WELL, NOT_WELL, USAGE, NOTHING_ATTACHED, BROKEN = 0, 1, 2, 3, 4
OLD, OLD_VALUES = rule("all", time="120s", interval="30s", probes=4), held(120, 30, 4)
NEW, NEW_VALUES = rule("all", time="60s", interval="20s", probes=3), held(60, 20, 3)


def test_outcome(daemon: Daemon, agent: Agent, listener: Listener, holdfast: Command) -> None:
    """When `reload` exits, the new rules are in force for old and new connections."""
    daemon.start(OLD)
    sock = agent.connect("127.0.0.1", listener.port)
    for config, values in ((NEW, NEW_VALUES), (OLD, OLD_VALUES), (NEW, NEW_VALUES)):
        generation = holdfast.status()["enforcement"]["generation"]
        daemon.configure(config + rule("second", "192.0.2.0/24"))
        result = holdfast("reload")
        assert result.status == WELL, result
        assert "2 rules in force" in result.out and not result.err
        assert result.out.strip().splitlines()[-1] in daemon.log
        assert sock.settings == values
        assert agent.connect("127.0.0.1", listener.port).settings == values
        assert holdfast.status()["enforcement"]["generation"] == generation + 1


def test_bad_configuration(daemon: Daemon, agent: Agent, listener: Listener,
                           holdfast: Command) -> None:
    """With a faulty configuration `reload` prints all faults, exits with 1, changes nothing."""
    daemon.start(OLD)
    daemon.configure(OLD + "[rule b]\nport = 70000\ntime = 2 bananas\n\n[nonsense]\n")
    result = holdfast("reload")
    assert result.status == NOT_WELL, result
    said = [line for line in (result.out + result.err).splitlines()
            if line.startswith(f"{daemon.config_file}:")]
    lines = OLD.count("\n")
    for number in (lines + 2, lines + 3, lines + 5):
        assert any(line.startswith(f"{daemon.config_file}:{number}: error: ") for line in said), (
            number, said)
    for line in (result.out + result.err).splitlines():
        assert line in daemon.log, line
    assert agent.connect("127.0.0.1", listener.port).settings == OLD_VALUES
    assert daemon.running

    daemon.remove_configuration()
    result = holdfast("reload")
    assert result.status == NOT_WELL and daemon.config_file in result.out + result.err
    daemon.configure(NEW)
    assert holdfast("reload").status == WELL
    assert agent.connect("127.0.0.1", listener.port).settings == NEW_VALUES


def test_warnings_are_printed(daemon: Daemon, holdfast: Command) -> None:
    """Warnings are printed, and the reload is done."""
    daemon.start(OLD)
    daemon.configure(rule("all", window="60s", time="50s", interval="5s", probes=5))
    result = holdfast("reload")
    assert result.status == WELL, result
    assert f"{daemon.config_file}:" in result.out + result.err
    assert "warning: " in result.out + result.err
    assert holdfast.status()["rules"][0]["time"] == 50


def test_nobody_to_ask(daemon: Daemon, agent: Agent, listener: Listener,
                       holdfast: Command) -> None:
    """Nothing attached is status 3, and a daemon that is gone status 4."""
    assert holdfast("reload").status == NOTHING_ATTACHED
    daemon.start(OLD)
    daemon.kill()
    daemon.configure(NEW)
    result = holdfast("reload")
    assert result.status == BROKEN, result
    assert "gone" in result.err and not result.out
    assert agent.connect("127.0.0.1", listener.port).settings == OLD_VALUES
    assert holdfast("reload", "surplus").status == USAGE


def test_daemon_that_dies_meanwhile(daemon: Daemon, holdfast: Command) -> None:
    """When the daemon dies meanwhile, `reload` stops waiting and exits with 4."""
    daemon.start(OLD)
    daemon.send_signal(signal.SIGSTOP)
    process = subprocess.Popen([build.HOLDFAST, "--pin-dir", daemon.pin_dir, "reload"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        def asked() -> bool:
            with open(f"/proc/{daemon.pid}/status", encoding="ascii") as file:
                pending = next(line for line in file if line.startswith("ShdPnd"))
            return bool(int(pending.split()[1], 16) & 1 << signal.SIGHUP - 1)

        wait_for(asked, "it has asked the daemon")
        assert process.poll() is None
        daemon.kill()
        out, err = process.communicate(timeout=5)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == BROKEN and not out
    assert len(err.strip().splitlines()) == 1, err


@pytest.mark.parametrize("ahead", [True, False])
def test_in_a_time_namespace(daemon: Daemon, agent: Agent, listener: Listener, holdfast: Command,
                             ahead: bool) -> None:
    """`reload` works from a time namespace whose CLOCK_MONOTONIC differs from the daemon's."""
    seconds = 100_000 if ahead else -int(time.monotonic() / 2)  # the clock can't go below 0
    if not os.path.exists("/proc/self/ns/time"):
        pytest.skip("the kernel has no time namespaces (CONFIG_TIME_NS)")
    elsewhere = ["unshare", "--time", f"--monotonic={seconds}", "--fork"]
    daemon.start(OLD)
    holdfast("reload")
    for config, values in ((NEW, NEW_VALUES), (OLD, OLD_VALUES)):
        daemon.configure(config)
        result = run(*elsewhere, build.HOLDFAST, "--pin-dir", daemon.pin_dir, "reload")
        assert result.status == WELL and "1 rule in force" in result.out, result
        assert agent.connect("127.0.0.1", listener.port).settings == values
    daemon.configure("[rule]\n")
    result = run(*elsewhere, build.HOLDFAST, "--pin-dir", daemon.pin_dir, "reload")
    assert result.status == NOT_WELL, result


@pytest.mark.races
def test_several_at_once(daemon: Daemon, agent: Agent, listener: Listener,
                         holdfast: Command) -> None:
    """Several at once each get the outcome of their own request."""
    daemon.start(OLD)
    daemon.configure(NEW)
    results: list[Result] = []
    threads = [threading.Thread(target=lambda: results.append(holdfast("reload")))
               for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [result.status for result in results] == [WELL] * 6, results
    assert all("1 rule in force" in result.out for result in results)
    assert agent.connect("127.0.0.1", listener.port).settings == NEW_VALUES
    daemon.configure("[rule]\n")
    assert [holdfast("reload").status for _ in range(3)] == [NOT_WELL] * 3


def test_without_permission(daemon: Daemon, holdfast: Command) -> None:
    """Without permission `reload` exits with 4 and one line."""
    daemon.start(OLD)
    result = run("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--reuid=65534",
                 "--clear-groups", build.HOLDFAST, "--pin-dir", daemon.pin_dir, "reload")
    assert result.status == BROKEN, result
    assert len(result.err.strip().splitlines()) == 1
