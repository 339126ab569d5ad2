"""`metrics-textfile` is written in one step when something has happened, and says so at the end."""

import os
import re
import stat
import subprocess
import threading
import time
from typing import Callable, Iterator

import pytest

from harness import build, mounts, wait
from harness.command import Command
from harness.config import daemon as daemon_section, rule
from harness.daemon import Daemon
from harness.metrics import Metrics
from harness.options import held
from harness.remote import TESTS_DIR
from harness.sockets import Agent, Listener

RULE = rule("db", time="120s", interval="30s", probes=4, window="350s")
VALUES = held(120, 30, 4)
UNIT = os.path.join(TESTS_DIR, "..", "..", "packaging", "systemd", "holdfast.service")
NOT_WELL = 1
CANT = "the metrics can't be written"


def wait_for(condition: Callable[[], object], what: str) -> None:
    """Waits longer than the daemon waits between two files, which depends on what one costs.

    That time is less than a minute, after which a file is written without any reason.
    """
    wait.wait_for(condition, what, timeout=30, step=0.1)


class Textfile:
    """A metrics-textfile in a folder of its own."""

    def __init__(self, folder: str, name: str = "holdfast.prom") -> None:
        self.folder = folder
        self.path = os.path.join(folder, name)

    def config(self, **keys: object) -> str:
        """Returns a configuration with this textfile and RULE."""
        return daemon_section(metrics_textfile=self.path, **keys) + RULE

    @property
    def there(self) -> bool:
        """Whether there is anything at its path."""
        return os.path.lexists(self.path)

    @property
    def text(self) -> str:
        """The text of the file."""
        with open(self.path, encoding="utf-8") as file:
            return file.read()

    @property
    def metrics(self) -> Metrics:
        """The parsed file."""
        return Metrics(self.text)


@pytest.fixture
def textfile(workdir: str) -> Textfile:
    """A textfile in a folder for node_exporter."""
    folder = os.path.join(workdir, "node-exporter")
    os.mkdir(folder)
    return Textfile(folder)


@pytest.fixture
def small_folder(workdir: str) -> Iterator[str]:
    """A folder on a file system with room for one page."""
    folder = os.path.join(workdir, "small")
    os.mkdir(folder)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", folder], check=True)
    yield folder
    mounts.unmount(folder)


def test_same_as_the_command(daemon: Daemon, agent: Agent, listener: Listener, holdfast: Command,
                             textfile: Textfile) -> None:
    """The file has exactly what `holdfast metrics` prints, is readable by all, and alone in its
    folder."""
    agent.connect("127.0.0.1", listener.port)
    daemon.start(textfile.config() + rule("more", "192.0.2.1"))
    agent.connect("127.0.0.1", listener.port, keepalive=1, time=20)
    daemon.reload()
    wait_for(lambda: textfile.text == holdfast("metrics").out, "both say the same")
    metrics = textfile.metrics
    assert metrics.nonzero("sockets") == {
        'rule="db",verdict="held"': 1, 'rule="db",verdict="own"': 1}
    assert metrics["daemon_up"] == metrics["attached"] == 1
    mode = os.lstat(textfile.path).st_mode
    assert stat.S_ISREG(mode) and stat.S_IMODE(mode) == 0o644
    assert os.listdir(textfile.folder) == ["holdfast.prom"]


def test_written_when_something_happens(daemon: Daemon, agent: Agent, listener: Listener,
                                        textfile: Textfile) -> None:
    """The file is written at the start, after a pass, a reload, and the end of a connection."""
    daemon.start(textfile.config(reconcile="1d"))
    assert textfile.metrics["rules"] == 1
    socks = [agent.connect("127.0.0.1", listener.port) for _ in range(3)]
    time.sleep(0.8)  # a close right after connect() would count as the application's wish
    listener.accept().close()
    wanted = 'rule="db",cause="server"'
    wait_for(lambda: textfile.metrics["ends_total", wanted] == 1, "the end is told")
    assert textfile.metrics.nonzero("sockets") == {
        'rule="db",verdict="held"': 2, 'rule="db",verdict="closed"': 1}

    daemon.reload("[nonsense]\n")
    wait_for(lambda: textfile.metrics["last_reload_successful"] == 0, "the reload is told")
    daemon.reload(textfile.config(reconcile="1s"))
    wait_for(lambda: textfile.metrics["last_reload_successful"] == 1, "the reload is told")
    for sock in socks:
        sock.close()
    wait_for(lambda: not textfile.metrics.nonzero("sockets"), "the next pass tells of it")
    assert daemon.log.count("metrics") == 0


def test_at_least_once_a_minute(daemon: Daemon, agent: Agent, listener: Listener,
                                textfile: Textfile) -> None:
    """New connections show in the file within a minute, without any event."""
    daemon.start(textfile.config(reconcile="1d"))
    agent.connect("127.0.0.1", listener.port)
    wait.wait_for(lambda: textfile.metrics["sockets", 'rule="db",verdict="held"'] == 1,
                  "the file is written without a reason", timeout=70, step=0.5)


