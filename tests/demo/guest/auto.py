"""The story of a path that forgets after two minutes, which nobody knows, inside the machine.

Two pools of one application are used in the same way through one night. One is as it comes, the
other has holdfast's default rule. Tells by the same lines as main.py.
"""

import os
import re
import time
from typing import Any

from harness import mariadb
from harness.cgroup import Cgroup
from harness.config import rule
from harness.daemon import Daemon
from harness.netns import Netns

from pool import Pool, Use
from story import DATABASE
from tell_host import tell, verdict
from world import PORT, SERVER, Firewall

WINDOW, NIGHT = 120, 6 * 3600
SIZE = 6
PAUSE = (30, 1500)  # seconds between two uses of a connection
STEP = 60           # seconds by which events are told late at most
LOST, HELD = "lost", "held"
CONFIG = rule("default", "any", PORT)  # the built-in one
SHORTER = re.compile(r"keepalive time is (\d+) s now, and was (\d+) s")


class Night:
    """Sets everything up, has the pools used, and tells what becomes of their connections."""

    def __init__(self) -> None:
        server = Netns()
        firewall = Firewall(0, WINDOW, server)
        places = {name: firewall.add_client(name) for name in (LOST, HELD)}
        for directory in ("/tmp/mariadb", "/tmp/holdfastd", "/tmp/pools"):
            os.mkdir(directory)
        mariadb.Server(server, DATABASE, "/tmp/mariadb", PORT)
        tell("server", None, time.monotonic(), window=WINDOW, kernel=os.uname().release)
        group = Cgroup(HELD)
        self.daemon = Daemon("/tmp/holdfastd", group, "/sys/fs/bpf/holdfast")
        tell("daemon", None, self.daemon.start(CONFIG))
        self._begun = time.monotonic()
        tell("night", None, self._begun, size=SIZE)
        # A process for each connection, as a thread of the application's would use it: one that
        # hangs keeps no other waiting. The same seeds: both pools are used at the same moments.
        self._pools = {
            (name, number): Pool(place, group if name == HELD else None, SERVER["inet"], PORT,
                                 Use(1, PAUSE, seed=number), f"/tmp/pools/{name}-{number}")
            for number in range(SIZE) for name, place in places.items()}
        self._told = {key: 0 for key in self._pools}
        self._read = 0

    def _tell(self) -> list[dict[str, Any]]:
        """Tells what has happened since the last time. Returns it."""
        news = []
        for (name, number), pool in self._pools.items():
            events = pool.events
            news += [(name, {**event, "slot": number})
                     for event in events[self._told[name, number]:]]
            self._told[name, number] = len(events)
        text = self.daemon.log[self._read:]
        self._read += len(text)
        for after, before in SHORTER.findall(text):
            news.append((HELD, {"kind": "shorter", "at": time.monotonic(),
                                "before": int(before), "after": int(after)}))
        for name, event in sorted(news, key=lambda pair: pair[1]["at"]):
            tell(event.pop("kind"), name, event.pop("at"), **event)
        return [event for _, event in news]

    def play(self) -> None:
        """Plays the whole night."""
        while time.monotonic() < self._begun + NIGHT:
            time.sleep(STEP)
            self._tell()
        tell("end", None, time.monotonic())
        for name, some in ((LOST, True), (HELD, False)):
            late = [event for (who, _), pool in self._pools.items() if who == name
                    for event in pool.events
                    if event["kind"] == "lost" and event["at"] > self._begun + NIGHT / 2]
            verdict(f"{name}: {'loses' if some else 'loses no'} connections in the second half",
                    None if bool(late) == some else f"{len(late)} lost")
