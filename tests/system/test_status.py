"""`holdfast status`: every key of its JSON, its table, its filters and its exit statuses."""

import os
import shutil
import stat
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from typing import Any, Callable, Iterator

import pytest

from harness import build, sockdiag
from harness.capture import Capture
from harness.cgroup import Cgroup
from harness.command import Command, run
from harness.config import PORT, rule
from harness.daemon import Daemon
from harness.kernel import SETS_BY_BPF, needs, needs_ipv6, without_limits
from harness.netns import Netns
from harness.options import held
from harness.sockets import Agent, Listener
from harness.wait import wait_for

WELL, BROKEN = 0, 4
NUMBER = (int, float)
ENFORCEMENT = {"attached": bool, "daemon_pid": int, "since": str, "kernel": str, "guard": bool,
               "adopts_existing": bool, "generation": int}
RULE = {"name": str, "destination": list, "port": list, "side": str, "window": NUMBER,
        "window_auto": bool, "path": dict, "time": int,
        "interval": int, "probes": int, "user_timeout": (int, type(None)), "override": str,
        "enforce": bool, "sockets": int}
NOTHING_LEARNED = {"survived": None, "survived_count": 0, "forgotten": None,
                   "forgotten_count": 0, "host": None}
SOCKET = {"family": str, "local": str, "local_port": int, "peer": str, "peer_port": int,
          "side": str, "rule": str, "verdict": str, "keepalive": bool, "time": int,
          "interval": int, "probes": int, "user_timeout": int, "idle": NUMBER,
          "next_probe": NUMBER, "unanswered": int, "window": NUMBER, "margin": NUMBER,
          "netns": int, "cgroup": str, "inode": int, "cookie": int, "processes": list}
PROCESS = {"pid": int, "command": str, "fd": int}

KEYS = {"time": "120s", "interval": "30s", "probes": 4, "window": "350s"}


def assert_types(thing: dict[str, Any], types: dict[str, Any]) -> None:
    """Checks for exactly these keys, with values of these types; True is no number."""
    assert set(thing) == set(types)
    for key, kind in types.items():
        assert isinstance(thing[key], kind), (key, thing[key])
        assert kind is bool or not isinstance(thing[key], bool), (key, thing[key])


def test_every_key(daemon: Daemon, agent: Agent, listener: Listener, holdfast: Command) -> None:
    """-J has exactly the documented keys, with the documented types."""
    daemon.start(rule("all", **KEYS))
    agent.connect("127.0.0.1", listener.port)
    status = holdfast.status()
    assert set(status) == {"enforcement", "rules", "sockets"}
    enforcement = dict(status["enforcement"])
    if not SETS_BY_BPF:
        assert isinstance(enforcement.pop("limits"), str)
    assert_types(enforcement, ENFORCEMENT)
    assert_types(status["rules"][0], RULE)
    assert_types(status["sockets"][0], SOCKET)
    assert_types(status["sockets"][0]["processes"][0], PROCESS)


def test_enforcement(daemon: Daemon, holdfast: Command) -> None:
    """`enforcement` says which process enforces, since when, and on which kernel."""
    before = datetime.now(timezone.utc).replace(microsecond=0)
    daemon.start(rule("all", **KEYS))
    after = datetime.now(timezone.utc)
    enforcement = holdfast.status()["enforcement"]
    assert enforcement["attached"] is True
    assert enforcement["daemon_pid"] == daemon.pid
    since = datetime.strptime(enforcement["since"], "%Y-%m-%dT%H:%M:%SZ")
    assert before <= since.replace(tzinfo=timezone.utc) <= after
    assert os.uname().release.startswith(enforcement["kernel"])
    assert enforcement["adopts_existing"] is True


