"""A pool of MySQL connections that are used now and then, and what becomes of each."""

import json
import random
import select
import socket
import time
from dataclasses import dataclass
from typing import Any

import pymysql

from harness.cgroup import Cgroup
from harness.fork import fork
from harness.mariadb import PASSWORD, USER
from harness.netns import Netns

RETRY = 30  # seconds until a connection that was refused is tried again


@dataclass(frozen=True)
class Use:
    """How a pool is used. All in seconds."""

    size: int = 4
    pause: tuple[float, float] = (20, 1500)  # between two uses of a connection
    together: bool = False                   # all are used at the same moments
    lifetime: float | None = None            # of a connection: then the client leaves
    seed: int = 1


class _Slot:
    """A place for one connection."""

    def __init__(self) -> None:
        self.connection: Any = None
        self.opened = self.used = self.due = 0.0


class _Pool:
    def __init__(self, host: str, port: int, use: Use, path: str) -> None:
        self._host, self._port, self._use = host, port, use
        self._random = random.Random(use.seed)
        self._file = open(path, "w", encoding="ascii", buffering=1)  # pylint: disable=consider-using-with
        self._slots = [_Slot() for _ in range(use.size)]

    def _say(self, kind: str, slot: _Slot, **more: Any) -> None:
        event = {"at": time.monotonic(), "kind": kind, "slot": self._slots.index(slot),
                 "opened": slot.opened, "used": slot.used, **more}
        self._file.write(json.dumps(event) + "\n")

    def _lose(self, slot: _Slot, how: str, error: Any, began: float) -> None:
        self._say("lost", slot, how=how, error=error, began=began)
        slot.connection._force_close()  # pylint: disable=protected-access
        slot.connection = None

    def _open(self, slot: _Slot) -> None:
        try:
            slot.connection = pymysql.connect(host=self._host, port=self._port, user=USER,
                                              password=PASSWORD, connect_timeout=10)
        except pymysql.err.Error as error:
            self._say("refused", slot, error=error.args[0])
            return
        # As most libraries leave it: PyMySQL switches keepalive on.
        slot.connection._sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 0)
        slot.opened = time.monotonic()
        self._say("opened", slot)

    def _use_one(self, slot: _Slot, pause: float) -> None:
        if slot.connection and self._use.lifetime and (
                time.monotonic() - slot.opened > self._use.lifetime):
            slot.connection.close()
            slot.connection = None
        if slot.connection:
            began = time.monotonic()
            try:
                with slot.connection.cursor() as cursor:
                    cursor.execute("SELECT CONNECTION_ID()")
                    cursor.fetchone()
            except pymysql.err.Error as error:
                self._lose(slot, "query", error.args[0], began)
        if not slot.connection:
            self._open(slot)
        slot.used = time.monotonic()
        slot.due = slot.used + (pause if slot.connection else RETRY)

    def _pause(self) -> float:
        return self._random.uniform(*self._use.pause)

    def serve(self) -> None:
        """Never ends."""
        while True:
            due = min(self._slots, key=lambda slot: slot.due)
            poll = select.poll()
            by_descriptor = {slot.connection._sock.fileno(): slot
                             for slot in self._slots if slot.connection}
            for descriptor in by_descriptor:
                poll.register(descriptor, select.POLLIN)
            left = max(0.0, due.due - time.monotonic())
            for descriptor, _ in poll.poll(left * 1000):
                slot = by_descriptor[descriptor]
                error = slot.connection._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                self._lose(slot, "idle", error, time.monotonic())
            now, pause = time.monotonic(), self._pause()
            for slot in self._slots:
                if slot.due <= now or self._use.together and due.due <= now:
                    self._use_one(slot, pause if self._use.together else self._pause())


class Pool:
    """A pool in a process of its own."""

    def __init__(self, netns: Netns, cgroup: Cgroup, host: str, port: int, use: Use,
                 path: str) -> None:
        self._path = path
        self.process = fork(lambda: _Pool(host, port, use, path).serve(), netns, cgroup)

    @property
    def events(self) -> list[dict[str, Any]]:
        """All that has happened so far."""
        with open(self._path, encoding="ascii") as file:
            return [json.loads(line) for line in file]

    def close(self) -> None:
        """Ends it."""
        self.process.kill()
        self.process.wait()
