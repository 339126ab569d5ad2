"""Real applications are `held` or `own` as the rules say."""

import os
import shutil
import subprocess
from typing import Iterator

import pytest

from harness import compiler, foreign, mariadb
from harness.cgroup import Cgroup
from harness.command import Command
from harness.config import PORT, rule
from harness.daemon import Daemon
from harness.netns import Netns
from harness.options import Settings, held
from harness.process import spawn
from harness.remote import TESTS_DIR
from harness.sockets import Listener
from harness.wait import wait_for

RULE = {"time": "120s", "interval": "30s", "probes": 4}
VALUES = held(120, 30, 4)


def need(program: str, package: str) -> str:
    """Returns a program's path; skips the test where it isn't installed."""
    path = shutil.which(program)
    if not path:
        pytest.skip(f"{program} is not installed (package {package})")
    return path


@pytest.fixture
def server(netns: Netns, mariadb_files: str, workdir: str) -> Iterator[mariadb.Server]:
    """A MariaDB server."""
    made = mariadb.Server(netns, mariadb_files, workdir, PORT)
    yield made
    made.close()


def observe(argv: list[str], netns: Netns, cgroup: Cgroup, holdfast: Command, wanted: Settings,
            verdict: str) -> None:
    """Runs an application until its connection, read through a borrowed descriptor, is as
    wanted."""
    process = spawn(argv, netns, cgroup, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT)
    seen: list[list[Settings]] = [[]]

    def as_wanted() -> bool:
        assert process.poll() is None, process.communicate()[0].decode()
        seen.append(foreign.connections(process.pid, PORT))
        return bool(seen[-1]) and all(settings == wanted for settings in seen[-1])

    try:
        wait_for(as_wanted, f"{argv[0]} has {wanted}", timeout=10)
        shown = [s for s in holdfast.status()["sockets"] if s["processes"][0]["pid"] == process.pid]
        assert [s["verdict"] for s in shown] == [verdict] * len(seen[-1])
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("client", ["mariadb", "mysql"])
def test_command_line_client(daemon: Daemon, netns: Netns, cgroup: Cgroup, holdfast: Command,
                             server: mariadb.Server, client: str) -> None:
    """The command-line client, which switches keepalive on without any times, has the rule's
    values."""
    path = need(client, "mariadb-client-core")
    daemon.start(rule("all", **RULE))
    observe([path, "-h127.0.0.1", f"-P{PORT}", f"-u{mariadb.USER}", f"-p{mariadb.PASSWORD}",
             "-e", "SELECT SLEEP(60)"], netns, cgroup, holdfast, VALUES, "held")


@pytest.fixture(scope="module")
def go_program(session_dir: str) -> str:
    """A client in Go."""
    return compiler.go_program("wild_client", session_dir)


@pytest.mark.parametrize("override, time, wanted, verdict", [
    # Go's dialer switches keepalive on after connect(), with 15 s of its own.
    ("when-longer", "120s", held(15, 15, 9), "own"),
    ("when-longer", "10s", held(10, 30, 4), "held"),
    ("always", "120s", VALUES, "held"),
])
def test_go(daemon: Daemon, netns: Netns, cgroup: Cgroup, listener: Listener, holdfast: Command,
            go_program: str, override: str, time: str, wanted: Settings, verdict: str) -> None:
    """A static Go program is held, or `own`, by the rule's `override`."""
    daemon.start(rule("all", override=override, **{**RULE, "time": time}))
    observe([go_program, f"127.0.0.1:{listener.port}"], netns, cgroup, holdfast, wanted, verdict)


# keepAliveInitialDelay of mysql2, in ms.
NODE_DELAYS = pytest.mark.parametrize("delay, wanted, verdict", [
    ("0", VALUES, "held"),
    ("20000", held(20, 1, 10), "own"),
    ("600000", VALUES, "held"),
])
# What mysql2 does with its connection, for tests without mysql2.
NODE_PROGRAM = """
const [port, delay] = process.argv.slice(1).map(Number);
const stream = require("net").connect(port, "127.0.0.1");
stream.on("connect", () => stream.setKeepAlive(true, delay));
"""


@NODE_DELAYS
def test_node(daemon: Daemon, netns: Netns, cgroup: Cgroup, listener: Listener,
              holdfast: Command, delay: str, wanted: Settings, verdict: str) -> None:
    """Node, which sets keepalive after connect() with its own interval and count, is held or
    `own`."""
    path = need("node", "nodejs")
    daemon.start(rule("all", **RULE))
    observe([path, "-e", NODE_PROGRAM, str(listener.port), delay], netns, cgroup, holdfast, wanted,
            verdict)


@pytest.fixture(scope="module")
def node_modules(session_dir: str) -> str:
    """A folder with mysql2 from the npm registry."""
    need("node", "nodejs")
    directory = os.path.join(session_dir, "node")
    os.mkdir(directory)
    shutil.copy(os.path.join(TESTS_DIR, "wild_client.js"), directory)
    done = subprocess.run(
        [need("npm", "npm"), "install", "--no-audit", "--no-fund", "--cache",
         os.path.join(directory, "cache"), "mysql2@3"],
        cwd=directory, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        pytest.skip(f"mysql2 can't be installed from npm: {done.stderr.strip()[-200:]}")
    return directory


@NODE_DELAYS
def test_node_mysql2(daemon: Daemon, netns: Netns, cgroup: Cgroup, holdfast: Command,
                     server: mariadb.Server, node_modules: str, delay: str, wanted: Settings,
                     verdict: str) -> None:
    """mysql2 itself is held or `own`, where it can be installed from npm."""
    daemon.start(rule("all", **RULE))
    observe([need("node", "nodejs"), os.path.join(node_modules, "wild_client.js"), str(PORT),
             mariadb.USER, mariadb.PASSWORD, delay], netns, cgroup, holdfast, wanted, verdict)


@pytest.mark.parametrize("arguments, wanted, verdict", [
    ([], held(60, 60, 9), "own"),
    (["--keepalive-time", "300"], VALUES, "held"),
    (["--no-keepalive"], VALUES, "held"),
])
def test_curl(daemon: Daemon, netns: Netns, cgroup: Cgroup, listener: Listener, holdfast: Command,
              arguments: list[str], wanted: Settings, verdict: str) -> None:
    """curl, which sets its 60 s before connect(), is `own`, and held with a longer time."""
    path = need("curl", "curl")
    daemon.start(rule("all", **RULE))
    observe([path, "--silent", *arguments, f"http://127.0.0.1:{listener.port}/"], netns, cgroup,
            holdfast, wanted, verdict)
