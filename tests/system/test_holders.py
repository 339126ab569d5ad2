"""Which processes hold a socket: the short way and the long way find the same ones.

For up to 256 sockets `status` looks through the processes' descriptor tables (the short way). For
more, and where the kernel doesn't allow that, it looks through all open files (the long way).
"""

import os
import struct
from typing import Callable, NamedTuple

import pytest

from harness import bpf, build
from harness.cgroup import Cgroup
from harness.command import Command
from harness.config import rule
from harness.daemon import Daemon
from harness.fault import KERNEL, KILL, Fault
from harness.kernel import needs
from harness.netns import Netns
from harness.sockets import Agent, Listener

# HF_WANTED_MAX of bpf/types.h.
FEW = 256

pytestmark = needs("5.17", "to look through tables of descriptors")


class Holder(NamedTuple):
    """A descriptor of a socket in a process."""

    cookie: int
    pid: int
    fd: int


def holders(status: dict) -> set[Holder]:
    """Returns the holders that `status -J` shows; checks that each is shown once."""
    found = [Holder(sock["cookie"], process["pid"], process["fd"])
             for sock in status["sockets"] for process in sock["processes"]]
    assert len(found) == len(set(found))
    return set(found)


def registered(daemon: Daemon) -> set[int]:
    """Returns the processes that are registered to be told the holders of files."""
    fd = bpf.get(os.path.join(daemon.layout, "hf_wanted"))
    try:
        return {struct.unpack("=QII", key)[1] for key in bpf.keys(fd, 16)}
    finally:
        os.close(fd)


@pytest.fixture(params=["short way", "long way"])
def way(request: pytest.FixtureRequest) -> str:
    """The iterator over descriptor tables, or the one over open files alone."""
    return str(request.param)


def start(daemon: Daemon, way: str) -> None:
    """Starts a daemon and removes one of its two iterators."""
    daemon.start(rule("all"))
    assert os.path.exists(os.path.join(daemon.layout, "hf_holders"))
    os.unlink(os.path.join(daemon.layout, "hf_owners" if way == "short way" else "hf_holders"))


def test_all_kinds_of_holders(daemon: Daemon, agent: Agent, make_agent: Callable[..., Agent],
                              netns: Netns, cgroup: Cgroup, listener: Listener, way: str,
                              holdfast: Command) -> None:
    """Large descriptor numbers, duplicates, child processes and threads with own tables are all
    found."""
    start(daemon, way)
    sock, other = (agent.connect("127.0.0.1", listener.port) for _ in range(2))
    agent.call("duplicate", sock=sock.number, number=777)
    child = agent.call("fork")
    alone = make_agent(netns, cgroup)
    threads = alone.connect("127.0.0.1", listener.port)
    cookie, fd = threads.info["cookie"], threads.info["fd"]
    alone.call("to_a_thread", sock=threads.number)
    expected = {Holder(cookie, alone.pid, fd)}
    for one in (sock, other):
        expected |= {Holder(one.info["cookie"], pid, one.info["fd"]) for pid in (agent.pid, child)}
    expected |= {Holder(sock.info["cookie"], pid, 777) for pid in (agent.pid, child)}
    assert holders(holdfast.status()) == expected
    assert not registered(daemon)


def test_sockets_that_are_not_held(daemon: Daemon, agent: Agent, listener: Listener, way: str,
                                   holdfast: Command) -> None:
    """The holders of a socket that a rule leaves alone are found, too."""
    start(daemon, way)
    sock = agent.connect("127.0.0.1", listener.port)
    daemon.reload(rule("all", enforce="no"))
    assert holders(holdfast.status()) == {Holder(sock.info["cookie"], agent.pid, sock.info["fd"])}


def test_in_a_queue(daemon: Daemon, agent: Agent, make_agent: Callable[..., Agent], netns: Netns,
                    cgroup: Cgroup, way: str, holdfast: Command) -> None:
    """A connection that waits to be accepted has no holder, and hides no other socket's."""
    server = make_agent(netns, cgroup)
    listening = server.listen(0)
    start(daemon, way)
    daemon.reload(rule("all", port=listening.port, side="both"))
    sock = agent.connect("127.0.0.1", listening.port)
    status = holdfast.status()
    assert len(status["sockets"]) == 2
    assert holders(status) == {Holder(sock.info["cookie"], agent.pid, sock.info["fd"])}
    accepted = listening.accept()
    assert holders(holdfast.status()) == {
        Holder(sock.info["cookie"], agent.pid, sock.info["fd"]),
        Holder(accepted.info["cookie"], server.pid, accepted.info["fd"])}


