"""The container image, run by podman as the DaemonSet would have it run.

It attaches to the host's root control group, as it does on a node: with rules for a port that
nobody else has, and pins on a bpffs of our own.
"""

import json
import os
import subprocess
from typing import Any, Iterator

import pytest

import pods
from engine import BASE, IMAGE, Engine
from harness import bpf, mounts
from harness.cgroup import Cgroup, find_root
from harness.config import rule
from harness.netns import Netns
from harness.options import UNTOUCHED, Settings, held
from harness.sockets import Agent
from harness.wait import wait_for
from host import cache, debian

PORT = 24417
RULE, VALUES = rule("test", port=PORT, time="120s", interval="30s", probes=4), held(120, 30, 4)
OTHER, OTHER_VALUES = RULE.replace("120s", "60s"), held(60, 30, 4)
BAD = "[rule test]\n"
NEEDED = ("apt", "libbpf1", "libc-ares2", "libinih1", "libjson-c5", "libmnl0", "libnl-3-200",
          "libnl-route-3-200", "libsmartcols1", "libsystemd0")
# An application: for each line that it reads it opens one more connection inside its own network
# namespace, and tells the settings of all of them.
APPLICATION = """
use strict; use Socket; use IO::Handle;
my $address = pack_sockaddr_in(%d, inet_aton("127.0.0.1"));
socket(my $server, PF_INET, SOCK_STREAM, 0); bind($server, $address) or die; listen($server, 9);
my @connections; STDOUT->autoflush(1);
for (;;) {
    socket(my $new, PF_INET, SOCK_STREAM, 0); connect($new, $address) or die;
    push @connections, $new;
    sub option { unpack("i", getsockopt($_[0], $_[1], $_[2])) }
    print join(" ", map { my $c = $_; join(",", option($c, SOL_SOCKET, SO_KEEPALIVE),
        map { option($c, 6, $_) } 4, 5, 6) } @connections), "\\n";
    defined(<STDIN>) or last;
}
""" % PORT


def base_archive() -> str:
    """A minimal Debian of this machine's release with the libraries, as a tar file; cached."""
    suite = debian.host_suite()

    def make(directory: str) -> None:
        options = [f"--aptopt={line}" for line in debian.fetch_settings()]
        debian.run(["mmdebstrap", "--mode=root", "--variant=essential", *options,
                    "--dpkgopt=path-exclude=/usr/share/doc/*",
                    "--dpkgopt=path-exclude=/usr/share/locale/*", f"--include={','.join(NEEDED)}",
                    # No archive is asked when the image is built.
                    '--customize-hook=rm "$1/etc/apt/sources.list"', suite,
                    os.path.join(directory, "base.tar"),
                    *debian.sources((suite, f"{suite}-security"))], "mmdebstrap")

    digest = cache.hash_of(suite, *NEEDED, "1")
    return os.path.join(cache.entry(cache.default_directory(), "container-base", digest, make),
                        "base.tar")


@pytest.fixture(name="engine", scope="module")
def _engine(session_dir: str, deb_dir: str) -> Iterator[Engine]:
    """With the image of the package that was just built."""
    engine = Engine(os.path.join(session_dir, "containers"))
    try:
        print(engine.build(os.path.dirname(deb_dir), base_archive()))
        yield engine
    finally:
        engine.close()
        for line in reversed(open("/proc/self/mounts", encoding="utf-8").readlines()):
            if line.split()[1].startswith(os.path.join(session_dir, "containers")):
                subprocess.run(["umount", "--lazy", line.split()[1]], check=False)


