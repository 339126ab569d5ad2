"""`holdfast metrics`: Prometheus text, counted by the kernel side."""

import re

from harness.command import Command
from harness.config import rule
from harness.daemon import Daemon
from harness.sockets import Agent, Listener

SAMPLE = re.compile(r'^(holdfast_[a-z_]+)(?:\{([^}]*)\})? (\d+)$')


def read(text: str) -> dict[tuple[str, str], int]:
    """Every sample by name and labels; each line must be a comment or a sample."""
    samples = {}
    for line in text.splitlines():
        if line.startswith("# "):
            assert re.match(r"# (HELP|TYPE) holdfast_[a-z_]+ \S", line), line
            continue
        match = SAMPLE.match(line)
        assert match, line
        assert (match[1], match[2] or "") not in samples, f"{line} stands twice"
        samples[match[1], match[2] or ""] = int(match[3])
    return samples


def test_counts(daemon: Daemon, agent: Agent, listener: Listener, holdfast: Command) -> None:
    """Sockets by verdict, holds by way, the guard's interventions, ends by cause."""
    before = agent.connect("127.0.0.1", listener.port)
    daemon.start(rule("db", port=str(listener.port), time="120s", window="350s"))
    after = [agent.connect("127.0.0.1", listener.port) for _ in range(3)]
    before.change(time=5000)
    after[0].close()

    result = holdfast("metrics")
    assert result.status == 0, result
    samples = read(result.out)
    assert samples["holdfast_attached", ""] == 1
    assert samples["holdfast_daemon_up", ""] == 1
    assert samples["holdfast_rules", ""] == 1
    assert samples["holdfast_sockets", 'rule="db",verdict="held"'] == 3
    assert samples["holdfast_sockets", 'rule="db",verdict="exposed"'] == 0
    assert samples["holdfast_held_total", 'rule="db",way="connect"'] == 3
    assert samples["holdfast_held_total", 'rule="db",way="sweep"'] == 1
    assert samples["holdfast_guard_interventions_total", 'rule="db"'] == 1
    assert samples["holdfast_ends_total", 'rule="db",cause="application"'] == 1


def test_nothing_attached(daemon: Daemon, holdfast: Command) -> None:
    """Says so by a gauge as well, for whoever scrapes it."""
    result = holdfast("metrics")
    assert result.status == 3
    assert read(result.out) == {("holdfast_attached", ""): 0}


def test_counters_outlive_reload_and_restart(daemon: Daemon, agent: Agent, listener: Listener,
                                             holdfast: Command) -> None:
    """Counted by the rule's name, wherever it stands and whoever runs."""
    port = str(listener.port)
    daemon.start(rule("db", port=port))
    agent.connect("127.0.0.1", listener.port)
    daemon.reload(rule("first", destination="192.0.2.1") + rule("db", port=port))
    agent.connect("127.0.0.1", listener.port)
    daemon.kill()
    agent.connect("127.0.0.1", listener.port)
    daemon.start()
    samples = read(holdfast("metrics").out)
    assert samples["holdfast_held_total", 'rule="db",way="connect"'] == 3
    assert samples["holdfast_held_total", 'rule="first",way="connect"'] == 0