def test_not_too_often(daemon: Daemon, textfile: Textfile) -> None:
    """Ten reloads in a moment cause few files, and the last one has all ten."""
    daemon.start(textfile.config())
    seen, began = set(), time.monotonic()
    for _ in range(10):
        daemon.reload()
        seen.add(os.stat(textfile.path).st_ino)
    wait_for(lambda: textfile.metrics["reloads_total", 'outcome="applied"'] == 10,
             "the last reload is told")
    seen.add(os.stat(textfile.path).st_ino)
    assert len(seen) <= 2 + (time.monotonic() - began)


@pytest.mark.races
def test_nobody_sees_a_part(daemon: Daemon, agent: Agent, listener: Listener,
                            textfile: Textfile) -> None:
    """A reader at any time gets a complete file."""
    daemon.start(textfile.config(reconcile="1s"))
    faults: list[str] = []
    seen: set[str] = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            try:
                text = textfile.text
                assert text.startswith("# HELP holdfast_build_info ")
                Metrics(text)["network_namespaces"]  # the last metric
                seen.add(text)
            except (OSError, AssertionError, KeyError) as error:
                faults.append(repr(error))

    reader = threading.Thread(target=read)
    reader.start()

    def three_read() -> bool:
        agent.connect("127.0.0.1", listener.port)
        return bool(faults) or len(seen) >= 3

    wait_for(three_read, "three of them")
    done.set()
    reader.join()
    assert not faults


def test_stop_says_so(daemon: Daemon, textfile: Textfile) -> None:
    """After a stop the file says that nothing is attached, and nothing else. A start with a file of
    another name removes it, and no other."""
    other = Textfile(textfile.folder, "other.prom")
    with open(other.path, "w", encoding="utf-8") as file:
        file.write("other 1\n")
    daemon.start(textfile.config())
    daemon.stop()
    assert re.findall(r"^holdfast_.*", textfile.text, re.MULTILINE) == ["holdfast_attached 0"]
    assert sorted(os.listdir(textfile.folder)) == ["holdfast.prom", "other.prom"]
    with open(os.path.join(textfile.folder, "text"), "w", encoding="utf-8") as file:
        file.write(textfile.text)
    with open(os.path.join(textfile.folder, "longer.prom"), "w", encoding="utf-8") as file:
        file.write(textfile.text + "# more\n")
    new = Textfile(textfile.folder, "new.prom")
    daemon.start(new.config())
    assert sorted(os.listdir(textfile.folder)) == ["longer.prom", "new.prom", "other.prom", "text"]
    assert new.metrics["attached"] == 1
    daemon.reload(RULE)
    assert not new.there


def test_persist_says_that_the_daemon_is_gone(daemon: Daemon, textfile: Textfile) -> None:
    """After a stop with --persist the file says that all is attached and no daemon runs."""
    daemon.start(textfile.config(), "--persist")
    daemon.stop()
    metrics = textfile.metrics
    assert (metrics["attached"], metrics["daemon_up"]) == (1, 0)
    daemon.start()
    wait_for(lambda: textfile.metrics["daemon_up"] == 1, "the next one goes on with it")
    assert textfile.metrics["daemon_starts_total"] == 2


def test_killed(daemon: Daemon, agent: Agent, listener: Listener, textfile: Textfile,
                holdfast: Command) -> None:
    """A kill leaves the file as it was, the next start goes on with it, and `release` removes
    it."""
    daemon.start(textfile.config())
    before = os.stat(textfile.path)
    daemon.kill()
    agent.connect("127.0.0.1", listener.port)
    assert os.stat(textfile.path) == before
    daemon.start()
    wait_for(lambda: textfile.metrics["holds_total", 'rule="db",way="connect"'] == 1,
             "the next one goes on with it")
    assert textfile.metrics["daemon_starts_total"] == 2
    daemon.kill()
    assert holdfast("release").status == 0
    assert os.listdir(textfile.folder) == []


@pytest.mark.parametrize("restart", [False, True], ids=["reload", "restart"])
def test_another_path(daemon: Daemon, textfile: Textfile, restart: bool) -> None:
    """When the path changes, by a reload or a restart, the old file is removed."""
    def change(config: str) -> None:
        if restart:
            daemon.kill()
            daemon.start(config)
        else:
            daemon.reload(config)

    other = Textfile(textfile.folder, "other.prom")
    daemon.start(textfile.config())
    assert textfile.there and not other.there
    change(other.config())
    assert other.metrics["rules"] == 1
    assert os.listdir(textfile.folder) == ["other.prom"]
    change(RULE)
    assert os.listdir(textfile.folder) == []
    change(daemon_section(metrics_textfile="off") + RULE)
    change(textfile.config())
    assert os.listdir(textfile.folder) == ["holdfast.prom"]


def test_bad_path(daemon: Daemon, textfile: Textfile) -> None:
    """A wrong path is an error with file and line, and the old file is written on."""
    daemon.start(textfile.config())
    for path, said in (("holdfast.prom", "no absolute path"),
                       (textfile.path + ".txt", "ends in .prom")):
        daemon.reload(daemon_section(metrics_textfile=path) + RULE)
        assert re.search(rf"^{re.escape(daemon.config_file)}:2: error: metrics-textfile: .*{said}",
                         daemon.log, re.MULTILINE)
    wait_for(lambda: textfile.metrics["reloads_total", 'outcome="rejected"'] == 2,
             "it is written on")