class Node:
    """A node's part of the DaemonSet."""

    def __init__(self, engine: Engine, directory: str) -> None:
        self.engine, self._directory = engine, directory
        self.bpffs = os.path.join(directory, "bpf")
        mounts.mount("bpf", self.bpffs)
        self._rules = os.path.join(directory, "rules")
        self._versions = 0
        self.log_file = os.path.join(directory, "holdfast.log")
        self.pod = pods.the("DaemonSet", "holdfast.yaml")["spec"]["template"]["spec"]

    def configure(self, text: str) -> None:
        """A new version of the ConfigMap."""
        self._versions += 1
        pods.write_config_map(self._rules, self._versions, {"holdfast.conf": text})

    def arguments(self, pod: dict[str, Any], container: dict[str, Any]) -> list[str]:
        """For podman."""
        return [*pods.flags(pod, container, {"/sys/fs/bpf": self.bpffs}, self._rules),
                *pods.command(container, IMAGE)]

    @property
    def log(self) -> str:
        """What the daemon has said since its last start."""
        with open(self.log_file, encoding="utf-8") as file:
            return file.read()

    def start(self) -> None:
        """Until it is ready, by the pod's own readiness probe too."""
        (container,) = self.pod["containers"]
        self.engine.run("holdfast", self.arguments(self.pod, container), self.log_file)

        def ready() -> bool:
            assert self.engine.running("holdfast"), self.log
            return "ready: " in self.log

        wait_for(ready, "the daemon is ready", timeout=60)
        self.engine.podman("exec", "holdfast", *container["readinessProbe"]["exec"]["command"])

    def status(self) -> Any:
        """What the command says inside."""
        return json.loads(self.engine.podman("exec", "holdfast", "holdfast", "status", "-J"))

    def release(self) -> tuple[int, str]:
        """What the other DaemonSet does."""
        pod = pods.the("DaemonSet", "release.yaml")["spec"]["template"]["spec"]
        (container,) = pod["initContainers"]
        return self.engine.finish(self.arguments(pod, container))

    def close(self) -> None:
        """Nothing stays attached, whatever has happened."""
        if self.engine.running("holdfast"):
            self.engine.stop("holdfast")
        if os.path.exists(os.path.join(self.bpffs, "holdfast")):
            print(self.release())
        mounts.unmount(self.bpffs)


@pytest.fixture(name="node")
def _node(engine: Engine, workdir: str) -> Iterator[Node]:
    """Nothing runs on it yet."""
    node = Node(engine, workdir)
    try:
        yield node
        print(node.log)
    finally:
        node.close()


class Application:
    """A container of its own: network, processes, control group and files."""

    def __init__(self, engine: Engine, directory: str) -> None:
        self._engine = engine
        self._log = os.path.join(directory, "application.log")
        engine.run("application", ["--interactive", "--network=none", BASE, "perl", "-e",
                                   APPLICATION], self._log)
        self._lines = 0
        self.opened = 0
        self.settings = self._read()

    def _read(self) -> list[Settings]:
        self._lines += 1
        self.opened += 1

        def lines() -> list[str]:
            assert self._engine.running("application")
            with open(self._log, encoding="utf-8") as file:
                found = [line for line in file if line.endswith("\n")]
            return found if len(found) >= self._lines else []

        line = wait_for(lines, "the application answers", timeout=60)[self._lines - 1]
        return [Settings(*map(int, part.split(","))) for part in line.split()]

    def look(self) -> list[Settings]:
        """Opens one more connection; the settings of all."""
        process = self._engine._running["application"]  # pylint: disable=protected-access
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
        return self._read()


@pytest.fixture(name="application")
def _application(engine: Engine, workdir: str) -> Iterator[Application]:
    """With one connection, opened before anything is held."""
    made = Application(engine, workdir)
    yield made
    engine.stop("application", 0)


def test_size(engine: Engine) -> None:
    """What was needed to install the package is not in the image."""
    added = engine.size() - os.path.getsize(base_archive())
    print(f"the image has {engine.size()} bytes, {added} of them on top of its base")
    assert added < 10_000_000


