"""Options of the two programs, and starts with a faulty configuration."""

import os

import pytest

from harness import build
from harness.command import Command, run
from harness.config import rule
from harness.daemon import Daemon
from harness.options import UNTOUCHED
from harness.sockets import Agent, Listener

EX_CONFIG = 78
USAGE = 2

BAD = """\
# A comment, so that lines count from here.
[daemon]
gaurd = yes

[rule a]
destination = 10.20.0.1/16
time = 2h

[rule b]
port = 70000
"""


def test_bad_configuration(daemon: Daemon, agent: Agent, listener: Listener,
                           holdfast: Command) -> None:
    """A start with a faulty configuration reports all faults, exits with 78, attaches nothing."""
    daemon.configure(BAD)
    daemon.launch()
    assert daemon.wait() == EX_CONFIG
    for line in (3, 6, 10):
        assert f"{daemon.config_file}:{line}: error: " in daemon.log
    assert not os.path.exists(daemon.pin_dir)
    assert holdfast("status").status == 3
    assert agent.connect("127.0.0.1", listener.port).settings == UNTOUCHED


def test_missing_configuration(daemon: Daemon) -> None:
    """A configuration file that is named but missing is an error."""
    daemon.launch()
    assert daemon.wait() == EX_CONFIG
    assert daemon.config_file in daemon.log


def test_bad_configuration_keeps_what_is_attached(daemon: Daemon, agent: Agent,
                                                  listener: Listener) -> None:
    """A start that fails by its configuration leaves alone what an earlier daemon has left."""
    daemon.start(rule("all", time="120s"))
    daemon.kill()
    daemon.configure(BAD)
    daemon.launch()
    assert daemon.wait() == EX_CONFIG
    assert agent.connect("127.0.0.1", listener.port).settings.time == 120


def test_warnings_do_not_stop_it(daemon: Daemon, agent: Agent, listener: Listener) -> None:
    """A start with a configuration that only has warnings prints them and goes on."""
    daemon.start(rule("all", window="60s", time="50s", interval="5s", probes=5))
    assert f"{daemon.config_file}:" in daemon.log
    assert "warning: " in daemon.log
    assert agent.connect("127.0.0.1", listener.port).settings.time == 50


@pytest.mark.parametrize("program", [build.HOLDFASTD, build.HOLDFAST])
def test_version_and_help(program: str) -> None:
    """--version and --help print to standard output and exit with 0."""
    version = run(program, "--version")
    assert version.status == 0
    assert os.path.basename(program) in version.out
    usage = run(program, "--help")
    assert usage.status == 0
    assert "--pin-dir" in usage.out
    assert not version.err + usage.err


def test_help_names_everything() -> None:
    """--help names every option of the daemon and every verb of the command."""
    usage = run(build.HOLDFASTD, "--help").out
    for option in ("--config", "--cgroup", "--pin-dir", "--persist", "--verbose", "--version"):
        assert option in usage
    usage = run(build.HOLDFAST, "--help").out
    for command in ("status", "check", "explain", "release"):
        assert command in usage


@pytest.mark.parametrize("arguments", [
    ["--no-such-option"], ["--config"], ["surplus"],
])
def test_daemon_usage(daemon: Daemon, arguments: list[str]) -> None:
    """The daemon refuses wrong options with exit status 2, names them, and doesn't start."""
    daemon.configure(rule("all"))
    daemon.launch(*arguments)
    assert daemon.wait() == USAGE
    assert arguments[0].lstrip("-") in daemon.log
    assert not os.path.exists(daemon.pin_dir)


@pytest.mark.parametrize("arguments", [
    [], ["no-such-command"], ["--no-such-option"], ["status", "--no-such-option"],
    ["status", "-o", "NO-SUCH-COLUMN"], ["explain"], ["explain", "no address"],
    ["explain", "10.0.0.1:port"], ["explain", "10.0.0.1", "10.0.0.2"], ["check", "a", "b"],
    ["release", "surplus"],
])
def test_command_usage(holdfast: Command, arguments: list[str]) -> None:
    """The command refuses wrong arguments with exit status 2 and a message on standard error
    only."""
    result = holdfast(*arguments)
    assert result.status == USAGE
    assert result.err
    assert not result.out
