"""Upgrades from the release before this one, and back, while applications connect all the time.

Every connection that is open is watched: one that a rule holds, one with a keepalive of its own, one
that asks for another while it is held, one that an exempting rule matches, and one to a host name.
"""

import os
import threading
import time
from contextlib import contextmanager
from typing import Callable, Iterator

import tell
from harness.cgroup import Cgroup
from harness.options import UNTOUCHED, Settings, held
from harness.sockets import Agent, Socket
from harness.wait import wait_for

import system
from system import DROPINS, UNIT, apt, run
from world import SERVER, World

LOAD, EXEMPT, NAMED = SERVER["host"], "10.9.0.3", "10.9.0.4"
PORT, LOAD_PORT = 33060, 33061
# Both releases know these keys, and give them the same meaning.
RULES = f"""
[defaults]
window = 1h
time = 600s
interval = 60s
probes = 5

[rule net]
destination = 10.9.0.0/16
port = {PORT}, {LOAD_PORT}

[rule exempt]
destination = {EXEMPT}
port = {PORT}
enforce = no

[rule named]
destination = db.example
port = {PORT}
time = 500s
"""
HELD, BY_NAME = held(600, 60, 5), held(500, 60, 5)
OWN = {"keepalive": 1, "time": 60, "interval": 6, "probes": 3}
LATE = {"keepalive": 1, "time": 1000, "interval": 33, "probes": 7}
PLACE = f"/run/systemd/system/{UNIT}.d/place.conf"
ELSEWHERE = "/sys/fs/bpf/holdfast-elsewhere"
LOOK = 0.005  # seconds between two looks at all connections
# One release gives a connection back, and at once the other holds it.
GAP_MAX = 0.5
Step = tuple[str, Callable[[], None]]


class Watcher:
    """Looks at connections all the time, and notes for how long each wasn't as wanted."""

    def __init__(self, look: Callable[[], dict[str, Settings]],
                 wanted: dict[str, Settings]) -> None:
        self.longest = {name: 0.0 for name in wanted}  # in seconds
        self._look, self._wanted = look, wanted
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        well = {name: time.monotonic() for name in self._wanted}
        while not self._ended.wait(LOOK):
            now, settings = time.monotonic(), self._look()
            for name, wanted in self._wanted.items():
                if settings[name] == wanted:
                    well[name] = now
                else:
                    self.longest[name] = max(self.longest[name], time.monotonic() - well[name])

    def end(self) -> None:
        """Stops looking."""
        self._ended.set()
        self._thread.join()