def test_rules(daemon: Daemon, agent: Agent, netns: Netns, listener: Listener,
               holdfast: Command) -> None:
    """`rules` has the rules in force with defaults filled in, and each one's number of sockets."""
    netns.add_address("10.20.0.8", "10.20.99.1")
    daemon.start(
        rule("net", "10.20.0.0/16", user_timeout="400s", **KEYS)
        + rule("lab", "10.20.99.0/24, 2001:db8::/32", port="23306, 23400-23402", enforce="no")
        + rule("srv", "any", port=23500, side="server", override="always", window="1h"))
    for address in ("10.20.0.8", "10.20.0.8", "10.20.99.1"):
        agent.connect(address, listener.port)
    net, lab, srv = holdfast.status()["rules"]
    assert net == {"name": "net", "destination": ["10.20.0.0/16"], "port": [23306],
                   "side": "client", "window": 350, "window_auto": False, "path": NOTHING_LEARNED,
                   "time": 120, "interval": 30, "probes": 4,
                   "user_timeout": 400000, "override": "when-longer", "enforce": True,
                   "sockets": 2}
    assert lab["destination"] == ["10.20.99.0/24", "2001:db8::/32"]
    assert lab["port"] == [23306, "23400-23402"]
    assert (lab["enforce"], lab["sockets"], lab["user_timeout"]) == (False, 1, None)
    assert srv == {"name": "srv", "destination": ["any"], "port": [23500], "side": "server",
                   "window": 3600, "window_auto": False, "path": NOTHING_LEARNED, "time": 600, "interval": 60, "probes": 5, "user_timeout": None,
                   "override": "always", "enforce": True, "sockets": 0}


@pytest.mark.parametrize("address, family", [
    ("127.0.0.1", "inet"), pytest.param("::1", "inet6", marks=needs_ipv6),
])
def test_socket(daemon: Daemon, agent: Agent, listener: Listener, holdfast: Command, netns: Netns,
                cgroup: Cgroup, address: str, family: str) -> None:
    """A socket is shown as getsockopt(), sock_diag and /proc have it."""
    daemon.start(rule("all", user_timeout="400s", **KEYS))
    sock = agent.connect(address, listener.port)
    info = sock.info
    time.sleep(1.2)
    shown = holdfast.socket(info["cookie"])
    diag = sockdiag.find(netns, info["cookie"])
    assert diag and diag.timer == sockdiag.TIMER_KEEPALIVE
    assert shown["idle"] == pytest.approx(diag.idle, abs=0.5)
    assert shown["next_probe"] == pytest.approx(diag.expires, abs=0.5)
    assert (100 if build.VALGRIND else 118) <= shown["next_probe"] <= 119.5
    del shown["idle"], shown["next_probe"]
    assert shown == {
        "family": family, "local": info["local"][0], "local_port": info["local"][1],
        "peer": address, "peer_port": PORT, "side": "client", "rule": "all", "verdict": "held",
        "keepalive": True, "time": 120, "interval": 30, "probes": 4, "user_timeout": 400000,
        "unanswered": 0, "window": 350, "margin": 230,
        "netns": netns.inode, "cgroup": cgroup.path, "inode": info["inode"],
        "cookie": info["cookie"],
        "processes": [{"pid": agent.pid, "command": agent.command, "fd": info["fd"]}]}


@pytest.fixture
def capture(netns: Netns) -> Iterator[Capture]:
    """A capture on `lo`."""
    watching = Capture(netns)
    yield watching
    watching.close()


def test_next_probe_after_receiving(daemon: Daemon, agent: Agent, listener: Listener,
                                    holdfast: Command, netns: Netns, capture: Capture) -> None:
    """Received data puts the next probe off, though it doesn't rearm the kernel's timer."""
    daemon.start(rule("all", time="4s", interval="30s", probes=4))
    sock = agent.connect("127.0.0.1", listener.port)
    server = listener.accept()
    time.sleep(2)
    server.send("news")
    assert sock.receive() == "news"
    info = sock.info
    shown = holdfast.socket(info["cookie"])
    due = time.monotonic() + shown["next_probe"]
    diag = sockdiag.find(netns, info["cookie"])
    assert diag and diag.expires < 2.5 and shown["idle"] < 1
    probes = wait_for(lambda: capture.probes(info["local"], info["peer"]), "it is probed")
    # The kernel's timers are up to an eighth late.
    assert probes[0] == pytest.approx(due, abs=0.8)


