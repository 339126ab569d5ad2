"""`holdfast report`: all that a bug report needs, and nobody's addresses and names."""

import json
import os
import pty
import re
import stat
import subprocess

import pytest

from harness import build
from harness.cgroup import Cgroup
from harness.command import Command, run
from harness.config import PORT, rule
from harness.daemon import Daemon
from harness.netns import Netns
from harness.process import spawn
from harness.sockets import Agent

PARTS = ["versions", "kernel", "faults of the configuration (holdfast check)",
         "configuration (holdfast check -J)", "status (holdfast status -J)",
         "metrics (holdfast metrics)", "BPF programs at control groups",
         "log (journalctl -u holdfast)"]
PEER = "10.61.3.7"
NAME = "payroll-db"
RULES = rule(NAME, f"{PEER}, payroll.invalid") + rule("lab.9", "2001:db8:61::/48", enforce="no")


def parts(text: str) -> dict[str, str]:
    """Returns the parts of a report by their titles."""
    found = re.split(r"^== (.*)\n\n", text, flags=re.MULTILINE)
    return dict(zip(found[1::2], found[2::2]))


@pytest.fixture(name="held", autouse=True)
def _held(daemon: Daemon, agent: Agent, netns: Netns) -> None:
    """A held connection, with names that nobody else has."""
    netns.add_address(PEER)
    agent.listen(PORT)
    daemon.start(RULES)
    agent.connect(PEER, PORT)


def test_parts(holdfast: Command, cgroup: Cgroup) -> None:
    """It has everything, and neither addresses nor names; the same are called the same."""
    result = holdfast("report")
    assert (result.status, result.err) == (0, "")
    found = parts(result.out)
    assert list(found) == PARTS
    for word in (PEER, NAME, "payroll", "2001:db8:61", "lab.9", "python", os.path.basename(cgroup.path)):
        assert word not in result.out, word
    status = json.loads(found[PARTS[4]])
    assert [r["name"] for r in status["rules"]] == ["rule-2", "rule-3"]  # rule-1: the built-in one
    [sock] = status["sockets"]
    assert sock["rule"] == "rule-2" and sock["peer"] == sock["local"]
    [address, host] = status["rules"][0]["destination"]
    assert (address, host) == (sock["peer"], "host-1")
    assert sock["cgroup"].startswith("cgroup-")
    assert [p["command"] for p in sock["processes"]] == ["command-1"]
    assert 'holdfast_sockets{rule="rule-2",verdict="held"} 1' in found[PARTS[5]]
    programs = found[PARTS[6]].splitlines()
    assert any(re.fullmatch(r"cgroup_sock_ops: hf_sockops, program \d+ at cgroup-\d+", line)
               for line in programs), programs
    with open("/proc/sys/kernel/osrelease", encoding="ascii") as file:
        assert file.read().strip() in found["versions"]
    assert "what it can't do: " in found["kernel"]


def test_plain(holdfast: Command, cgroup: Cgroup) -> None:
    """With --plain everything is as the other commands show it."""
    result = holdfast("report", "--plain")
    found = parts(result.out)
    shown, status = json.loads(found[PARTS[4]]), holdfast.status()
    assert [s["peer"] for s in shown["sockets"]] == [PEER]
    assert shown["rules"] == status["rules"]
    assert json.loads(found[PARTS[3]]) == json.loads(run(build.HOLDFAST, "check", "-J").out)
    assert f'rule="{NAME}"' in found[PARTS[5]]
    assert re.search(rf"hf_sockops, program \d+ at .*{re.escape(os.path.basename(cgroup.path))}\n",
                     found[PARTS[6]])


def test_file(holdfast: Command, workdir: str) -> None:
    """The file has what was shown, and is its owner's; a link is replaced, not followed."""
    path, other = os.path.join(workdir, "report.txt"), os.path.join(workdir, "other")
    with open(other, "w", encoding="ascii") as file:
        file.write("other")
    os.symlink(other, path)
    result = holdfast("report", "-o", path)
    assert result.status == 0
    with open(path, encoding="utf-8") as file:
        assert file.read() == result.out
    assert stat.S_IMODE(os.lstat(path).st_mode) == 0o600
    with open(other, encoding="ascii") as file:
        assert file.read() == "other"


def test_name_alone(holdfast: Command, workdir: str) -> None:
    """A file's name without a folder is one in the current folder; a failure is told."""
    done = subprocess.run([build.HOLDFAST, "--pin-dir", holdfast.pin_dir, "report", "-o", "r"],
                          cwd=workdir, stdout=subprocess.PIPE, check=True, text=True)
    with open(os.path.join(workdir, "r"), encoding="utf-8") as file:
        assert file.read() == done.stdout
    result = holdfast("report", "-o", os.path.join(workdir, "nowhere", "r"))
    assert result.status == 4 and "nowhere" in result.err


@pytest.mark.parametrize("answer, written", [("n", False), ("", False), ("y", True)])
def test_asks(holdfast: Command, workdir: str, answer: str, written: bool) -> None:
    """On a terminal it asks before it writes what it has shown."""
    path = os.path.join(workdir, "report.txt")
    ours, theirs = pty.openpty()
    process = spawn([build.HOLDFAST, "--pin-dir", holdfast.pin_dir, "report", "-o", path],
                    stdin=theirs, stdout=theirs)
    os.close(theirs)
    said = b""
    while b"[y/N] " not in said:
        said += os.read(ours, 65536)
    assert b"== log" in said and not os.path.exists(path)
    os.write(ours, f"{answer}\n".encode())
    assert process.wait(10) == 0
    os.close(ours)
    assert os.path.exists(path) == written


def test_nothing_attached(daemon: Daemon, holdfast: Command) -> None:
    """Without a daemon it says so in its place, and has the rest."""
    daemon.stop()
    result = holdfast("report")
    found = parts(result.out)
    assert result.status == 0 and list(found) == PARTS
    assert found[PARTS[4]].startswith("nothing is attached (")
    assert "holdfast_attached 0" in found[PARTS[5]]


def test_usage(holdfast: Command) -> None:
    """What follows the options is refused."""
    assert holdfast("report", "x").status == 2


def test_no_permission(holdfast: Command) -> None:
    """An ordinary user gets exit status 4 and a message."""
    done = subprocess.run(["setpriv", "--reuid=65534", "--clear-groups", build.HOLDFAST, "report"],
                          capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (4, "") and "no permission" in done.stderr
    assert holdfast("report").status == 0


