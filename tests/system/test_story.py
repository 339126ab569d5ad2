"""The story: a pooled MySQL connection idles longer than the firewall remembers it.

One idle period serves all cases, and each test looks at its own. MariaDB, PyMySQL and SQLAlchemy
are real; only time is scaled, from hours to seconds.
"""

import os
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Iterator

import pytest

from harness import kernel, mariadb
from harness.capture import Capture
from harness.cgroup import Cgroup
from harness.config import PORT, rule
from harness.daemon import Daemon
from harness.mysql import MysqlClient, Outcome
from harness.netns import HAS_IPV6, Netns
from harness.options import Settings, held
from harness.topology import DEVICE, SERVER, Topology
from harness.wait import sleep_until

WINDOW = 6
TIME = 2
RULES = rule("story", window=f"{WINDOW}s", time=f"{TIME}s", interval="1s", probes=3)
SERVER_LOST = 2013
DELAYED_ACK = 0.3  # seconds by which a last answer may be acknowledged late


@dataclass(frozen=True)
class Case:
    """A client: its place, its kind, and when it connects."""

    place: str  # "plain", "advised" (a container on a host with the sysctls set), "held"
    family: str = "inet"
    pool: bool = False
    before: bool = False  # before the daemon's start

    def __str__(self) -> str:
        return "-".join([self.place, self.family, "pool" if self.pool else "connection",
                         "before" if self.before else "after"])


FAMILIES = ("inet", "inet6") if HAS_IPV6 else ("inet",)
CONTROLS = [*(Case("plain", family) for family in FAMILIES), Case("plain", pool=True),
            Case("advised"), Case("advised", pool=True)]
HELD = [Case("held", family, pool, before) for family in FAMILIES
        for pool in (False, True) for before in (False, True)]


@dataclass
class Observed:
    """What was seen of a client."""

    settings: Settings      # before the idle time
    packets: list[float]    # when its packets went out, from its last answer until it asked again
    probes: list[float]
    connection_id: int
    outcome: Outcome        # of the first query after the idle time
    reconnected: Outcome    # of the next one


def idle_and_ask(clients: dict[Case, MysqlClient], captures: dict[str, Capture],
                 ) -> dict[Case, Observed]:
    """Lets all connections idle for longer than the window, and then queries on all at once."""
    settings = {case: client.settings for case, client in clients.items()}
    time.sleep(DELAYED_ACK)
    start = time.monotonic()
    sleep_until(start + WINDOW + 1.2)
    asked = time.monotonic()
    for client in clients.values():
        client.begin_query()
    outcomes = {case: client.end_query() for case, client in clients.items()}
    for client in clients.values():
        client.begin_query()
    again = {case: client.end_query() for case, client in clients.items()}
    return {case: Observed(
        settings[case],
        [p.at for p in captures[case.place].flow(*client.ends) if start <= p.at < asked],
        [at for at in captures[case.place].probes(*client.ends) if at < asked],
        client.id, outcomes[case], again[case]) for case, client in clients.items()}


@pytest.fixture(scope="module")
def story(session_dir: str, bpffs: str, mariadb_files: str) -> Iterator[dict[Case, Observed]]:
    """What was seen in all cases, which run side by side."""
    kernel.require_firewall()
    with ExitStack() as stack:
        directory = tempfile.mkdtemp(dir=session_dir)
        topology = Topology(WINDOW)
        stack.callback(topology.close)
        server = mariadb.Server(topology.server, mariadb_files, directory, PORT)
        stack.callback(server.close)
        group = Cgroup(f"holdfast-test-story-{os.getpid()}")
        stack.callback(group.remove)

        # A container doesn't inherit the sysctls that were set on its host.
        host = Netns()
        stack.callback(host.close)
        host.sysctl("ipv4/tcp_keepalive_time", TIME)
        host.sysctl("ipv4/tcp_keepalive_intvl", 1)
        places = {"plain": topology.add_client(), "advised": topology.add_client(host),
                  "held": topology.add_client()}
        captures = {place: Capture(netns, DEVICE) for place, netns in places.items()}
        clients: dict[Case, MysqlClient] = {}
        for case in CONTROLS + HELD:
            clients[case] = MysqlClient(places[case.place], group if case.place == "held" else None,
                                        case.pool)
            stack.callback(clients[case].close)

        def open_all(cases: list[Case]) -> None:
            for case in cases:
                clients[case].begin_open(SERVER[case.family], PORT)
            for case in cases:
                clients[case].end_open()

        open_all([case for case in HELD if case.before])
        daemon = Daemon(directory, group, os.path.join(bpffs, "story"))
        stack.callback(daemon.close)
        daemon.start(RULES)
        open_all([case for case in CONTROLS + HELD if not case.before])
        yield idle_and_ask(clients, captures)


@pytest.mark.parametrize("case", CONTROLS, ids=str)
def test_control_loses_its_connection(story: dict[Case, Observed], case: Case) -> None:
    """Without holdfast the query hangs and fails, in spite of the client's own keepalive."""
    observed = story[case]
    assert observed.settings == Settings(1, 7200, 75, 9)
    assert not observed.packets
    assert observed.outcome.error == SERVER_LOST, observed.outcome
    assert observed.outcome.seconds > 1


@pytest.mark.parametrize("case", HELD, ids=str)
def test_held_connection_survives(story: dict[Case, Observed], case: Case) -> None:
    """Under holdfast the query is answered at once, on the same connection."""
    observed = story[case]
    assert observed.settings == held(TIME, 1, 3)
    assert observed.outcome.error is None, observed.outcome
    assert observed.outcome.id == observed.connection_id
    assert observed.outcome.seconds < 1
    assert observed.reconnected.id == observed.connection_id


@pytest.mark.parametrize("case", HELD, ids=str)
def test_only_probes_kept_it_alive(story: dict[Case, Observed], case: Case) -> None:
    """During the idle time only probes and their answers went over the wire, one every `time`."""
    observed = story[case]
    assert len(observed.probes) >= WINDOW // TIME
    assert len(observed.packets) <= 2 * len(observed.probes)
    gaps = [b - a for a, b in zip(observed.probes, observed.probes[1:])]
    assert all(TIME - 0.1 <= gap <= TIME + 0.6 for gap in gaps), gaps


def test_pool_reconnects_only_after_the_failure(story: dict[Case, Observed]) -> None:
    """After the failure the pool's next connection is a new one."""
    observed = story[Case("plain", pool=True)]
    assert observed.reconnected.error is None
    assert observed.reconnected.id != observed.connection_id
