"""Standard streams that are closed, full, or not read by anyone any more."""

import os
import subprocess

import pytest

from harness import build
from harness.command import Command
from harness.config import rule
from harness.daemon import Daemon
from harness.kernel import without_limits
from harness.options import held
from harness.sockets import Agent, Listener

RULE, VALUES = rule("all", time="120s", interval="30s", probes=4), held(120, 30, 4)
OTHER_VALUES = held(60, 30, 4)


def standard_files(pid: int) -> set[str]:
    """Returns what the first three descriptors of a process are."""
    return {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in range(3)}


def test_closed(daemon: Daemon, agent: Agent, listener: Listener, workdir: str) -> None:
    """With closed standard streams no file that the daemon opens takes the log's descriptor."""
    textfile = os.path.join(workdir, "h.prom")
    config = RULE + f"[daemon]\nmetrics-textfile = {textfile}\n"
    daemon.configure(config)
    daemon.launch(through=["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"])
    daemon.wait_ready()
    sock = agent.connect("127.0.0.1", listener.port)
    assert standard_files(daemon.pid) == {"/dev/null"}
    daemon.reload(config.replace("120s", "60s"))
    assert sock.settings == OTHER_VALUES
    with open(textfile, encoding="utf-8") as file:
        assert "reloaded" not in file.read()


def test_nobody_reads(daemon: Daemon, agent: Agent, listener: Listener, workdir: str) -> None:
    """When the reader of its log has gone, the daemon goes on."""
    fifo = os.path.join(workdir, "log")
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    daemon.configure(RULE)
    daemon.launch(through=["sh", "-c", 'exec "$@" 2>"$0"', fifo])
    daemon.wait_ready()
    assert b"ready" in os.read(reader, 4096)
    os.close(reader)
    daemon.reload(RULE.replace("120s", "60s"))
    assert agent.connect("127.0.0.1", listener.port).settings == OTHER_VALUES


def test_journal(daemon: Daemon) -> None:
    """Where standard error is the journal, each line begins with its priority."""
    daemon.configure(RULE)
    script = 'JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2) exec "$@"'
    daemon.launch(through=["sh", "-c", script, "sh"])
    daemon.wait_ready()
    daemon.reload("[rule x]\n")
    daemon.stop()
    limits = [line for line in daemon.log.splitlines() if "can't set options from BPF" in line]
    assert all(line.startswith("<5>") for line in limits), limits
    lines = without_limits(daemon.log)
    assert lines[0] == "<6>ready: 1 rule in force" and lines[-1].startswith("<6>detached")
    assert [line[:3] for line in lines[1:-1]] == ["<3>", "<3>"], lines


def test_files_may_not_grow(daemon: Daemon, agent: Agent, listener: Listener,
                            workdir: str) -> None:
    """A limit of file sizes ends log and metrics, and the daemon goes on."""
    textfile = os.path.join(workdir, "h.prom")
    config = RULE + f"[daemon]\nmetrics-textfile = {textfile}\n"
    daemon.configure(config)
    daemon.launch(through=["prlimit", "--fsize=100", "--"])
    daemon.wait_ready()
    assert agent.connect("127.0.0.1", listener.port).settings == VALUES
    daemon.reload(config.replace("120s", "60s"))
    assert agent.connect("127.0.0.1", listener.port).settings == OTHER_VALUES
    assert not os.path.exists(textfile), "half of it is none"
    assert "can't be written" in daemon.log
    daemon.stop()


@pytest.mark.parametrize("arguments", [("status",), ("status", "-J"), ("explain", "192.0.2.1"),
                                       ("explain", "-J", "192.0.2.1"), ("metrics",), ("probe",),
                                       ("probe", "-J"), ("reload",), ("--version",),
                                       ("check",), ("check", "-J"), ("release",)],
                         ids=" ".join)
@pytest.mark.parametrize("way", ["full", "closed"])
def test_nowhere_to_write(daemon: Daemon, agent: Agent, listener: Listener, holdfast: Command,
                          arguments: tuple[str, ...], way: str) -> None:
    """Output that can't be written completely ends a verb with status 4 and one message."""
    daemon.start(RULE)
    agent.connect("127.0.0.1", listener.port)
    if arguments[0] == "check":
        arguments += (daemon.config_file,)
    if arguments[0] == "release":
        daemon.kill()
    argv = [build.HOLDFAST, "--pin-dir", daemon.pin_dir, *arguments]
    redirect = ">/dev/full" if way == "full" else ">&-"
    done = subprocess.run(["sh", "-c", f'exec "$@" {redirect}', "sh", *argv],
                          stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert done.returncode == 4, done
    assert done.stderr.count("holdfast: can't write to standard output") == 1, done.stderr
    assert done.stderr.count("\n") == 1 + ("can't set options" in done.stderr), done.stderr
