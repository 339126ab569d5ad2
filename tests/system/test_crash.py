"""SIGKILL at any moment: the kernel goes on enforcing, and the next start takes over in place."""

import os
import random
import time
from typing import Callable

import pytest

from harness import bpf
from harness.cgroup import Cgroup
from harness.command import Command
from harness.config import PORT, rule
from harness.daemon import Daemon
from harness.options import UNTOUCHED, Settings, held
from harness.sockets import Agent, Listener, Socket
from harness.wait import wait_for

OLD, OLD_VALUES = rule("all", time="120s", interval="30s", probes=4), held(120, 30, 4)
NEW, NEW_VALUES = rule("all", time="60s", interval="20s", probes=3), held(60, 20, 3)
SEED = int(os.environ.get("HF_SEED") or random.randrange(1 << 32))
KILLS = int(os.environ.get("HF_KILLS") or 20)


def sockops_link(daemon: Daemon) -> bpf.Link:
    """Returns the pinned link to the control group."""
    return bpf.pinned_link(os.path.join(daemon.layout, "hf_sockops"))


def start(daemon: Daemon, config: str) -> float:
    """Starts the daemon. Returns a time in seconds in which a start is over on this machine."""
    before = time.monotonic()
    return 1.2 * (daemon.start(config) - before)


def crash(daemon: Daemon, moment: float) -> None:
    """Starts the daemon, and kills it after so many seconds."""
    daemon.launch()
    time.sleep(moment)
    assert daemon.running, daemon.log
    daemon.kill()


def test_take_over_in_place(daemon: Daemon, cgroup: Cgroup, holdfast: Command) -> None:
    """A take-over keeps the link and `since`, replaces the link's program, and frees the old
    program."""
    daemon.start(OLD)
    first, since = sockops_link(daemon), holdfast.status()["enforcement"]["since"]
    assert bpf.attached(cgroup.directory, bpf.SOCK_OPS) == [first.program]
    daemon.kill()
    begin = int(time.time())
    wait_for(lambda: int(time.time()) > begin, "another second")
    assert sockops_link(daemon) == first
    assert bpf.attached(cgroup.directory, bpf.SOCK_OPS) == [first.program]
    daemon.start(OLD)
    second = sockops_link(daemon)
    assert second.id == first.id and second.cgroup == first.cgroup
    assert second.program != first.program
    assert bpf.attached(cgroup.directory, bpf.SOCK_OPS) == [second.program]
    assert len(bpf.attached(cgroup.directory, bpf.SETSOCKOPT)) == 1
    wait_for(lambda: not bpf.program_exists(first.program), "the kernel drops the old program")
    assert holdfast.status()["enforcement"]["since"] == since
    daemon.stop()
    assert not bpf.attached(cgroup.directory, bpf.SOCK_OPS)
    wait_for(lambda: not bpf.program_exists(second.program), "the kernel drops the program")


@pytest.mark.races
def test_killed_at_random(daemon: Daemon, make_agent: Callable[..., Agent], agent: Agent, netns,
                          cgroup: Cgroup, listener: Listener, holdfast: Command) -> None:
    """No connection is ever unheld while daemons are killed at random moments of start and
    reload."""
    print(f"HF_SEED={SEED}")
    dice = random.Random(SEED)
    listener.serve_all()
    # The port of the rules is replaced, so that only these connections outlive a moment.
    lasting = make_agent(netns, cgroup)
    other = make_agent(netns, None).listen(PORT + 1)
    port = f"{PORT}, {PORT + 1}"
    old, new = (config.replace(f"port = {PORT}", f"port = {port}") for config in (OLD, NEW))
    starting = start(daemon, old)
    link = sockops_link(daemon)
    socks: list[Socket] = [lasting.connect("127.0.0.1", other.port)]
    looks = 0
    agent.churn_start("127.0.0.1", PORT)
    for kill in range(KILLS):
        if daemon.running:
            daemon.kill()
        daemon.configure(dice.choice((old, new)))
        crash(daemon, dice.uniform(0, starting))
        socks.append(lasting.connect("127.0.0.1", other.port))
        for sock in socks:
            assert sock.settings in (OLD_VALUES, NEW_VALUES), (SEED, kill, sock.settings)
            looks += 1
        assert sockops_link(daemon).id == link.id
        if kill % 5 == 0:
            enforcement = holdfast.status()["enforcement"]
            assert enforcement["attached"] is True and enforcement["daemon_pid"] is None
            assert len(holdfast.status()["sockets"]) >= len(socks)
        if kill % 7 == 0:
            daemon.start(old)
            assert [sock.settings for sock in socks] == [OLD_VALUES] * len(socks)
    seen = agent.churn_stop()
    print(f"{KILLS} kills, {looks} looks at lasting connections, {sum(seen.values())} connections "
          f"while daemons came and went: {seen}")
    assert set(seen) <= {OLD_VALUES, NEW_VALUES}, (SEED, seen)
    if not daemon.running:
        daemon.start(new)
    daemon.reload(new)
    assert [sock.settings for sock in socks] == [NEW_VALUES] * len(socks)
    daemon.stop()
    assert [sock.settings for sock in socks] == [UNTOUCHED] * len(socks)
    assert not os.path.exists(daemon.pin_dir)


def test_killed_at_the_first_start(daemon: Daemon, agent: Agent, cgroup: Cgroup,
                                   listener: Listener, holdfast: Command) -> None:
    """A killed first start leaves all or nothing attached, and the next start or `release`
    recovers."""
    print(f"HF_SEED={SEED}")
    dice = random.Random(SEED)
    before = agent.connect("127.0.0.1", listener.port)
    starting = start(daemon, OLD)
    daemon.stop()
    for nth in range(8):
        crash(daemon, dice.uniform(0, starting))
        attached = bool(bpf.attached(cgroup.directory, bpf.SOCK_OPS))
        new = agent.connect("127.0.0.1", listener.port)
        assert new.settings == (OLD_VALUES if attached else UNTOUCHED), (SEED, nth)
        assert before.settings in (OLD_VALUES, UNTOUCHED)
        assert attached or before.settings == UNTOUCHED
        if nth % 2:
            daemon.start(OLD)
            assert [s.settings for s in (before, new)] == [OLD_VALUES] * 2
            daemon.stop()
        else:
            assert holdfast("release").status in (0, 3)
        settings: list[Settings] = [s.settings for s in (before, new)]
        assert settings == [UNTOUCHED] * 2, (SEED, nth)
        assert not bpf.attached(cgroup.directory, bpf.SOCK_OPS)
        assert not bpf.attached(cgroup.directory, bpf.SETSOCKOPT)