@needs_ipv6
def test_mapped_socket(daemon: Daemon, agent: Agent, listener: Listener,
                       holdfast: Command) -> None:
    """A socket with an IPv4-mapped peer is shown once, with the mapped or the IPv4 address."""
    daemon.start(rule("all", **KEYS))
    sock = agent.connect("::ffff:127.0.0.1", listener.port)
    shown = holdfast.socket(sock.info["cookie"])
    assert (shown["family"], shown["peer"]) in (
        ("inet6", "::ffff:127.0.0.1"), ("inet", "127.0.0.1"))
    assert shown["verdict"] == "held"


def test_server_side(daemon: Daemon, agent: Agent, holdfast: Command) -> None:
    """Both ends of a connection are shown, each with its side."""
    daemon.start(rule("all", side="both", **KEYS))
    listener = agent.listen(PORT, "127.0.0.1")
    client = agent.connect("127.0.0.1", PORT)
    server = listener.accept()
    assert len(holdfast.status()["sockets"]) == 2
    assert holdfast.socket(client.info["cookie"])["side"] == "client"
    assert holdfast.socket(server.info["cookie"])["side"] == "server"


def test_values_are_read_from_the_socket(daemon: Daemon, agent: Agent, listener: Listener,
                                         holdfast: Command) -> None:
    """The values are read from the socket, so that a change by the application shows."""
    daemon.start("[daemon]\nguard = no\n" + rule("all", **KEYS))
    sock = agent.connect("127.0.0.1", listener.port)
    daemon.kill()
    sock.change(time=77, interval=11, probes=2, user_timeout=1234)
    shown = holdfast.socket(sock.info["cookie"])
    assert [shown[key] for key in ("time", "interval", "probes", "user_timeout")] == [
        77, 11, 2, 1234]
    assert shown["margin"] == 350 - 77


def test_processes_that_share_a_socket(daemon: Daemon, agent: Agent, listener: Listener,
                                       holdfast: Command) -> None:
    """All processes that have a socket open are listed."""
    daemon.start(rule("all", **KEYS))
    sock = agent.connect("127.0.0.1", listener.port)
    child = agent.call("fork")
    info = sock.info
    processes = holdfast.socket(info["cookie"])["processes"]
    assert sorted((p["pid"], p["fd"]) for p in processes) == sorted(
        (pid, info["fd"]) for pid in (agent.pid, child))


def test_closed_sockets_go(daemon: Daemon, agent: Agent, listener: Listener,
                           holdfast: Command) -> None:
    """A connection that its application has closed isn't listed."""
    daemon.start(rule("all", **KEYS))
    sock = agent.connect("127.0.0.1", listener.port)
    assert len(holdfast.status()["sockets"]) == 1
    sock.close()
    assert not holdfast.status()["sockets"]


def test_only_sockets_of_the_cgroup(daemon: Daemon, agent: Agent, outsider: Agent,
                                    listener: Listener, holdfast: Command) -> None:
    """A socket outside the daemon's control group isn't listed."""
    outsider.connect("127.0.0.1", listener.port)
    daemon.start(rule("all", **KEYS))
    outsider.connect("127.0.0.1", listener.port)
    sock = agent.connect("127.0.0.1", listener.port)
    assert [s["cookie"] for s in holdfast.status()["sockets"]] == [sock.info["cookie"]]