class Releases:
    """All steps, in order. The package isn't installed before the first one, nor after the last."""

    def __init__(self, world: World, earlier: str, version: str) -> None:
        self.earlier, self.version = earlier, version
        for address in (EXEMPT, NAMED):
            world.server.add_address(f"{address}/24", device="host")
        with open("/etc/hosts", "a", encoding="ascii") as file:
            file.write(f"{NAMED} db.example\n")
        self.server = Agent(world.server)
        self.server.listen(PORT)
        self.server.listen(LOAD_PORT).serve_all()
        self.host, self.container, self.load = Agent(None), Agent(world.container), Agent(None)
        self.socks: dict[str, Socket] = {}
        self.wanted: dict[str, Settings] = {}

    def steps(self) -> Iterator[Step]:
        """Yields the steps with their titles."""
        yield f"{self.earlier} holds", self.install
        yield f"{self.earlier} to {self.version} under load: held throughout", self.upgrade
        yield f"{self.version} to {self.earlier} under load: held throughout", self.back
        yield f"{self.earlier} to {self.version}, stopped: all have their own again", self.stop
        yield f"{self.earlier} to {self.version} with a pin dir and a cgroup of its own", self.elsewhere
        yield f"{self.version} after that, purged: not one file", self.purge

    # --- what all of them need ---

    def _open(self) -> None:
        """Opens the connections that last."""
        self.socks = {
            "plain": self.container.connect(SERVER["container"], PORT),
            "of the host": self.host.connect(LOAD, PORT),
            "own": self.host.connect(LOAD, PORT, **OWN),
            "late": self.host.connect(LOAD, PORT),
            "exempt": self.host.connect(EXEMPT, PORT),
            "named": self.host.connect(NAMED, PORT),
        }
        self.wanted = {"plain": HELD, "of the host": HELD, "own": Settings(**OWN), "late": HELD,
                       "exempt": UNTOUCHED, "named": BY_NAME}

    def settings(self) -> dict[str, Settings]:
        """Returns the settings of the connections that last."""
        return {name: sock.settings for name, sock in self.socks.items()}

    def assert_held(self) -> None:
        """Checks that they are as wanted, and that `status` says so."""
        assert self.settings() == self.wanted, self.settings()
        said = {row["cookie"]: (row["rule"], row["verdict"])
                for row in system.status()["sockets"]}
        for name, expected in {"plain": ("net", "held"), "own": ("net", "own"),
                               "late": ("net", "held"), "exempt": ("exempt", "exempt"),
                               "named": ("named", "held")}.items():
            assert said[self.socks[name].info["cookie"]] == expected, (name, said)

    @contextmanager
    def loaded(self, title: str) -> Iterator[None]:
        """Has the host connect all the time for the length of the `with` block, and looks at the
        connections that last. No new one may be without the rule's values; of the others none may
        be so for long."""
        self.load.churn_start(LOAD, LOAD_PORT)
        watcher = Watcher(self.settings, self.wanted)
        try:
            yield
        finally:
            watcher.end()
            seen = self.load.churn_stop()
        longest = max(watcher.longest.values())
        tell.note(f"{title}: {sum(seen.values())} connections were opened meanwhile; of those that "
                  f"lasted, one was seen without the rule's values for at most {longest * 1000:.0f} ms")
        assert set(seen) == {HELD} and sum(seen.values()) > 20, seen
        assert longest < GAP_MAX, watcher.longest
        assert watcher.longest["exempt"] == watcher.longest["own"] == 0, watcher.longest

    # --- the steps ---

    def install(self) -> None:
        """Installs the earlier release, with rules."""
        os.makedirs(DROPINS, exist_ok=True)
        system.write(f"{DROPINS}/50-net.conf", RULES)
        apt("install", f"holdfast={self.earlier}")
        assert run("holdfastd", "--version").split()[-1] == self.earlier
        system.wait_for_daemon()
        self._open()
        wait_for(lambda: self.settings() == self.wanted, "all are held", timeout=20)
        self.assert_held()

    def upgrade(self) -> None:
        """Upgrades it."""
        with self.loaded("upgrade"):
            apt("install", f"holdfast={self.version}")
            assert run("holdfastd", "--version").split()[-1] == self.version
            system.wait_for_daemon()
        self.assert_held()

    def back(self) -> None:
        """Goes back, after an application has asked for something else."""
        self.socks["late"].change(**LATE)
        assert self.socks["late"].settings == HELD
        with self.loaded("back"):
            apt("install", "--allow-downgrades", f"holdfast={self.earlier}")
            system.wait_for_daemon()
        self.assert_held()

    def stop(self) -> None:
        """Upgrades again and stops."""
        with self.loaded("upgrade again"):
            apt("install", f"holdfast={self.version}")
            system.wait_for_daemon()
        self.assert_held()
        run("systemctl", "stop", UNIT)
        assert self.settings() == {name: UNTOUCHED for name in self.socks} | {
            "own": Settings(**OWN), "late": Settings(**LATE)}, self.settings()

    def elsewhere(self) -> None:
        """Upgrades a daemon that holds one control group, and pins elsewhere."""
        apt("remove", "holdfast")
        group = Cgroup("app")
        os.makedirs(os.path.dirname(PLACE), exist_ok=True)
        system.write(PLACE, "[Service]\nExecStart=\nExecStart=/usr/sbin/holdfastd --pin-dir "
                            f"{ELSEWHERE} --cgroup {group.directory}\n")
        run("systemctl", "daemon-reload")
        inside = Agent(None, group)
        try:
            apt("install", f"holdfast={self.earlier}")
            system.wait_for_daemon()
            sock = inside.connect(LOAD, PORT)
            assert sock.settings == HELD and self.socks["plain"].settings == UNTOUCHED
            inside.churn_start(LOAD, LOAD_PORT)
            apt("install", f"holdfast={self.version}")
            system.wait_for_daemon()
            seen = inside.churn_stop()
            assert set(seen) == {HELD} and sum(seen.values()) > 20, seen
            assert sock.settings == HELD and self.socks["plain"].settings == UNTOUCHED
            assert not os.path.exists(system.PIN_DIR)
            run("systemctl", "stop", UNIT)
            assert sock.settings == UNTOUCHED and not os.path.exists(ELSEWHERE)
        finally:
            inside.close()
            group.remove()
            os.unlink(PLACE)
            os.rmdir(os.path.dirname(PLACE))
            run("systemctl", "daemon-reload")

    def purge(self) -> None:
        """Starts it in its default place, and purges the package, which removes rules of the
        administrator's own as well."""
        run("systemctl", "restart", UNIT)
        assert self.socks["plain"].settings == HELD
        apt("purge", "holdfast")
        assert self.socks["plain"].settings == UNTOUCHED
        assert self.socks["late"].settings == Settings(**LATE)
        assert not system.left(), system.left()
