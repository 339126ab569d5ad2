"""The container image, run by podman as the DaemonSet would have it run.

It attaches to the host's root control group, as on a node. Its rules are for a port that nobody
else uses, and its pins on a bpffs of our own. The file is long because one image serves all tests.
"""

import json
import os
import signal
import subprocess
import sys
from typing import Any, Iterator

import pytest

import pods
from engine import BASE, IMAGE, Engine
from harness import bpf, mounts, record, stats
from harness.cgroup import Cgroup, find_root
from harness.config import rule
from harness.netns import Netns
from harness.options import UNTOUCHED, Settings, held
from harness.process import spawn
from harness.sockets import Agent
from harness.wait import wait_for
from host import cache, debian

PORT = 24417
RULE, VALUES = rule("test", port=PORT, time="120s", interval="30s", probes=4), held(120, 30, 4)
OTHER, OTHER_VALUES = RULE.replace("120s", "60s"), held(60, 30, 4)
BAD = "[rule test]\n"
NEEDED = ("apt", "libbpf1", "libc-ares2", "libjson-c5", "libmnl0", "libnl-3-200",
          "libnl-route-3-200", "libsmartcols1", "libsystemd0")
# An application. For each line that it reads it opens one more connection inside its own network
# namespace, and prints the settings of all its connections.
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


# Locks the pin dir, as `holdfast release` does for a moment; a start waits for that.
IN_USE = """
import fcntl, os, sys, time
fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX)
with open("/proc/self/comm", "w") as file:
    file.write("holdfast")
print("in use", flush=True)
time.sleep(600)
"""


def base_archive() -> str:
    """Returns a minimal Debian of this machine's release with the needed libraries, as a tar file.
    It is cached."""
    suite = debian.host_suite()

    def make(directory: str) -> None:
        options = [f"--aptopt={line}" for line in debian.fetch_settings()]
        debian.run(["mmdebstrap", "--mode=root", "--variant=essential", *options,
                    "--dpkgopt=path-exclude=/usr/share/doc/*",
                    "--dpkgopt=path-exclude=/usr/share/locale/*", f"--include={','.join(NEEDED)}",
                    # Without sources no archive is asked while the image is built.
                    '--customize-hook=rm "$1/etc/apt/sources.list"', suite,
                    os.path.join(directory, "base.tar"),
                    *debian.sources((suite, f"{suite}-security"))], "mmdebstrap")

    digest = cache.hash_of(suite, *NEEDED, "1")
    return os.path.join(cache.entry(cache.default_directory(), "container-base", digest, make),
                        "base.tar")


@pytest.fixture(name="engine", scope="module")
def _engine(session_dir: str, deb_dir: str) -> Iterator[Engine]:
    """podman with the image of the package that was just built."""
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
    """One node's part of the DaemonSet."""

    def __init__(self, engine: Engine, directory: str) -> None:
        self.engine, self._directory = engine, directory
        self.bpffs = os.path.join(directory, "bpf")
        mounts.mount("bpf", self.bpffs)
        self._rules = os.path.join(directory, "rules")
        self._outcome = os.path.join(directory, "outcome")
        self._versions = 0
        self.log_file = os.path.join(directory, "holdfast.log")
        self.pod = pods.the("DaemonSet", "holdfast.yaml")["spec"]["template"]["spec"]
        (self.container,) = self.pod["containers"]
        self.kubelet = pods.Kubelet(self.container, self._execute)

    def configure(self, text: str) -> None:
        """Puts a new version of the ConfigMap in place."""
        self._versions += 1
        pods.write_config_map(self._rules, self._versions, {"holdfast.conf": text})

    def arguments(self, pod: dict[str, Any], container: dict[str, Any]) -> list[str]:
        """Returns podman's arguments for a container of a pod."""
        paths = {"/sys/fs/bpf": self.bpffs, "outcome": self._outcome}
        return [*pods.flags(pod, container, paths, self._rules),
                *pods.command(container, IMAGE)]

    @property
    def log(self) -> str:
        """What the daemon has logged since its last start."""
        with open(self.log_file, encoding="utf-8") as file:
            return file.read()

    def _execute(self, command: list[str], timeout: float) -> tuple[int, str]:
        return self.engine.execute("holdfast", command, timeout)

    def launch(self) -> None:
        """Starts the pod's container, and waits until it runs."""
        self.engine.run("holdfast", self.arguments(self.pod, self.container), self.log_file)

        def there() -> bool:
            assert self.engine.running("holdfast"), self.log
            return self.engine.execute("holdfast", ["true"], 10)[0] == 0

        wait_for(there, "the container runs", timeout=60)

    def start(self) -> None:
        """Starts the container, and waits until kubelet's probes find it ready."""
        self.launch()
        assert self.kubelet.started() and self.kubelet.ready(), self.kubelet.said
        # The log has to say so, too.
        assert "ready: " in self.log

    def status(self) -> Any:
        """Returns `status -J` as run in the container."""
        return json.loads(self.engine.podman("exec", "holdfast", "holdfast", "status", "-J"))

    def release(self) -> tuple[int, str]:
        """Runs the release DaemonSet's pod once. Its folder is kept between runs."""
        os.makedirs(self._outcome, exist_ok=True)
        pod = pods.the("DaemonSet", "release.yaml")["spec"]["template"]["spec"]
        (container,) = pod["initContainers"]
        return self.engine.finish(self.arguments(pod, container))

    def close(self) -> None:
        """Stops the container and releases whatever is still attached."""
        if self.engine.running("holdfast"):
            self.engine.stop("holdfast")
        if os.path.exists(os.path.join(self.bpffs, "holdfast")):
            print(self.release())
        mounts.unmount(self.bpffs)


