"""The story of two pools that idle for longer than the firewall remembers, inside the machine.

It lies over the virtual machines' own main.py. What happens is told to the host as it happens:
a line `HF-EVENT {...}` each, `at` in seconds of the machine's clock. Nothing is computed here; what
becomes of the events is told by record.py on the host.
"""

import json
import os
import select
import sys
import time
from typing import IO

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))

# pylint: disable=wrong-import-position
from harness import mariadb
from harness.capture import Capture, Packet
from harness.cgroup import Cgroup
from harness.command import Command
from harness.config import daemon as daemon_section, rule
from harness.daemon import Daemon
from harness.netns import Netns

from clients import Client
from conntrack import Watch
from story import DATABASE
from world import HOUR, PORT, SERVER, Firewall

IDLE = 4000     # seconds: then both are used again
END = 5040      # when the story ends; what can't be answered has failed by then
STATUS = 1700   # when `holdfast status` is shown
STEP = 20       # how late what happens is told, at most
LOST, HELD = "lost", "held"
# Each look at all sockets wakes the machine up.
CONFIG = daemon_section(reconcile="10min") + rule("orders-db", "10.77.0.0/24", PORT, window="1h")


def tell(event: str, who: str | None, at: float, **more: object) -> None:
    """Something that has happened, to one of the two or to none."""
    print("HF-EVENT", json.dumps({"event": event, "who": who, "at": round(at, 6), **more}),
          flush=True)


def verdict(name: str, fault: str | None) -> None:
    """Whether it went as it should."""
    print("HF-CASE", json.dumps({"name": name, "fault": fault}), flush=True)


class Story:
    """Sets everything up, lets it idle, asks again, and tells what the firewall sees."""

    def __init__(self) -> None:
        server = Netns()
        self.firewall = Firewall(0, HOUR, server)
        places = {name: self.firewall.add_client(name) for name in (LOST, HELD)}
        self.gone = Watch(self.firewall)
        self.beyond = Capture(self.firewall, "server")  # what has come through
        self.told = {LOST: 0, HELD: 0}                  # packets
        for directory in ("/tmp/mariadb", "/tmp/holdfastd"):
            os.mkdir(directory)
        mariadb.Server(server, DATABASE, "/tmp/mariadb", PORT)
        tell("server", None, time.monotonic(), window=HOUR, kernel=os.uname().release)
        group = Cgroup(HELD)
        self.daemon = Daemon("/tmp/holdfastd", group, "/sys/fs/bpf/holdfast")
        tell("daemon", None, self.daemon.start(CONFIG))
        self.clients = {LOST: Client(places[LOST], None, pool=True),
                        HELD: Client(places[HELD], group, pool=True)}

    def _tell_packets(self) -> None:
        """What the firewall has seen of both since the last time."""
        for name, client in self.clients.items():
            capture, beyond = self.firewall.captures[name], self.beyond.flow(*client.ends)
            seen, probes = capture.flow(*client.ends), capture.probes(*client.ends)
            for packet in seen[self.told[name]:]:
                tell("packet", name, packet.at, size=packet.size,
                     sender="client" if packet.source == client.ends[0] else "server",
                     probe=packet.at in probes,
                     passed=any(_same(packet, other) for other in beyond))
            self.told[name] = len(seen)

    def _watch(self, until: float, answer: IO[bytes] | None = None) -> None:
        """Tells what happens, until then or until an answer can be read."""
        waiting = [self.gone, *([answer] if answer else [])]
        ready: list[object] = []
        while answer not in ready and (now := time.monotonic()) < until:
            ready = select.select(waiting, [], [], min(until - now, STEP))[0]
            for gone in self.gone.read() if self.gone in ready else ():
                for name, client in self.clients.items():
                    if client.ends[0] == gone.source:
                        tell("forgotten", name, gone.at)
            self._tell_packets()

    def _open(self) -> float:
        """Both connect and use the connection; returns when it idles."""
        for name, client in self.clients.items():
            client.begin_open(SERVER["inet"], PORT)
            client.end_open()
            tell("opened", name, time.monotonic(), settings=client.settings)
        time.sleep(1)  # the last acknowledgement takes its time
        idle = max(self.firewall.captures[name].flow(*client.ends)[-1].at
                   for name, client in self.clients.items())
        tell("idle", None, idle)
        return idle

    def _ask(self, name: str) -> None:
        client, asked = self.clients[name], time.monotonic()
        client.begin_query()
        tell("query", name, asked)
        self._watch(asked + 2000, client.process.stdout)
        outcome = client.end_query()
        tell("outcome", name, asked + outcome.seconds, seconds=outcome.seconds,
             error=outcome.error, message=outcome.message, same=outcome.id == client.id)
        wanted = 2013 if name == LOST else None
        verdict(name, None if outcome.error == wanted else repr(outcome))

    def play(self) -> None:
        """All of it."""
        idle = self._open()
        self._watch(idle + STATUS)
        status = Command(self.daemon.pin_dir)(
            "status", "-o", "VERDICT,RULE,PEER,TIME,IDLE,NEXT-PROBE,WINDOW,PROCESSES").out
        tell("status", None, time.monotonic(), text=status)
        self._watch(idle + IDLE)
        for name in (HELD, LOST):
            self._ask(name)
        self._watch(idle + END)
        tell("end", None, time.monotonic())


def _same(packet: Packet, other: Packet) -> bool:
    return packet[1:] == other[1:] and abs(packet.at - other.at) < 0.1


if __name__ == "__main__":
    Story().play()