@needs("5.15", "to have the kernel give back what is held, so that it can be kept from it,")
def test_held_by_a_rule_that_is_gone(daemon: Daemon, agent: Agent, netns: Netns,
                                     listener: Listener, holdfast: Command) -> None:
    """A socket still held by a removed rule isn't listed, and the other sockets are."""
    netns.add_address("10.20.0.8")
    daemon.start(rule("going", "10.20.0.8", **KEYS) + rule("all", **KEYS))
    gone = agent.connect("10.20.0.8", listener.port)
    kept = agent.connect("127.0.0.1", listener.port)
    sweep = os.path.join(daemon.layout, "hf_sweep")
    os.rename(sweep, sweep + "_aside")  # keeps the reload from giving back
    daemon.reload(rule("all", "127.0.0.0/8", **KEYS))
    assert gone.settings == kept.settings == held(120, 30, 4)
    result = holdfast("status", "-J")
    assert (result.status, [row["cookie"] for row in result.json["sockets"]]) == (
        WELL, [kept.info["cookie"]])
    os.rename(sweep + "_aside", sweep)


@pytest.mark.races
def test_while_rules_change_places(daemon: Daemon, agent: Agent, netns: Netns,
                                   listener: Listener, holdfast: Command) -> None:
    """While rules change places, a socket is never shown with another rule's name."""
    addresses = [f"10.20.0.{n}" for n in range(1, 9)]
    netns.add_address(*addresses)
    rules = [rule(f"r{address}", address, **KEYS) for address in addresses]
    daemon.start("".join(rules))
    for address in addresses:
        for _ in range(10):
            agent.connect(address, listener.port)
    over = threading.Event()
    with ThreadPoolExecutor() as pool:
        seen = pool.submit(lambda: [holdfast("status", "-J") for _ in iter(over.is_set, True)])
        try:
            for swapped in (True, False) * 20:
                daemon.reload("".join(rules[::-1] if swapped else rules))
        finally:
            over.set()
    results = [result for result in seen.result() if result.status != BROKEN]
    for result in seen.result():
        assert result.status == WELL or "the rules kept changing" in result.err, result
    assert len(results) >= 10, "else it says nothing"
    for result in results:
        rows = sorted((row["peer"], row["rule"]) for row in result.json["sockets"])
        assert rows == sorted((address, f"r{address}") for address in addresses * 10)


def test_control_characters(daemon: Daemon, make_cgroup: Callable[..., Cgroup],
                            make_agent: Callable[..., Agent], cgroup: Cgroup, netns: Netns,
                            listener: Listener, holdfast: Command) -> None:
    """Control characters in names of processes and control groups don't reach the terminal."""
    agent = make_agent(netns, make_cgroup("web\x1b[2J\tx", cgroup))
    agent.call("rename", name="my\x1b[31m\n\tapp")
    daemon.start(rule("all", **KEYS))
    agent.connect("127.0.0.1", listener.port)
    for result in (holdfast("status"), holdfast("status", "-J"),
                   holdfast("status", "-n", "-r", "-o", "PROCESSES,CGROUP")):
        assert result.status == 0
        assert not [c for c in result.out if c < " " and c != "\n"], result.out
        assert "my" in result.out and "app" in result.out
    assert len(holdfast("status", "-n", "-r", "-o", "PROCESSES").out.splitlines()) == 1
    process, = holdfast.status()["sockets"][0]["processes"]
    assert process["command"].startswith("my") and process["command"].endswith("app")


FILTERS = [
    (["net"], {"a", "b"}),
    (["one"], {"c"}),
    (["10.20.0.8"], {"a"}),
    (["10.20.0.0/16"], {"a", "b", "c"}),
    (["10.20.0.8/31"], {"a", "b"}),
    (["held"], {"a", "b"}),
    (["own"], {"c"}),
    (["exposed"], set()),
    (["2001:db8::1"], set()),
    ([], {"a", "b", "c"}),
]