@pytest.fixture(name="node")
def _node(engine: Engine, workdir: str) -> Iterator[Node]:
    """A node on which nothing runs yet."""
    node = Node(engine, workdir)
    try:
        yield node
        print(node.log)
    finally:
        node.close()


class Application:
    """An application in a container with its own network, processes, control group and files."""

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
        """Opens one more connection. Returns the settings of all."""
        process = self._engine._running["application"]  # pylint: disable=protected-access
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
        return self._read()


@pytest.fixture(name="application")
def _application(engine: Engine, workdir: str) -> Iterator[Application]:
    """An application with one connection, which is older than the daemon."""
    made = Application(engine, workdir)
    yield made
    engine.stop("application", 0)


def test_size(engine: Engine) -> None:
    """The image contains nothing that only the installation of the package needed."""
    added = engine.size() - os.path.getsize(base_archive())
    print(f"the image has {engine.size()} bytes, {added} of them on top of its base")
    assert added < 10_000_000


def test_life(node: Node, application: Application) -> None:
    """Another container's connections are held, follow a reload, stay held over an update, and are
    released."""
    attached = bpf.attached(find_root(), bpf.SOCK_OPS)
    assert application.settings == [UNTOUCHED]
    node.configure(RULE)
    node.start()
    assert application.look() == [VALUES] * 2

    # With hostPID, `status` shows the host's PIDs.
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

    # With faulty rules the next pod doesn't get ready, and the kernel goes on enforcing.
    assert node.engine.stop("holdfast") == 0
    assert application.look() == [OTHER_VALUES] * 4
    node.configure(BAD)
    (container,) = node.pod["containers"]
    status, said = node.engine.finish(node.arguments(node.pod, container))
    assert status == 78 and "holdfast.conf:1: error:" in said, said
    assert application.look() == [OTHER_VALUES] * 5

    # An update takes over.
    node.configure(RULE)
    node.start()
    assert "took over" in node.log
    assert application.look() == [VALUES] * 6
    # While a daemon runs, release is refused.
    status, said = node.release()
    assert status != 0 and "stop the daemon" in said, said
    assert node.engine.stop("holdfast") == 0
    assert application.look() == [VALUES] * 7
    status, said = node.release()
    assert status == 0, said
    assert application.look() == [UNTOUCHED] * 8
    assert not os.path.exists(os.path.join(node.bpffs, "holdfast"))
    assert bpf.attached(find_root(), bpf.SOCK_OPS) == attached
    # Releasing succeeds where there is nothing to release.
    assert node.release()[0] == 0


def test_second_rollout(node: Node) -> None:
    """A pod isn't ready because of an earlier pod's pins: its own daemon has to take over first."""
    node.configure(RULE)
    node.start()
    assert node.engine.stop("holdfast") == 0
    with spawn([sys.executable, "-c", IN_USE, os.path.join(node.bpffs, "holdfast")],
               stdout=subprocess.PIPE) as other:
        try:
            assert other.stdout and other.stdout.readline()
            node.launch()
            assert "ready: " not in node.log
            assert not node.kubelet.ready(), node.kubelet.said
            assert not node.kubelet.succeeds(node.kubelet.startup), node.kubelet.said
        finally:
            other.kill()
    assert node.kubelet.started() and node.kubelet.ready(), node.kubelet.said
    assert "took over" in node.log and "ready: " in node.log


