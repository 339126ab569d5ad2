"""More sockets than fit into one buffer of the kernel's iterators: each is handled and counted
once."""

from harness.command import Command
from harness.config import PORT, rule
from harness.daemon import Daemon
from harness.metrics import Metrics
from harness.options import UNTOUCHED, held
from harness.sockets import Agent, Listener

# An iterator's buffer has eight pages: room for a sweep's records of 1024 sockets.
MANY = 2500
OLD = rule("all", time="120s", interval="30s", probes=4)
NEW = rule("all", time="60s", interval="20s", probes=3)
ELSEWHERE = rule("elsewhere", "192.0.2.0/24")


def swept(holdfast: Command) -> dict[str, float]:
    """Returns what passes did to sockets, and to how many."""
    return Metrics(holdfast("metrics").out).nonzero("reconcile_sockets_total")


def test_more_than_a_buffer(daemon: Daemon, agent: Agent, listener: Listener,
                            holdfast: Command) -> None:
    """All sockets are held, changed, and given back as their application had them."""
    listener.keep_all(MANY)
    own = {"keepalive": 1, "time": 5000, "interval": 50, "probes": 8, "user_timeout": 400000}
    socks = agent.connect_many("127.0.0.1", PORT, MANY, **own)
    original = UNTOUCHED._replace(**own)
    assert agent.settings_of(socks) == {original: MANY}

    daemon.start(OLD)
    assert agent.settings_of(socks) == {held(120, 30, 4, 400000): MANY}
    assert swept(holdfast) == {'action="held"': MANY}
    metrics = Metrics(holdfast("metrics").out)
    assert metrics.nonzero("holds_total") == {'rule="all",way="sweep"': MANY}
    assert metrics.nonzero("sockets") == {'rule="all",verdict="held"': MANY}
    assert len(holdfast.status()["sockets"]) == MANY

    daemon.reload(NEW)
    assert agent.settings_of(socks) == {held(60, 20, 3, 400000): MANY}
    assert swept(holdfast) == {'action="held"': MANY, 'action="changed"': MANY}

    daemon.reload(ELSEWHERE)
    assert agent.settings_of(socks) == {original: MANY}
    assert swept(holdfast) == {'action="held"': MANY, 'action="changed"': MANY,
                               'action="given_back"': MANY}


def test_more_than_a_buffer_of_exempt_ones(daemon: Daemon, agent: Agent, listener: Listener,
                                           holdfast: Command) -> None:
    """`status` shows each exempt socket once, though they come through a buffer of their own."""
    listener.keep_all(MANY)
    agent.connect_many("127.0.0.1", PORT, MANY)
    daemon.start(rule("not", enforce="no"))
    rows = holdfast.status()["sockets"]
    assert {row["verdict"] for row in rows} == {"exempt"}
    assert len({row["cookie"] for row in rows}) == len(rows) == MANY