def test_filters(daemon: Daemon, agent: Agent, netns: Netns, listener: Listener,
                 holdfast: Command) -> None:
    """FILTER chooses sockets by rule, peer, prefix and verdict."""
    netns.add_address("10.20.0.8", "10.20.0.9", "10.20.99.1")
    daemon.start(rule("net", "10.20.0.0/16", **KEYS) + rule("one", "10.20.99.1", **KEYS))
    names = {
        agent.connect("10.20.0.8", listener.port).info["cookie"]: "a",
        agent.connect("10.20.0.9", listener.port).info["cookie"]: "b",
        agent.connect("10.20.99.1", listener.port, keepalive=1, time=10).info["cookie"]: "c",
    }
    for filters, expected in FILTERS:
        result = holdfast("status", "-J", *filters)
        assert result.status == 0
        found = {names[s["cookie"]] for s in result.json["sockets"]}
        assert found == expected, filters


def test_table(daemon: Daemon, agent: Agent, netns: Netns, listener: Listener,
               holdfast: Command) -> None:
    """The table has a heading and a line a socket; -n, -r and -o work as in lsblk and findmnt."""
    netns.add_address("10.20.0.8")
    daemon.start(rule("orders-db", "10.20.0.8", **KEYS) + rule("rest", **KEYS))
    agent.connect("10.20.0.8", listener.port)
    agent.connect("127.0.0.1", listener.port)
    table = holdfast("status")
    assert table.status == 0
    line, = [line for line in table.out.splitlines() if "orders-db" in line]
    assert "held" in line and "10.20.0.8" in line
    with_heading = holdfast("status", "-o", "RULE,VERDICT").out.splitlines()
    without = holdfast("status", "-n", "-o", "RULE,VERDICT").out.splitlines()
    raw = holdfast("status", "-n", "-r", "-o", "VERDICT,RULE").out.splitlines()
    assert sorted(raw) == ["held orders-db", "held rest"]
    assert sorted(line.split() for line in without) == [["orders-db", "held"], ["rest", "held"]]
    assert [line.split() for line in with_heading if "RULE" in line] == [["RULE", "VERDICT"]]
    assert not [line for line in without if "RULE" in line]


def test_no_socket(daemon: Daemon, holdfast: Command) -> None:
    """Without sockets there is the heading alone, and with -n nothing."""
    daemon.start(rule("all", **KEYS))
    result = holdfast("status", "-o", "RULE,PEER")
    assert (result.status, result.out, without_limits(result.err)) == (0, "RULE PEER\n", [])
    assert holdfast("status").out.startswith("VERDICT RULE ")
    assert holdfast("status", "-n").out == ""


def test_nothing_attached(daemon: Daemon, holdfast: Command) -> None:
    """Where nothing is attached the exit status is 3, and JSON, if any, says so."""
    result = holdfast("status", "-J")
    assert result.status == 3
    if result.out:
        assert result.json["enforcement"]["attached"] is False
        assert result.json["sockets"] == []
    table = holdfast("status")
    assert table.status == 3
    assert table.out + table.err


@pytest.fixture
def command_for_all() -> Iterator[str]:
    """A copy of the command that every user can run."""
    directory = tempfile.mkdtemp(prefix="holdfast-test-")
    os.chmod(directory, 0o755)
    copy = os.path.join(directory, "holdfast")
    shutil.copy(build.HOLDFAST, copy)
    os.chmod(copy, os.stat(copy).st_mode | stat.S_IXOTH | stat.S_IROTH)
    yield copy
    shutil.rmtree(directory)


def test_no_permission(daemon: Daemon, holdfast: Command, command_for_all: str) -> None:
    """An ordinary user gets exit status 4 and a message."""
    daemon.start(rule("all", **KEYS))
    for verb in ("status", "release"):
        result = run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--",
                     command_for_all, "--pin-dir", holdfast.pin_dir, verb)
        assert result.status == 4, result
        assert result.err
    assert daemon.running
