"""`holdfast metrics`: the sockets by rule and verdict, and the counters, whichever daemon
counted."""

import os
import time

import pytest

from harness.command import Command
from harness.config import PORT, daemon as daemon_section, rule
from harness.daemon import Daemon
from harness.metrics import Metrics, promtool
from harness.netns import Netns
from harness.sockets import Agent, Listener
from harness.wait import wait_for

RULE = rule("db", time="120s", interval="30s", probes=4, window="350s")
NOTHING_ATTACHED, BROKEN = 3, 4


def read(holdfast: Command) -> Metrics:
    """Returns the metrics; checks that the command succeeds without a message."""
    result = holdfast("metrics")
    assert (result.status, result.err) == (0, ""), result
    return Metrics(result.out)


# --- sockets and what happened to them ---

def test_verdicts(daemon: Daemon, agent: Agent, netns: Netns, listener: Listener,
                  holdfast: Command) -> None:
    """The number of sockets of each rule and verdict is the one that `status` shows."""
    netns.add_address("10.20.0.1", "10.20.0.2", "10.20.99.1")
    keys = {"time": "1s", "interval": "60s", "window": "350s", "probes": 5}
    daemon.start(RULE + rule("silent", "10.20.0.1", **keys)
                 + rule("loose", "10.20.0.2", override="never", window="350s")
                 + rule("lab", "10.20.99.0/24", enforce="no"))
    socks = [agent.connect("127.0.0.1", listener.port) for _ in range(3)]
    for _ in range(2):
        agent.connect("127.0.0.1", listener.port, keepalive=1, time=20)
    for _ in range(4):
        agent.connect("10.20.99.1", listener.port)
    agent.connect("10.20.0.2", listener.port, keepalive=1, time=5000)
    agent.connect("10.20.0.1", listener.port)
    listener.accept().close()  # the first of them
    netns.nft("table inet t {\n chain c {\n type filter hook input priority 0\n"
              f"ip daddr 10.20.0.1 tcp dport {PORT} drop\n }}\n }}\n")
    wanted = {'rule="db",verdict="held"': 2, 'rule="db",verdict="closed"': 1,
              'rule="db",verdict="own"': 2, 'rule="silent",verdict="probing"': 1,
              'rule="loose",verdict="exposed"': 1, 'rule="lab",verdict="exempt"': 4}
    wait_for(lambda: read(holdfast).nonzero("sockets") == wanted, "each has its verdict")

    shown: dict[str, int] = {}
    for sock in holdfast.status()["sockets"]:
        labels = f'rule="{sock["rule"]}",verdict="{sock["verdict"]}"'
        shown[labels] = shown.get(labels, 0) + 1
    assert shown == wanted
    assert len(read(holdfast).family("sockets")) == 4 * 6
    for sock in socks:
        sock.close()
    assert read(holdfast)["sockets", 'rule="db",verdict="held"'] == 0


def test_ways(daemon: Daemon, agent: Agent, outsider: Agent, listener: Listener,
              holdfast: Command) -> None:
    """Each connection counts once, by the way in which it came to be held."""
    own = agent.listen(PORT + 1)
    rules = RULE + rule("served", port=own.port, side="server", window="350s")
    for _ in range(4):
        agent.connect("127.0.0.1", listener.port)
    daemon.start(rules)
    for _ in range(3):
        agent.connect("127.0.0.1", listener.port)
    accepted = []
    for _ in range(2):
        outsider.connect("127.0.0.1", own.port)
        accepted.append(own.accept())
    daemon.reload(rules.replace("120s", "100s"))
    metrics = read(holdfast)
    assert metrics.nonzero("holds_total") == {
        'rule="db",way="sweep"': 4, 'rule="db",way="connect"': 3,
        'rule="served",way="accept"': 2}
    assert metrics.nonzero("reconcile_sockets_total") == {
        'action="held"': 4, 'action="changed"': 7}
    daemon.reload(rule("served", port=own.port, side="server", window="350s"))
    assert read(holdfast)["reconcile_sockets_total", 'action="given_back"'] == 7


def test_undone(daemon: Daemon, agent: Agent, listener: Listener, holdfast: Command) -> None:
    """The guard's interventions are counted, and without the guard the connections held again."""
    daemon.start(RULE)
    socks = [agent.connect("127.0.0.1", listener.port) for _ in range(2)]
    socks[0].change(time=5000)
    socks[0].change(keepalive=0, interval=7000)
    socks[1].change(probes=100)
    metrics = read(holdfast)
    assert metrics["guard_interventions_total", 'rule="db"'] == 4
    assert metrics["guard_attached"] == 1

    daemon.reload(daemon_section(guard="no", reconcile="1s") + RULE)
    for sock in socks:
        sock.change(keepalive=0)
    wait_for(lambda: read(holdfast)["reconcile_sockets_total", 'action="held_again"'] == 2,
             "both are held again")
    metrics = read(holdfast)
    assert metrics["guard_interventions_total", 'rule="db"'] == 4
    assert metrics["guard_attached"] == 0