def test_life(node: Node, application: Application) -> None:
    """Another container's connections: held, following the rules, kept over an update, released."""
    attached = bpf.attached(find_root(), bpf.SOCK_OPS)
    assert application.settings == [UNTOUCHED]
    node.configure(RULE)
    node.start()
    assert application.look() == [VALUES] * 2

    # Its processes are the host's, and have the host's numbers.
    rows = [row for row in node.status()["sockets"] if row["peer_port"] == PORT]
    assert len(rows) == 2 and {row["verdict"] for row in rows} == {"held"}
    ((pid, command),) = {(process["pid"], process["command"])
                         for row in rows for process in row["processes"]}
    assert command == "perl"
    assert {row["netns"] for row in rows} == {os.stat(f"/proc/{pid}/ns/net").st_ino}
    with open(f"/proc/{pid}/cgroup", encoding="utf-8") as file:
        path = next(line.rstrip("\n")[3:] for line in file if line.startswith("0::"))
    assert {row["cgroup"] for row in rows} == {path}

    # kubelet puts another version of the rules in place.
    node.configure(OTHER)
    assert "reloaded" in node.engine.podman("exec", "holdfast", "holdfast", "reload")
    assert application.look() == [OTHER_VALUES] * 3

    # One with a fault: the next pod doesn't get ready, and the kernel goes on.
    assert node.engine.stop("holdfast") == 0
    assert application.look() == [OTHER_VALUES] * 4
    node.configure(BAD)
    (container,) = node.pod["containers"]
    status, said = node.engine.finish(node.arguments(node.pod, container))
    assert status == 78 and "holdfast.conf:1: error:" in said, said
    assert application.look() == [OTHER_VALUES] * 5

    # The update.
    node.configure(RULE)
    node.start()
    assert "took over" in node.log
    assert application.look() == [VALUES] * 6
    # While a daemon runs, nothing is released.
    status, said = node.release()
    assert status != 0 and "stop the daemon" in said, said
    assert node.engine.stop("holdfast") == 0
    assert application.look() == [VALUES] * 7
    status, said = node.release()
    assert status == 0, said
    assert application.look() == [UNTOUCHED] * 8
    assert not os.path.exists(os.path.join(node.bpffs, "holdfast"))
    assert bpf.attached(find_root(), bpf.SOCK_OPS) == attached
    # Where there is nothing, there is nothing to release.
    assert node.release()[0] == 0


@pytest.mark.parametrize("kind", ["rootless", "deserted"])
def test_every_namespace(node: Node, kind: str) -> None:
    """Another user's network namespace, and one that nothing but a socket keeps."""
    node.configure(RULE)
    node.start()
    if kind == "rootless":
        agent = Agent(None, None, ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                                   "--", "unshare", "--user", "--net", "--map-root-user", "--"])
        agent.call("loopback_up")
        sock = agent.connect("127.0.0.1", agent.listen(PORT, "127.0.0.1").port)
    else:
        netns = Netns()
        agent = Agent(netns)
        sock = agent.connect("127.0.0.1", agent.listen(PORT).port)
        agent.call("leave")
        netns.close()
    assert sock.settings == VALUES
    node.configure(OTHER)
    node.engine.podman("exec", "holdfast", "holdfast", "reload")
    assert sock.settings == OTHER_VALUES
    agent.close()


# What is missing, what is there in its place, and what the daemon says.
CGROUPS = "--volume=/sys/fs/cgroup:/sys/fs/cgroup:ro"
REFUSED = [
    pytest.param("--pid=host", None, "hostPID", id="pid"),
    pytest.param(CGROUPS, None, "share the host's /sys/fs/cgroup", id="no-cgroup"),
    pytest.param(CGROUPS, "--volume={part}:/sys/fs/cgroup:ro", "not the host's root",
                 id="part-of-the-cgroups"),
]


@pytest.mark.parametrize("missing,instead,sentence", REFUSED)
def test_refused(node: Node, missing: str, instead: str | None, sentence: str) -> None:
    """Without one of them it would hold only a part; it says what it lacks."""
    attached = bpf.attached(find_root(), bpf.SOCK_OPS)
    part = Cgroup(f"holdfast-package-{os.getpid()}")
    node.configure(RULE)
    (container,) = node.pod["containers"]
    arguments = node.arguments(node.pod, container)
    assert missing in arguments
    arguments.remove(missing)
    if instead:
        arguments.insert(0, instead.format(part=part.directory))
    node.engine.run("holdfast", arguments, node.log_file)
    wait_for(lambda: not node.engine.running("holdfast") or "ready: " in node.log,
             "it has made up its mind", timeout=60)
    assert sentence in node.log and "ready: " not in node.log
    assert not os.path.exists(os.path.join(node.bpffs, "holdfast"))
    assert bpf.attached(find_root(), bpf.SOCK_OPS) == attached
    part.remove()