def test_hangs(node: Node, application: Application) -> None:
    """A hanging daemon fails its liveness probe, is ended as kubelet does it, and the next one
    takes over."""
    node.configure(RULE)
    node.start()
    assert node.kubelet.lives(), node.kubelet.said
    pid = node.status()["enforcement"]["daemon_pid"]
    os.kill(pid, signal.SIGSTOP)
    stats.age(os.path.join(node.bpffs, "holdfast"), 600)
    assert not node.kubelet.lives(), node.kubelet.said
    assert application.look() == [VALUES] * 2
    assert node.engine.stop("holdfast", 1) != 0
    node.start()
    assert "took over" in node.log and node.kubelet.lives()
    assert application.look() == [VALUES] * 3


def test_not_all_given_back(node: Node) -> None:
    """After an incomplete release further tries fail, too, although they find nothing."""
    netns = Netns()
    agent = Agent(netns)
    port = agent.listen(PORT).port
    socks = [agent.connect("127.0.0.1", port) for _ in range(2)]
    node.configure(RULE)
    node.start()
    # a time that the kernel refuses
    record.change_in(os.path.join(node.bpffs, "holdfast"), socks[0], record.APP_TIME, 40_000)
    assert node.engine.stop("holdfast") == 0
    for _ in range(3):
        status, said = node.release()
        assert status == 1 and "1 connection could not be reached" in said, said
    assert [sock.settings for sock in socks] == [VALUES, UNTOUCHED]
    assert not os.path.exists(os.path.join(node.bpffs, "holdfast"))
    agent.close()
    netns.close()


# What each verb says in the container; none of them may need anything that isn't there.
WORDS = [
    ("status", ["status"], 0, "held"),
    ("json", ["status", "-J"], 0, '"daemon_pid"'),
    ("check", ["check"], 0, "test any"),
    ("explain", ["explain", f"127.0.0.1:{PORT}"], 0, "test"),
    ("probe", ["probe", "-w", "1"], 0, "answered"),
    ("metrics", ["metrics"], 0, "holdfast_daemon_up 1"),
    ("reload", ["reload"], 0, "reloaded: 1 rule in force"),
    ("report", ["report"], 0, "== BPF programs at control groups"),
    ("version", ["--version"], 0, "holdfast "),
    ("release", ["release"], 4, "stop the daemon instead"),
]


def test_every_command(node: Node, application: Application) -> None:
    """Every verb works with the pod's read-only root and capabilities."""
    assert application.settings == [UNTOUCHED]
    node.configure(RULE)
    node.start()
    for name, words, wanted, word in WORDS:
        status, said = node.engine.execute("holdfast", ["holdfast", *words], 60)
        assert (name, status) == (name, wanted) and word in said, (name, said)
    # Another user of the container has no permission.
    status, said = node.engine.execute("holdfast", ["holdfast", "status"], 60, "--user=65534")
    assert status == 4 and "no permission" in said, said


def test_done(node: Node) -> None:
    """After its work the release pod waits as an unprivileged user without any capability."""
    pod = pods.the("DaemonSet", "release.yaml")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    node.engine.run("done", node.arguments(pod, container), node.log_file)
    wait_for(lambda: node.engine.execute("done", ["true"], 10)[0] == 0, "it runs", timeout=60)
    status, said = node.engine.execute("done", ["cat", "/proc/self/status"], 10)
    assert status == 0 and "CapEff:\t0000000000000000" in said and "Uid:\t65534" in said, said
    node.engine.stop("done", 1)


@pytest.mark.parametrize("kind", ["rootless", "deserted"])
def test_every_namespace(node: Node, kind: str) -> None:
    """Connections in another user's namespace, or one kept by a socket alone, follow a reload."""
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


# What is missing, what replaces it, and what the daemon says then.
CGROUPS = "--volume=/sys/fs/cgroup:/sys/fs/cgroup:ro"
REFUSED = [
    pytest.param("--pid=host", None, "hostPID", id="pid"),
    pytest.param(CGROUPS, None, "share the host's /sys/fs/cgroup", id="no-cgroup"),
    pytest.param(CGROUPS, "--volume={part}:/sys/fs/cgroup:ro", "not the host's root",
                 id="part-of-the-cgroups"),
]


@pytest.mark.parametrize("missing,instead,sentence", REFUSED)
def test_refused(node: Node, missing: str, instead: str | None, sentence: str) -> None:
    """A container that would see only a part of the host is refused, and the log says what it
    lacks."""
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