def test_ends(daemon: Daemon, agent: Agent, listener: Listener, holdfast: Command) -> None:
    """Ends are counted by cause (test_ends.py tests all causes)."""
    daemon.start(RULE)
    socks = [agent.connect("127.0.0.1", listener.port) for _ in range(5)]
    servers = [listener.accept() for _ in socks]
    for sock in socks[:2]:
        sock.close()
    time.sleep(0.8)  # a close right after the handshake would count as the application's wish
    for server in servers[2:]:
        server.close()
    wanted = {'rule="db",cause="application"': 2, 'rule="db",cause="server"': 3}
    wait_for(lambda: read(holdfast).nonzero("ends_total") == wanted, "all have ended")
    for sock in socks[2:]:
        sock.close()
    assert read(holdfast).nonzero("ends_total") == wanted


# --- rules, reloads, reconcile ---

def test_rules(daemon: Daemon, holdfast: Command) -> None:
    """The metrics have each rule's values, and how many host names there are and have no
    address."""
    daemon.start(daemon_section(reconcile="90s") + RULE
                 + rule("names", "nobody.invalid, localhost", port=1, window="2500ms", side="both",
                        override="always", probes=1) + rule("lab", "192.0.2.0/24", enforce="no"))
    metrics = read(holdfast)
    assert metrics["rules"] == 3
    assert metrics.family("rule_info") == {
        'rule="db",side="client",override="when-longer",enforce="yes"': 1,
        'rule="names",side="both",override="always",enforce="yes"': 1,
        'rule="lab",side="client",override="when-longer",enforce="no"': 1}
    assert metrics.family("rule_window_seconds") == {
        'rule="db"': 350, 'rule="names"': 2.5}
    assert metrics.family("rule_window_auto") == {
        'rule="db"': 0, 'rule="names"': 0, 'rule="lab"': 1}
    assert metrics.family("rule_time_seconds") == {
        'rule="db"': 120, 'rule="names"': 1, 'rule="lab"': 200}
    assert (metrics["host_names"], metrics["host_names_unresolved"]) == (2, 1)
    assert metrics["reconcile_period_seconds"] == 90
    assert metrics.family("build_info") == {'version="1.0.0",layout="2"': 1}


def test_reloads(daemon: Daemon, holdfast: Command) -> None:
    """Reloads are counted by outcome, and the time of the last successful one is given."""
    before = int(time.time())
    daemon.start(RULE)
    metrics = read(holdfast)
    assert metrics.nonzero("reloads_total") == {}
    assert metrics["last_reload_successful"] == 1
    assert before <= metrics["last_reload_success_timestamp_seconds"] <= time.time()
    assert before <= metrics["attached_timestamp_seconds"] <= time.time()
    first = metrics["rules_generation"]

    daemon.reload(RULE)
    daemon.reload(RULE + rule("more", "192.0.2.1"))
    time.sleep(1.1)
    good = int(time.time())
    daemon.reload("[rule x]\n")
    metrics = read(holdfast)
    assert metrics.nonzero("reloads_total") == {'outcome="applied"': 2, 'outcome="rejected"': 1}
    assert metrics["last_reload_successful"] == 0
    assert metrics["last_reload_success_timestamp_seconds"] < good
    assert (metrics["rules_generation"], metrics["rules"]) == (first + 2, 2)

    # These rules are sound but have more keys than the map may, so that they can't be put in force.
    daemon.reload("".join(
        rule(f"r{n}", ", ".join(f"{n}.0.{i // 256}.{i % 256}" for i in range(300)), f"1-{n}")
        for n in range(1, 101)))
    assert read(holdfast).nonzero("reloads_total") == {
        'outcome="applied"': 2, 'outcome="rejected"': 1, 'outcome="failed"': 1}
    daemon.reload(RULE)
    metrics = read(holdfast)
    assert metrics["last_reload_successful"] == 1
    assert metrics["last_reload_success_timestamp_seconds"] >= good


def test_reconcile(daemon: Daemon, make_netns, make_agent, holdfast: Command) -> None:
    """Each reconcile pass is counted, with its duration."""
    started = time.time()
    daemon.start(daemon_section(reconcile="1s") + RULE)
    metrics = read(holdfast)
    passes, namespaces = metrics["reconcile_duration_seconds_count"], metrics["network_namespaces"]
    assert passes >= 1
    make_agent(make_netns(), None)
    wait_for(lambda: read(holdfast)["reconcile_duration_seconds_count"] >= passes + 2,
             "two passes more", timeout=10)
    # Other tests' namespaces may come and go on this machine.
    wait_for(lambda: read(holdfast)["network_namespaces"] >= 2, "they are counted")
    assert namespaces >= 1
    metrics = read(holdfast)
    buckets = list(metrics.family("reconcile_duration_seconds_bucket").values())
    assert buckets == sorted(buckets)
    assert buckets[-1] == metrics["reconcile_duration_seconds_count"]
    assert 0 < metrics["reconcile_duration_seconds_sum"] < \
        metrics["reconcile_duration_seconds_count"] * (time.time() - started)
    assert int(started) <= metrics["last_reconcile_timestamp_seconds"] <= time.time()
    assert metrics["reconcile_incomplete_total"] == 0