def test_link_is_replaced(daemon: Daemon, workdir: str, textfile: Textfile) -> None:
    """A symbolic link at the path, or at the new file's, is replaced, and its target stays."""
    victim = os.path.join(workdir, "victim")
    with open(victim, "w", encoding="utf-8") as file:
        file.write("mine\n")
    os.symlink(victim, textfile.path)
    os.symlink(victim, os.path.join(textfile.folder, ".holdfast.prom.new"))
    daemon.start(textfile.config())
    assert textfile.metrics["attached"] == 1 and not os.path.islink(textfile.path)
    os.unlink(textfile.path)
    os.symlink(victim, textfile.path)
    daemon.stop()
    assert os.listdir(textfile.folder) == ["holdfast.prom"] and not os.path.islink(textfile.path)
    with open(victim, encoding="utf-8") as file:
        assert file.read() == "mine\n"


def test_folder_that_is_missing(daemon: Daemon, agent: Agent, listener: Listener,
                                textfile: Textfile, holdfast: Command) -> None:
    """While the folder is missing, that is logged once and tried again, and all else goes on."""
    os.rmdir(textfile.folder)
    daemon.start(textfile.config(reconcile="1s"))
    assert agent.connect("127.0.0.1", listener.port).settings == VALUES
    passes = "reconcile_duration_seconds_count"

    def count() -> float:
        return Metrics(holdfast("metrics").out)[passes]

    first = count()
    wait_for(lambda: count() >= first + 3, "three passes more")
    assert daemon.log.count(CANT) == 1
    assert f"{textfile.folder}/: No such file or directory" in daemon.log
    os.mkdir(textfile.folder)
    wait_for(lambda: textfile.there, "it is written once it can be")
    assert textfile.metrics["sockets", 'rule="db",verdict="held"'] == 1
    wait_for(lambda: f"the metrics are written to {textfile.path} again" in daemon.log,
             "that is told")


def test_reload_says_that_it_can_not_be_written(daemon: Daemon, textfile: Textfile,
                                                holdfast: Command) -> None:
    """`holdfast reload` prints that the file can't be written, and the rules are in force."""
    daemon.start(RULE)
    os.mkdir(textfile.path)
    daemon.configure(textfile.config() + rule("more", "192.0.2.1"))
    result = holdfast("reload")
    assert result.status == 0
    assert f"{CANT}: {textfile.path}: Is a directory" in result.out + result.err
    assert len(holdfast.status()["rules"]) == 2
    daemon.stop()
    assert os.listdir(textfile.folder) == ["holdfast.prom"]  # somebody else's folder


def test_full_file_system(daemon: Daemon, small_folder: str, holdfast: Command) -> None:
    """On a full file system the old file stays complete, and no part of a new one is left."""
    textfile = Textfile(small_folder)
    with open(textfile.path, "w", encoding="utf-8") as file:
        file.write("old 1\n")
    daemon.start(textfile.config())
    assert f"{CANT}: " in daemon.log and "No space left on device" in daemon.log
    assert textfile.text == "old 1\n"
    assert os.listdir(small_folder) == ["holdfast.prom"]
    assert holdfast("metrics").status == 0
    daemon.stop()
    assert textfile.text == "old 1\n"  # not a file of holdfast's


def test_with_the_units_capabilities(daemon: Daemon, textfile: Textfile, workdir: str,
                                     monkeypatch: pytest.MonkeyPatch) -> None:
    """The unit's capabilities and umask are enough to write the file into a folder of root's."""
    with open(UNIT, encoding="utf-8") as file:
        unit = file.read()
    match = re.search(r"^CapabilityBoundingSet=(.+)$", unit, re.MULTILINE)
    umask = re.search(r"^UMask=(\d+)$", unit, re.MULTILINE)
    assert match and umask
    capabilities = ",".join("+" + name.removeprefix("CAP_").lower() for name in match[1].split())
    wrapper = os.path.join(workdir, "confined")
    with open(wrapper, "w", encoding="utf-8") as file:
        file.write(f"#!/bin/sh\numask {umask[1]}\nexec setpriv --bounding-set -all,{capabilities} "
                   f'--inh-caps -all -- {build.HOLDFASTD} "$@"\n')
    os.chmod(wrapper, 0o755)
    monkeypatch.setattr(build, "HOLDFASTD", wrapper)
    daemon.start(textfile.config())
    with open(f"/proc/{daemon.pid}/status", encoding="ascii") as file:
        effective = re.search(r"^CapEff:\t(\w+)$", file.read(), re.MULTILINE)
    assert effective and 0 < int(effective[1], 16).bit_count() <= len(match[1].split())
    assert stat.S_IMODE(os.stat(textfile.path).st_mode) == 0o644
    assert textfile.metrics["attached"] == 1
    daemon.stop()
    assert textfile.metrics["attached"] == 0
