"""Checks that the sandboxed daemon can do all its work: one step for each privilege it needs."""

import json
import os
import socket
import stat
import subprocess
import time
from contextlib import contextmanager
from typing import Callable, Iterator

from harness import bpf
from harness.config import rule
from harness.netns import Netns
from harness.options import held
from harness.sockets import Agent, Socket
from harness.wait import wait_for

import system
from system import DROPINS, run
from world import PORT, SERVER, Connection, World

DEFAULT, OTHER = held(200, 20, 5), held(87, 8, 5)
CHANGED = rule("changed", "10.0.0.0/8, 127.0.0.0/8", PORT, window="350s")
METRICS = "/var/lib/prometheus/node-exporter"
Step = tuple[str, Callable[[], None]]


@contextmanager
def configured(text: str) -> Iterator[None]:
    """Has more configuration in force for the length of the `with` block."""
    path = os.path.join(DROPINS, "60-sandboxed.conf")
    system.write(path, text)
    try:
        run("holdfast", "reload")
        yield
    finally:
        os.unlink(path)
        run("holdfast", "reload")


def follows(socks: list[Connection] | list[Socket]) -> None:
    """Checks that open connections follow a reload, and a second one back."""
    assert {sock.settings for sock in socks} == {DEFAULT}
    with configured(CHANGED):
        assert {sock.settings for sock in socks} == {OTHER}
    assert {sock.settings for sock in socks} == {DEFAULT}


@contextmanager
def agent(netns: Netns | None, *through: str) -> Iterator[Agent]:
    """An application in a process of its own, as in a container."""
    made = Agent(netns, None, through)
    try:
        yield made
    finally:
        made.close()


def connect(application: Agent) -> Socket:
    """Opens a connection inside the application's namespace."""
    application.listen(PORT, "127.0.0.1")
    return application.connect("127.0.0.1", PORT)


