"""The examples in the manual for rolling out a rule, run as they are written."""

import os
import re
import shutil
from typing import Callable, Iterator

import pytest

import source
from harness import build
from harness.cgroup import Cgroup
from harness.config import rule
from harness.netns import Netns
from harness.options import Settings, held
from harness.sockets import Agent, Socket
from rollout import DROPINS, Host

NAME = "50-orders.conf"
PORT = 3306
FIRST, FIRST_VALUES = rule("orders-db", "127.0.0.0/8", PORT, window="350s"), held(87, 8, 5)
SECOND = rule("orders-db", "127.0.0.0/8", PORT, window="240s", interval="8s")
SECOND_VALUES = held(60, 8, 5)
FAULTY = {"alone": rule("orders-db", "127.0.0.0/8", PORT, window="never"),
          "with the others": rule("orders-db", "127.0.0.0/8", PORT)
          + rule("twice", "192.0.2.0/24", PORT)}
OTHER = rule("other", "192.0.2.0/24", PORT)
DEFAULT = held(200, 20, 5)
RollOut = Callable[[Host], tuple[int, str]]


def examples() -> list[str]:
    """Returns the displays of holdfast.conf(5)."""
    with open(os.path.join(source.TREE, "packaging/man/holdfast.conf.5"), encoding="utf-8") as file:
        page = file.read()
    return [block.replace("\\\\", "\\").replace("\\&", "") for block in
            re.findall(r"^\.Bd -literal.*?\n(.*?)^\.Ed", page, re.MULTILINE | re.DOTALL)]


def shell(host: Host) -> tuple[int, str]:
    """Runs the manual's shell script."""
    (script,) = [text for text in examples() if text.startswith("new=")]
    return host.run("sh", "-c", script)


def ansible(host: Host, *options: str) -> tuple[int, str]:
    """Runs the manual's Ansible play on this host alone."""
    (play,) = [text for text in examples() if text.startswith("- hosts:")]
    files = {"play.yaml": play,
             "inventory": "[applications]\nhere ansible_connection=local ansible_become=false "
                          "ansible_python_interpreter=/usr/bin/python3\n"}
    for name, text in files.items():
        with open(os.path.join(host.directory, name), "w", encoding="utf-8") as file:
            file.write(text)
    return host.run("ansible-playbook", "--inventory", "inventory", *options, "play.yaml",
                    ANSIBLE_HOME=os.path.join(host.directory, "ansible"),
                    ANSIBLE_LOCAL_TEMP=os.path.join(host.directory, "local"),
                    ANSIBLE_REMOTE_TEMP=os.path.join(host.directory, "remote"),
                    ANSIBLE_NOCOLOR="1", LC_ALL="C.UTF-8")


@pytest.fixture(name="cgroup")
def _cgroup() -> Iterator[Cgroup]:
    """The control group that the daemon enforces on."""
    made = Cgroup(f"holdfast-package-{os.getpid()}")
    yield made
    made.remove()


@pytest.fixture(name="host")
def _host(workdir: str, cgroup: Cgroup) -> Iterator[Host]:
    """A host with the built-in rule and one more."""
    made = Host(workdir, cgroup)
    try:
        with open(os.path.join(DROPINS, "10-base.conf"), "w", encoding="utf-8") as file:
            file.write(rule("default", "any", PORT) + OTHER)
        assert made.run("holdfast", "reload")[0] == 0
        yield made
        print(made.log)
    finally:
        made.close()


@pytest.fixture(name="sock")
def _sock(cgroup: Cgroup) -> Iterator[Socket]:
    """An application's open connection."""
    netns = Netns()
    agent = Agent(netns, cgroup)
    yield agent.connect("127.0.0.1", agent.listen(PORT).port)
    agent.close()
    netns.close()


def put(host: Host, text: str) -> None:
    """Writes the file to roll out."""
    with open(os.path.join(host.directory, NAME), "w", encoding="utf-8") as file:
        file.write(text)


def settled(host: Host, sock: Socket, text: str | None, settings: Settings) -> None:
    """Checks that exactly this file is there, and that the connection has these settings."""
    files = {name: content for name, content in host.files().items()
             if name != "10-base.conf" and not name.endswith("~")}
    assert files == ({NAME: text} if text else {})
    assert sock.settings == settings


@pytest.mark.parametrize("roll_out", [shell, ansible])
def test_roll_out(host: Host, sock: Socket, roll_out: RollOut) -> None:
    """A new and a changed rule take effect; rules with faults change nothing, in force or on
    disk."""
    assert os.path.dirname(shutil.which("holdfast", path=host.environment["PATH"]) or "") == \
        os.path.dirname(build.HOLDFAST)
    settled(host, sock, None, DEFAULT)
    for faulty in FAULTY.values():
        put(host, faulty)
        status, said = roll_out(host)
        assert status != 0, said
        settled(host, sock, None, DEFAULT)
    put(host, FIRST)
    assert roll_out(host)[0] == 0
    settled(host, sock, FIRST, FIRST_VALUES)
    reloads = host.log.count("reloaded: ")
    for faulty in FAULTY.values():
        put(host, faulty)
        status, said = roll_out(host)
        assert status != 0, said
        settled(host, sock, FIRST, FIRST_VALUES)
    assert host.log.count("reloaded: ") == reloads and "not reloaded" not in host.log
    put(host, SECOND)
    assert roll_out(host)[0] == 0
    settled(host, sock, SECOND, SECOND_VALUES)


def test_ansible_changes_nothing_twice(host: Host, sock: Socket) -> None:
    """A second run of the play changes nothing, and a fault of another file isn't blamed on this
    rule."""
    assert ansible(host, "--syntax-check")[0] == 0
    put(host, FIRST)
    assert ansible(host)[0] == 0
    status, said = ansible(host)
    assert status == 0 and " changed=0 " in said, said
    with open(os.path.join(DROPINS, "20-bad.conf"), "w", encoding="utf-8") as file:
        file.write("nonsense\n")
    assert ansible(host)[0] != 0
    os.unlink(os.path.join(DROPINS, "20-bad.conf"))
    settled(host, sock, FIRST, FIRST_VALUES)
