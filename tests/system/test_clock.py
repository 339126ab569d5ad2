"""Steps of the machine's clock affect only the times that are shown."""

import time
from datetime import datetime, timezone
from typing import Iterator

import pytest

from harness import clock
from harness.command import Command
from harness.config import PORT, rule
from harness.config import daemon as daemon_section
from harness.daemon import Daemon
from harness.dns import ZONE, Files, Server
from harness.kernel import needs_ipv6
from harness.netns import Netns
from harness.options import UNTOUCHED, held
from harness.sockets import Agent, Listener
from harness.wait import wait_for

pytestmark = clock.needs_own

HOUR, DAY = 3600, 86400
FAST = daemon_section(reconcile="1s", guard="no")
RULE, VALUES = rule("all", time="120s", interval="30s", probes=4), held(120, 30, 4)

STEPS = [-30 * DAY, -HOUR, HOUR, 30 * DAY]


@pytest.fixture(autouse=True)
def _put_back() -> Iterator[None]:
    with clock.put_back():
        yield


def live(daemon: Daemon, agent: Agent, listener: Listener, holdfast: Command) -> None:
    """Checks that passes, reload, probe, restart and `status` work in their time."""
    sock = agent.connect("127.0.0.1", listener.port)
    sock.change(keepalive=0)
    wait_for(lambda: sock.settings == VALUES, "a pass has healed it", 10)
    shown = holdfast.socket(sock.info["cookie"])
    assert shown["verdict"] == "held"
    assert 0 <= shown["idle"] < 30 and 60 < shown["next_probe"] <= 120 * 1.2, shown
    result = holdfast("reload")
    assert result.status == 0, result
    assert holdfast("probe").status == 0
    daemon.kill()
    daemon.start()
    assert sock.settings == VALUES
    sock.close()


@pytest.mark.parametrize("seconds", STEPS)
def test_step(daemon: Daemon, agent: Agent, listener: Listener, holdfast: Command,
              seconds: int) -> None:
    """Everything works after the clock has been stepped by an hour or a month, forward or back."""
    daemon.start(FAST + RULE)
    clock.step(seconds)
    live(daemon, agent, listener, holdfast)
    clock.step(-seconds)
    live(daemon, agent, listener, holdfast)
    daemon.stop()


@pytest.mark.parametrize("year", [1970, 2040])
def test_wrong(daemon: Daemon, agent: Agent, listener: Listener, holdfast: Command,
               year: int) -> None:
    """Everything works with a clock at 1970, as on a machine without one, and at 2040, beyond 32
    bits."""
    # The kernel refuses a time before that of the machine's own start.
    clock.put(max(datetime(year, 1, 1, 0, 1, tzinfo=timezone.utc).timestamp(),
                  time.monotonic() + 10))
    daemon.start(FAST + RULE)
    assert holdfast.status()["enforcement"]["since"].startswith(f"{year}-01-01T0")
    live(daemon, agent, listener, holdfast)
    assert "holdfast_attached 1" in holdfast("metrics").out
    daemon.stop()


@needs_ipv6
@pytest.mark.parametrize("seconds", STEPS)
def test_names(make_daemon, netns: Netns, workdir: str, agent: Agent, listener: Listener,
               seconds: int) -> None:
    """After a step of the clock host names are still looked up again as their TTL runs out."""
    first, second = "10.20.0.8", "10.20.0.9"
    netns.add_address(first, second)
    files = Files(workdir, "127.0.0.53")
    server = Server(netns, workdir, "127.0.0.53", 1)
    try:
        server.answer(db=[first])
        daemon = make_daemon(netns=netns)
        daemon.start(rule("db", f"db.{ZONE}", PORT, time="120s", interval="30s", probes=4))
        old, new = (agent.connect(address, listener.port) for address in (first, second))
        assert (old.settings, new.settings) == (VALUES, UNTOUCHED)
        clock.step(seconds)
        server.answer(db=[second])
        wait_for(lambda: (old.settings, new.settings) == (UNTOUCHED, VALUES),
                 "the new answer is in force", 15)
        daemon.stop()
    finally:
        server.stop()
        files.close()
