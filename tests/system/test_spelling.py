"""However the control group's folder is spelled, all that is below it is held, and nothing else."""

import os
from typing import Callable

import pytest

from harness.cgroup import Cgroup
from harness.command import Command
from harness.config import PORT, rule
from harness.daemon import Daemon
from harness.netns import Netns
from harness.options import UNTOUCHED, held
from harness.sockets import Agent

RULE, VALUES = rule("all", time="120s", interval="30s", probes=4), held(120, 30, 4)


def slash(directory: str, workdir: str) -> str:
    """Adds a slash at the end."""
    return directory + "/"


def relative(directory: str, workdir: str) -> str:
    """Makes the path relative to the daemon's working folder."""
    return os.path.relpath(directory)


def doubled(directory: str, workdir: str) -> str:
    """Adds `.` and a double slash."""
    return os.path.join(os.path.dirname(directory), ".", "", os.path.basename(directory))


def link(directory: str, workdir: str) -> str:
    """Names the folder by a symbolic link."""
    os.symlink(directory, os.path.join(workdir, "link"))
    return os.path.join(workdir, "link")


@pytest.mark.parametrize("spell", [slash, relative, doubled, link])
def test_existing(daemon: Daemon, make_agent: Callable[..., Agent], netns: Netns, workdir: str,
                  make_cgroup: Callable[..., Cgroup], cgroup: Cgroup, holdfast: Command,
                  spell: Callable[[str, str], str]) -> None:
    """An open connection of a child group is held by a reload, and one outside isn't."""
    inside, outside = make_agent(netns, make_cgroup("below", cgroup)), make_agent(netns, None)
    listener = outside.listen(PORT)
    socks = [agent.connect("127.0.0.1", listener.port) for agent in (inside, outside)]
    daemon.start(rule("other", "192.0.2.1"), "--cgroup", spell(cgroup.directory, workdir))
    daemon.reload(RULE)
    assert [sock.settings for sock in socks] == [VALUES, UNTOUCHED]
    shown = holdfast.socket(socks[0].info["cookie"])
    assert shown["cgroup"] == os.path.join(cgroup.path, "below")
    daemon.stop()
    assert socks[0].settings == UNTOUCHED