@pytest.mark.parametrize("number", [FEW, FEW + 1])
def test_number(daemon: Daemon, agent: Agent, listener: Listener, holdfast: Command,
                number: int) -> None:
    """The holders of as many sockets as fit the short way, and of one more, are shown."""
    daemon.start(rule("all"))
    socks = [agent.connect("127.0.0.1", listener.port) for _ in range(number)]
    assert holders(holdfast.status()) == {
        Holder(sock.info["cookie"], agent.pid, sock.info["fd"]) for sock in socks}
    assert not registered(daemon)


def test_many_holders(daemon: Daemon, agent: Agent, listener: Listener,
                      holdfast: Command) -> None:
    """All descriptors of a process are shown, though they are more than the short way takes."""
    daemon.start(rule("all"))
    sock = agent.connect("127.0.0.1", listener.port)
    for number in range(2000, 3000):
        agent.call("duplicate", sock=sock.number, number=number)
    assert len(holders(holdfast.status())) == 1001


@pytest.mark.skipif(build.SANITIZED, reason="a sanitizer wants to be preloaded first")
def test_killed_readers(daemon: Daemon, agent: Agent, listener: Listener, holdfast: Command,
                        workdir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The entries of a killed reader are cleaned up by the next one."""
    start(daemon, "short way")
    sock = agent.connect("127.0.0.1", listener.port)
    fault = Fault(workdir, daemon.pin_dir)
    with monkeypatch.context() as patch:
        fault.set_in(patch)
        fault.order(0)
        assert holdfast("status").status == 0
        calls = fault.count
        fault.order(calls - 1, KERNEL | KILL)  # still registered then, and its file still noted
        assert holdfast("status").status == -9
    assert len(registered(daemon)) == 1
    assert holders(holdfast.status()) == {Holder(sock.info["cookie"], agent.pid, sock.info["fd"])}
    assert not registered(daemon)


class Reader:
    """This process, registered as a reader that is told the holders of files."""

    def __init__(self, daemon: Daemon, netns: Netns) -> None:
        self._layout = daemon.layout
        self._netns = netns
        self._wanted = bpf.get(os.path.join(self._layout, "hf_wanted"))

    def _key(self, file: int) -> bytes:
        return struct.pack("=QII", file, os.getpid(), 0)

    def _read(self, name: str) -> bytes:
        with self._netns.entered(), open(os.path.join(self._layout, name), "rb") as file:
            return file.read()

    def meet(self) -> dict[int, int]:
        """Reads all held sockets. Returns the addresses of the files that were noted, by cookie."""
        bpf.update(self._wanted, self._key(0), struct.pack("=Q", FEW))
        everywhere = os.path.exists(os.path.join(self._layout, "hf_held"))
        assert self._read("hf_held" if everywhere else "hf_held_here")
        found = {}
        for key in bpf.keys(self._wanted, 16):
            file, reader, _ = struct.unpack("=QII", key)
            if file and reader == os.getpid():
                found[struct.unpack("=Q", bpf.lookup(self._wanted, key, 8))[0]] = file
        return found

    def take_for(self, file: int, cookie: int) -> None:
        """Makes `file` stand for the socket with that cookie, as if reading had found it so."""
        bpf.update(self._wanted, self._key(file), struct.pack("=Q", cookie))

    def search(self) -> set[Holder]:
        """Returns who holds the noted files."""
        return {Holder(cookie, pid, fd) for cookie, _, pid, fd, _ in
                struct.iter_unpack("=QQiI16s", self._read("hf_holders"))}

    def close(self) -> None:
        """Closes the map; the next reader removes the entries of a process that has gone."""
        os.close(self._wanted)


def test_address_that_was_used_again(daemon: Daemon, agent: Agent, listener: Listener,
                                     netns: Netns) -> None:
    """The holder of a file isn't named for a socket whose file was at the same address before.

    A file may be closed after a reader has noted it, and another one may take its address.
    """
    daemon.start(rule("all"))
    sock, other = (agent.connect("127.0.0.1", listener.port) for _ in range(2))
    expected = [Holder(s.info["cookie"], agent.pid, s.info["fd"]) for s in (sock, other)]
    reader = Reader(daemon, netns)
    try:
        met = reader.meet()
        assert reader.search() == set(expected)
        reader.take_for(met[expected[0].cookie], expected[0].cookie + (1 << 32))
        assert reader.search() == {expected[1]}
        reader.take_for(met[expected[0].cookie], expected[0].cookie)
        assert reader.search() == set(expected)
    finally:
        reader.close()
