"""The story of two pools that idle for longer than the firewall remembers, inside the machine.

This file replaces the virtual machines' own main.py. It tells the host what happens (tell_host.py)
and computes nothing; record.py on the host evaluates the events. With the argument `auto` it plays
the story of auto.py.
"""

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

from auto import Night
from clients import Client
from conntrack import Watch
from story import DATABASE
from tell import arguments as tell_arguments
from tell_host import tell, verdict
from world import HOUR, PORT, SERVER, Firewall

IDLE = 4000     # seconds until both are used again
END = 5040      # seconds until the end of the story; a query without an answer has failed by then
STATUS = 1700   # seconds until `holdfast status` is shown
STEP = 20       # seconds by which events are told late at most
LOST, HELD = "lost", "held"
# Each pass wakes the machine up.
CONFIG = daemon_section(reconcile="10min") + rule("orders-db", "10.77.0.0/24", PORT, window="1h")


class Story:
    """Sets everything up, lets the connections idle, queries on them, and tells what the firewall
    sees."""

    def __init__(self) -> None:
        server = Netns()
        self.firewall = Firewall(0, HOUR, server)
        places = {name: self.firewall.add_client(name) for name in (LOST, HELD)}
        self.gone = Watch(self.firewall)
        self.beyond = Capture(self.firewall, "server")  # packets beyond the firewall
        self.told = {LOST: 0, HELD: 0}                  # number of packets told so far
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
        """Tells the packets of both connections that the firewall has seen since the last time."""
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
        """Tells what happens until a moment, or until an answer can be read."""
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
        """Has both clients connect and use their connections. Returns when the connections begin to
        idle."""
        for name, client in self.clients.items():
            client.begin_open(SERVER["inet"], PORT)
            client.end_open()
            tell("opened", name, time.monotonic(), settings=client.settings)
        time.sleep(1)  # the last acknowledgment is delayed
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
        """Plays the whole story."""
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
    (Night if tell_arguments() == ["auto"] else Story)().play()