# --- who is there ---

def test_outlives_the_daemon(daemon: Daemon, agent: Agent, listener: Listener,
                             holdfast: Command) -> None:
    """Counters go by the rule's name: its place in the file and the daemon may change."""
    daemon.start(RULE)
    agent.connect("127.0.0.1", listener.port)
    daemon.reload(rule("first", destination="192.0.2.1") + RULE)
    agent.connect("127.0.0.1", listener.port)
    before = read(holdfast)
    assert (before["attached"], before["daemon_up"], before["daemon_starts_total"]) == (1, 1, 1)
    assert before["adopts_existing"] == holdfast.status()["enforcement"]["adopts_existing"]
    daemon.kill()
    # Passes that look for new namespaces may have come meanwhile.
    killed = read(holdfast)
    assert killed["reconcile_duration_seconds_count"] >= \
        before["reconcile_duration_seconds_count"] >= 2
    for name in ("reloads_total", "reconcile_sockets_total"):
        assert killed.family(name) == before.family(name)
    agent.connect("127.0.0.1", listener.port)
    dead = read(holdfast)
    assert (dead["attached"], dead["daemon_up"], dead["daemon_starts_total"]) == (1, 0, 1)
    assert dead["holds_total", 'rule="db",way="connect"'] == 3
    for name in ("reloads_total", "reconcile_duration_seconds_bucket", "reconcile_sockets_total"):
        assert dead.family(name) == killed.family(name)
    daemon.start()
    after = read(holdfast)
    assert (after["daemon_up"], after["daemon_starts_total"]) == (1, 2)
    assert after["holds_total", 'rule="db",way="connect"'] == 3
    assert after["holds_total", 'rule="first",way="connect"'] == 0
    assert after["reloads_total", 'outcome="applied"'] == 1
    assert after["reconcile_duration_seconds_count"] > killed["reconcile_duration_seconds_count"]
    assert after["attached_timestamp_seconds"] == before["attached_timestamp_seconds"]


def test_nothing_attached(daemon: Daemon, holdfast: Command) -> None:
    """Where nothing is attached, the exit status is 3 and the output a single gauge that says
    so."""
    result = holdfast("metrics")
    assert result.status == NOTHING_ATTACHED
    metrics = Metrics(result.out)
    assert (metrics["attached"], len(metrics.types)) == (0, 1)
    assert promtool("check", "metrics", stdin=result.out) == (0, "")
    assert not daemon.running


@pytest.mark.parametrize("foreign", [False, True], ids=["missing", "foreign"])
def test_pins_without_the_daemons_numbers(daemon: Daemon, holdfast: Command,
                                          foreign: bool) -> None:
    """Where the pinned map of the daemon's numbers is missing or another map, they begin at
    zero."""
    daemon.start(RULE)
    daemon.reload()
    daemon.kill()
    pin = os.path.join(daemon.layout, "hf_daemon")
    if foreign:
        os.rename(os.path.join(daemon.layout, "hf_reload"), pin)
    else:
        os.unlink(pin)
    metrics = read(holdfast)
    assert (metrics["daemon_starts_total"], metrics["rules"]) == (0, 1)
    assert metrics.nonzero("reloads_total") == {}
    daemon.start()
    daemon.reload()
    metrics = read(holdfast)
    assert metrics["daemon_starts_total"] == 1
    assert metrics["reloads_total", 'outcome="applied"'] == 1


def test_output_that_can_not_be_written(daemon: Daemon, holdfast: Command) -> None:
    """Output that can't be written completely is an error."""
    daemon.start(RULE)
    with open("/dev/full", "wb") as full:
        result = holdfast("metrics", stdout=full)
    assert result.status == BROKEN
    assert "No space left" in result.err


# --- format ---

@pytest.mark.parametrize("rules", ["", RULE, rule("a.b-c_d") + rule("names", "nobody.invalid")],
                         ids=["none", "one", "names"])
def test_promtool(daemon: Daemon, agent: Agent, listener: Listener, holdfast: Command,
                  rules: str) -> None:
    """`promtool check metrics` has no complaint, and no label identifies a single socket."""
    daemon.start(rules)
    agent.connect("127.0.0.1", listener.port)
    metrics = read(holdfast)
    assert promtool("check", "metrics", stdin=metrics.text) == (0, "")
    for name, kind in metrics.types.items():
        assert (kind == "counter") == name.endswith("_total"), name
    for labels in (labels for name in metrics.types
                   for labels in metrics.family(name.removeprefix("holdfast_"))):
        for word in ("cookie", "inode", "pid", "port", "peer", "local"):
            assert f"{word}=" not in labels
