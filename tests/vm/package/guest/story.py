"""The life of the package on one machine, step by step; each raises AssertionError where it fails.

Two MySQL connections last from before it to after it: one of the host, one of a container.
"""

import gzip
import os
import re
import signal
import time
from typing import Callable, Iterator

import tell
from harness import bpf
from harness.options import Settings, held
from harness.wait import wait_for

import system
from system import CONFIG, DROPINS, PIN_DIR, UNIT, apt, run
from sandboxed import METRICS
from world import World

TEXTFILE = f"{METRICS}/holdfast.prom"
CGROUP = "/sys/fs/cgroup"
PYMYSQL = Settings(1, 7200, 75, 9)  # it switches keepalive on, with the kernel's times
DEFAULT = held(200, 20, 5)
# CAP_DAC_READ_SEARCH, CAP_NET_ADMIN, CAP_SYS_PTRACE, CAP_SYS_ADMIN, CAP_BPF
KEPT = {2, 12, 19, 21, 39}
Step = tuple[str, Callable[[], None]]


class Story:
    """All steps of the story, in order."""

    def __init__(self, less: str, version: str) -> None:
        self.less, self.version = less, version
        self.world = World()
        self.kept = self.world.kept
        self.ids = {name: connection.id for name, connection in self.kept.items()}

    def steps(self) -> Iterator[Step]:
        """Yields the steps with their titles."""
        yield "install: enabled, started, open connections held", self.install
        yield "the unit is sandboxed as it says", self.sandbox
        yield "the manual's roll-out, by shell", self.roll_out
        yield "reload, with faults and without", self.reload
        yield "upgrade: held throughout, configuration kept", self.upgrade
        yield "restart: held throughout", self.restart
        yield "kill -9: held throughout, started again", self.crash
        yield "hanging: the watchdog ends it, held throughout", self.hang
        yield "stop and start", self.stop
        yield "remove: given back, no pin, no unit", self.remove
        yield "purge after a crash: given back, not one file", self.purge

    # --- what all of them need ---

    def settings(self) -> set[Settings]:
        """Returns the settings of the lasting connections."""
        return {connection.settings for connection in self.kept.values()}

    def assert_held(self, settings: Settings) -> None:
        """Checks that lasting and new connections have these settings, and `status` calls them
        held."""
        assert self.settings() == {settings}, self.settings()
        new = [self.world.connect(place) for place in self.kept]
        try:
            assert {connection.settings for connection in new} == {settings}
            verdicts = system.verdicts()
            for connection in (*new, *self.kept.values()):
                assert verdicts[connection.local] == "held", verdicts
        finally:
            for connection in new:
                connection.close()

    def assert_released(self) -> None:
        """Checks that everything is as before: nothing is attached, nothing is pinned."""
        assert self.settings() == {PYMYSQL}, self.settings()
        for kind in (bpf.SOCK_OPS, bpf.SETSOCKOPT):
            assert not bpf.attached(CGROUP, kind)
        assert not os.path.exists(PIN_DIR)
        new = self.world.connect()
        assert new.settings == PYMYSQL
        new.close()

    def assert_alive(self) -> None:
        """Checks that the server still knows the lasting connections by their first ids."""
        for name, connection in self.kept.items():
            assert connection.query() == self.ids[name]

    def assert_unchanged(self, since: float) -> None:
        """Checks that the lasting connections have never been seen to change since then."""
        changes = list(self.world.watch.changes(since))
        assert not changes, changes

    # --- the steps ---

    def install(self) -> None:
        """Installs the package from an archive, on a machine that never had it."""
        assert self.settings() == {PYMYSQL}
        run("apt-get", "-q", "update")
        start = time.monotonic()
        apt("install", f"holdfast={self.less}")
        end = time.monotonic()
        first = min(at for at, _, settings in self.world.watch.changes(start)
                    if settings == DEFAULT)
        tell.note(f"from apt install to the first held socket: {first - start:.1f} s of guest "
                  f"time; to the end of apt: {end - start:.1f} s")
        assert run("systemctl", "is-enabled", UNIT).strip() == "enabled"
        assert system.show("ActiveState") == "active"
        assert system.show("UnitFileState") == "enabled"
        said = system.journal()
        assert "ready: 1 rule in force" in said
        # Nothing that only older kernels lack is missing here.
        assert "can't" not in said, said
        self.assert_held(DEFAULT)
        self.assert_alive()

    def sandbox(self) -> None:
        """Checks the sandbox by what the kernel says of the daemon."""
        with open(f"/proc/{system.main_pid()}/status", encoding="ascii") as file:
            fields = dict(line.rstrip("\n").split(":\t", 1) for line in file)
        for name in ("CapEff", "CapPrm"):
            mask = int(fields[name], 16)
            found = {number for number in range(64) if mask >> number & 1}
            assert found == KEPT, (name, found)
        assert fields["CapInh"].strip("0") == fields["CapAmb"].strip("0") == ""
        assert fields["NoNewPrivs"] == "1"
        assert fields["Seccomp"] == "2"
        assert system.show("WatchdogUSec") == "2min"
        assert system.show("Type") == "notify"
        pid = system.main_pid()
        for path in ("/etc/passwd", "/usr/bin/apt", "/proc/sys/kernel/panic",
                     "/sys/kernel/mm/ksm/run", "/sys/fs/cgroup/cgroup.procs"):
            done = run("nsenter", "--mount", f"--target={pid}", "sh", "-c",
                       f"exec 3>> {path}", status=None)
            assert "Read-only" in done, (path, done)
        level = run("systemd-analyze", "security", "--no-pager", UNIT).splitlines()[-1]
        match = re.search(r"(\d+\.\d+)", level)
        assert match and float(match[1]) <= 3.5, level
        tell.note(f"systemd-analyze security, of the running unit: {match[1]}")

    def roll_out(self) -> None:
        """Runs the roll-out script of holdfast.conf(5) from the installed page."""
        with gzip.open("/usr/share/man/man5/holdfast.conf.5.gz", "rt") as file:
            page = file.read()
        blocks = [block.replace("\\\\", "\\").replace("\\&", "") for block in
                  re.findall(r"^\.Bd -literal.*?\n(.*?)^\.Ed", page, re.MULTILINE | re.DOTALL)]
        (script,) = [block for block in blocks if block.startswith("new=")]
        os.makedirs("/tmp/roll-out")
        rule = "[rule orders-db]\ndestination = 10.9.0.0/16\nwindow = 350s\n"
        system.write("/tmp/roll-out/50-orders.conf", rule)
        run("sh", "-c", script, cwd="/tmp/roll-out")
        self.assert_held(held(87, 8, 5))
        # A file with a fault is taken back, and nothing changes.
        pid = system.main_pid()
        system.write("/tmp/roll-out/50-orders.conf", rule + "time = never\n")
        said = run("sh", "-c", script, cwd="/tmp/roll-out", status=1)
        assert "time" in said, said
        assert system.read(f"{DROPINS}/50-orders.conf") == rule
        self.assert_held(held(87, 8, 5))
        assert system.main_pid() == pid

    def reload(self) -> None:
        """Reloads through systemd; a configuration with faults changes nothing."""
        os.unlink(f"{DROPINS}/50-orders.conf")
        run("systemctl", "reload", UNIT)
        self.assert_held(DEFAULT)
        pid = system.main_pid()
        system.write(f"{DROPINS}/50-bad.conf", "[rule bad]\n")
        said = run("systemctl", "reload", UNIT, status=1)
        assert "failed" in said, said
        assert "50-bad.conf:1: error:" in system.journal()
        # The reload has failed, but not the service, which is ready for the next one.
        state = {name: system.show(name) for name in ("ActiveState", "SubState", "Result",
                                                      "ReloadResult")}
        assert state == {"ActiveState": "active", "SubState": "running", "Result": "success",
                         "ReloadResult": "exit-code"}, state
        assert system.main_pid() == pid
        self.assert_held(DEFAULT)
        os.unlink(f"{DROPINS}/50-bad.conf")
        run("systemctl", "reload", UNIT)
        assert system.show("ReloadResult") == "success"
        assert system.main_pid() == pid

    def upgrade(self) -> None:
        """Upgrades to the next version, with an edited configuration."""
        edited = system.read(CONFIG) + "\n[rule edited]\ndestination = 192.0.2.1\n"
        system.write(CONFIG, edited)
        run("holdfast", "reload")
        since, pid = system.status()["enforcement"]["since"], system.main_pid()
        start = time.monotonic()
        apt("install", "holdfast")
        assert run("holdfastd", "--version").split()[-1] == self.version
        assert system.wait_for_daemon() != pid
        self.assert_unchanged(start)
        self.assert_held(DEFAULT)
        self.assert_alive()
        assert system.status()["enforcement"]["since"] == since
        assert system.read(CONFIG) == edited
        assert os.path.exists(f"{CONFIG}.dpkg-dist")
        assert "took over what an earlier holdfastd left" in system.journal()

    def restart(self) -> None:
        """Restarts through systemd."""
        pid, start = system.main_pid(), time.monotonic()
        run("systemctl", "restart", UNIT)
        assert system.main_pid() != pid
        self.assert_unchanged(start)
        self.assert_held(DEFAULT)

    def crash(self) -> None:
        """Kills the daemon: the kernel goes on enforcing until systemd has started the next one."""
        pid, start = system.main_pid(), time.monotonic()
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: system.show("ActiveState") != "active", "systemd has noticed")
        assert system.status()["enforcement"]["daemon_pid"] is None
        self.assert_held(DEFAULT)
        system.wait_for_daemon(pid)
        self.assert_unchanged(start)
        self.assert_held(DEFAULT)
        assert system.show("NRestarts") == "1"

    def hang(self) -> None:
        """Stops the daemon by SIGSTOP: the watchdog replaces it."""
        pid, start = system.main_pid(), time.monotonic()
        os.kill(pid, signal.SIGSTOP)
        system.wait_for_daemon(pid, timeout=300)
        seconds = time.monotonic() - start
        assert "watchdog" in run("journalctl", "-u", UNIT, "--no-pager").lower()
        self.assert_unchanged(start)
        self.assert_held(DEFAULT)
        assert system.show("NRestarts") == "2"
        tell.note(f"a hanging daemon was replaced after {seconds:.0f} s")

    def stop(self) -> None:
        """Stops, which gives everything back, and starts, which holds it again."""
        system.write(os.path.join(DROPINS, "70-metrics.conf"),
                     f"[daemon]\nmetrics-textfile = {TEXTFILE}\n")
        run("holdfast", "reload")
        run("systemctl", "stop", UNIT)
        assert "\nholdfast_attached 0\n" in system.read(TEXTFILE)
        self.assert_released()
        assert "given back" in system.journal()
        run("systemctl", "start", UNIT)
        self.assert_held(DEFAULT)

    def remove(self) -> None:
        """Removes the package while the daemon runs."""
        apt("remove", "holdfast")
        self.assert_released()
        self.assert_alive()
        assert system.show("LoadState") in ("not-found", "masked")
        assert not os.path.exists("/usr/sbin/holdfastd")
        assert not os.path.exists(TEXTFILE)
        assert os.path.exists(CONFIG)

    def purge(self) -> None:
        """Installs again, kills the daemon, and purges before systemd starts it again."""
        apt("install", "holdfast")
        self.assert_held(DEFAULT)
        assert "[rule edited]" in system.read(CONFIG)
        os.makedirs(f"/run/systemd/system/{UNIT}.d")
        system.write(f"/run/systemd/system/{UNIT}.d/slow.conf", "[Service]\nRestartSec=1h\n")
        run("systemctl", "daemon-reload")
        os.kill(system.main_pid(), signal.SIGKILL)
        wait_for(lambda: system.show("ActiveState") != "active", "systemd has noticed")
        self.assert_held(DEFAULT)
        os.unlink(f"/run/systemd/system/{UNIT}.d/slow.conf")
        os.rmdir(f"/run/systemd/system/{UNIT}.d")
        apt("purge", "holdfast")
        assert not os.path.exists(TEXTFILE)
        self.assert_released()
        self.assert_alive()
        assert not system.left(), system.left()
        run("systemctl", "daemon-reload")
        assert system.show("LoadState") == "not-found"
        assert not run("systemctl", "list-unit-files", "--no-legend", UNIT, status=None).strip()
