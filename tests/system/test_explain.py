"""`holdfast explain` names the rule that a connection gets, and the kernel agrees."""

import os

import pytest

from harness import build
from harness.command import Command, Result, run
from harness.config import PORT, rule
from harness.daemon import Daemon
from harness.kernel import needs_ipv6
from harness.netns import Netns
from harness.sockets import Agent, Listener

RULES = (rule("net", "10.20.0.0/16, 2001:db8::/32", time="16s")
         + rule("host", "10.20.2.8", time="32s")
         + rule("lab", "10.20.99.0/24", enforce="no")
         + rule("other-port", "10.20.0.0/16", port=PORT + 1, time="17s"))


def winner(result: Result) -> str | None:
    """Returns the name of the rule that wins, by `explain -J`."""
    assert result.status == 0, result
    return result.json["rule"] and result.json["rule"]["name"]


def test_running_rules(daemon: Daemon, holdfast: Command) -> None:
    """The winning rule is shown with the other rules that match and those that nearly match."""
    daemon.start(RULES)
    result = holdfast("explain", "-J", f"10.20.2.8:{PORT}")
    assert winner(result) == "host"
    assert result.json["rule"]["time"] == 32
    assert [other["rule"] for other in result.json["also"]] == ["net"]
    assert [other["rule"] for other in result.json["near"]] == ["other-port"]
    text = holdfast("explain", f"10.20.2.8:{PORT}").out
    assert text.index("host") < text.index("net")


@pytest.mark.parametrize("target, name", [
    (f"10.20.2.8:{PORT}", "host"),
    (f"10.20.1.1:{PORT}", "net"),
    (f"10.20.1.1:{PORT + 1}", "other-port"),
    (f"10.20.99.7:{PORT}", "lab"),
    (f"[2001:db8::1]:{PORT}", "net"),
    (f"[::ffff:10.20.1.1]:{PORT}", "net"),
    (f"10.21.0.1:{PORT}", None),
    (f"10.20.1.1:{PORT + 2}", None),
    ("10.20.1.1", None),
    ("2001:db8::1", None),
])
def test_file(workdir: str, target: str, name: str | None) -> None:
    """With --config no daemon is asked; a target without a port means MySQL's port 3306."""
    file = os.path.join(workdir, "rules.conf")
    with open(file, "w", encoding="utf-8") as stream:
        stream.write(RULES)
    assert winner(run(build.HOLDFAST, "explain", "-J", "--config", file, target)) == name


@needs_ipv6
def test_the_kernel_agrees(daemon: Daemon, agent: Agent, netns: Netns, listener: Listener,
                           holdfast: Command) -> None:
    """A connection gets the rule that explain names."""
    addresses = ["10.20.2.8", "10.20.1.1", "10.20.99.7", "10.21.0.1", "2001:db8::1"]
    netns.add_address(*addresses)
    daemon.start(RULES)
    times = {"host": 32, "net": 16, "lab": None, None: None}
    for address in addresses:
        target = f"[{address}]:{PORT}" if ":" in address else f"{address}:{PORT}"
        settings = agent.connect(address, listener.port).settings
        explained = winner(holdfast("explain", "-J", target))
        assert (settings.time if settings.keepalive else None) == times[explained], address


def test_nothing_attached(daemon: Daemon, holdfast: Command) -> None:
    """Without running rules the exit status is 3."""
    assert holdfast("explain", f"10.20.2.8:{PORT}").status == 3


def test_bad_file(workdir: str) -> None:
    """A file with errors is not explained, and the exit status is 1."""
    file = os.path.join(workdir, "rules.conf")
    with open(file, "w", encoding="utf-8") as stream:
        stream.write("[rule a]\n")
    result = run(build.HOLDFAST, "explain", "--config", file, "10.20.2.8")
    assert result.status == 1
    assert f"{file}:1: error: " in result.err