class Sandboxed:
    """The steps; each docstring is the step's title among the results."""

    def __init__(self, world: World) -> None:
        self.world = world

    def guard(self) -> None:
        """Attached and taken off by reloads: the program is pinned, loading is over."""
        connection = self.world.connect()
        sock = connection._sock  # pylint: disable=protected-access
        with configured("[daemon]\nguard = no\nreconcile = 1d\n"):
            assert not bpf.attached("/sys/fs/cgroup", bpf.SETSOCKOPT)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 0)
            assert connection.settings == DEFAULT._replace(keepalive=0)
        assert len(bpf.attached("/sys/fs/cgroup", bpf.SETSOCKOPT)) == 1
        assert connection.settings == DEFAULT
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 0)
        assert connection.settings == DEFAULT
        connection.close()

    def heal(self) -> None:
        """The timer's pass holds again what an application has undone."""
        with configured("[daemon]\nguard = no\nreconcile = 1s\n"):
            connection = self.world.connect()
            connection._sock.setsockopt(  # pylint: disable=protected-access
                socket.SOL_SOCKET, socket.SO_KEEPALIVE, 0)
            wait_for(lambda: connection.settings == DEFAULT, "the pass has come")
            connection.close()

    def containers(self) -> None:
        """The host's and a container's connections follow."""
        follows(list(self.world.kept.values()))

    def rootless(self) -> None:
        """A network namespace that belongs to a user namespace, of another user."""
        with agent(None, "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--",
                   "unshare", "--user", "--net", "--map-root-user", "--") as application:
            application.call("loopback_up")
            follows([connect(application)])

    def deserted(self) -> None:
        """A network namespace that nothing but a socket keeps: by pidfd_getfd()."""
        netns = Netns()
        with agent(netns) as application:
            sock = connect(application)
            application.call("leave")
            netns.close()
            follows([sock])

    def mounted(self) -> None:
        """One that `ip netns add` made after the start, its socket open in no process."""
        netns = Netns("late")
        with agent(netns) as application:
            sock = connect(application)
            assert sock.settings == DEFAULT
            application.park(sock)
            with configured(CHANGED):
                (sock,) = application.unpark()
                assert sock.settings == OTHER
        netns.close()
        run("ip", "netns", "delete", "late")

    def accepted(self) -> None:
        """The server's side."""
        with configured(rule("served", side="server", port=PORT + 1, window="350s")), \
                agent(Netns()) as application:
            listener = application.listen(PORT + 1, "127.0.0.1")
            application.connect("127.0.0.1", PORT + 1)
            assert listener.accept().settings == OTHER

    def names(self) -> None:
        """A host name, from /etc/hosts."""
        hosts = system.read("/etc/hosts") if os.path.exists("/etc/hosts") else ""
        system.write("/etc/hosts", f"{hosts}\n{SERVER['container']} db.test\n")
        with configured(rule("named", "db.test", PORT, window="350s")):
            assert self.world.kept["container"].settings == OTHER
            assert self.world.kept["host"].settings == DEFAULT
        system.write("/etc/hosts", hosts)

    def ends(self) -> None:
        """The end of a connection is logged, with the process that had it."""
        connection, killer = self.world.connect(), self.world.connect()
        time.sleep(1)  # a close sooner than that would count as the application's wish
        with killer._mysql.cursor() as cursor:  # pylint: disable=protected-access
            cursor.execute(f"KILL {connection.id}")
        wanted = f"{connection.local} to {SERVER['container']}:{PORT}, python3[{os.getpid()}]: "
        wait_for(lambda: wanted in system.journal(), wanted)
        killer.close()

    def moved(self) -> None:
        """A change of routes has the host's connection probed."""
        run("ip", "route", "add", f"{SERVER['host']}/32", "dev", "to-server")
        wait_for(lambda: "has moved: probing" in system.journal(), "the change is seen")
        run("ip", "route", "delete", f"{SERVER['host']}/32", "dev", "to-server")
        time.sleep(3)  # the time that a probe takes
        assert self.world.kept["host"].settings == DEFAULT

    def probe(self) -> None:
        """`holdfast probe` beside it."""
        answered = json.loads(run("holdfast", "probe", "-J"))["sockets"]
        assert len(answered) >= 2 and all(row["answered"] for row in answered), answered

    def report(self) -> None:
        """A report has the journal's lines, and nobody's addresses."""
        said = run("holdfast", "report")
        log = said.split("== log (journalctl -u holdfast)")[1]
        assert "ready: " in log and "== status (holdfast status -J)" in said, said
        assert not [address for address in SERVER.values() if address in said], said

    def autopkgtest(self) -> None:
        """The package's own test, as Debian runs it."""
        said = run("/hf/autopkgtest/holds")
        assert "held, kept over a restart, given back, held again" in said, said

    def metrics(self) -> None:
        """Written where Debian's node_exporter reads, and for its user to read."""
        os.makedirs(METRICS)
        run("systemctl", "restart", system.UNIT)  # the folder didn't exist before
        with configured(f"[daemon]\nmetrics-textfile = {METRICS}/holdfast.prom\n"):
            text = system.read(f"{METRICS}/holdfast.prom")
            assert "holdfast_attached 1" in text
            assert stat.S_IMODE(os.stat(f"{METRICS}/holdfast.prom").st_mode) & stat.S_IROTH
        assert not os.listdir(METRICS)

    def limits(self) -> None:
        """As many descriptors as a host may have namespaces, and no limit on locked memory."""
        limits = system.read(f"/proc/{system.main_pid()}/limits")
        (files,) = [line.split() for line in limits.splitlines() if "Max open files" in line]
        (locked,) = [line.split() for line in limits.splitlines() if "Max locked" in line]
        assert files[3] == files[4] == "524288" and locked[3] == "unlimited", limits

    def quiet(self) -> None:
        """Nothing that it tried was forbidden."""
        said = subprocess.run(["journalctl", "-u", system.UNIT, "-o", "cat", "-p", "warning",
                               "--no-pager"], capture_output=True, text=True, check=True).stdout
        denied = [line for line in said.splitlines()
                  if any(word in line for word in ("ermi", "not allowed", "incomplete", "denied"))]
        assert not denied, denied


def steps(world: World) -> Iterator[Step]:
    """Yields the steps with their titles."""
    all_of_it = Sandboxed(world)
    for name in ("containers", "rootless", "deserted", "mounted", "accepted", "names", "guard",
                 "heal", "ends", "moved", "probe", "report", "autopkgtest", "metrics", "limits", "quiet"):
        step = getattr(all_of_it, name)
        yield f"sandboxed: {step.__doc__.rstrip('.')}", step
