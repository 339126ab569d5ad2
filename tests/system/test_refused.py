"""Connections on which the kernel refuses to set keepalive: logged once, and counted correctly.

Today's kernels refuse it on no socket. So the tests give the rules in the kernel a time that it
refuses; the daemon's own copy of the rules stays as it was.
"""

import os
import struct
from typing import Callable

import pytest

from harness import bpf, record
from harness.command import Command
from harness.config import daemon as daemon_section, rule
from harness.daemon import Daemon
from harness.metrics import Metrics
from harness.netns import Netns
from harness.options import UNTOUCHED, held
from harness.sockets import Agent, Listener
from harness.wait import wait_for

RULE = daemon_section(reconcile="1s") + rule("all", time="120s", interval="30s", probes=4)
VALUES = held(120, 30, 4)

# Offsets and values of struct hf_key (kind) and struct hf_rule (time_s).
KIND, PEER = 4, 2
TIME = struct.Struct("=H")
TIME_AT = 20


def set_time(daemon: Daemon, time_s: int) -> None:
    """Gives all rules in force another keepalive time, in the kernel alone."""
    trie = bpf.by_id("map", bpf.inner_maps(daemon.pin_dir)[0])
    try:
        for key in bpf.keys(trie, 32):
            if key[KIND] == PEER:
                value = bytearray(bpf.lookup(trie, key, 32))
                TIME.pack_into(value, TIME_AT, time_s)
                bpf.delete(trie, key)  # old kernels can't replace an entry of a full trie
                bpf.update(trie, key, bytes(value))
    finally:
        os.close(trie)


def test_refused(daemon: Daemon, agent: Agent, listener: Listener, holdfast: Command) -> None:
    """A refused connection keeps its settings, is exposed and not counted as held, and is held
    later."""
    daemon.start(RULE, "--verbose")
    kept = agent.connect("127.0.0.1", listener.port)
    set_time(daemon, 40_000)
    refused = [agent.connect("127.0.0.1", listener.port, interval=17) for _ in range(2)]
    wait_for(lambda: "2 connections can't be held" in daemon.log, "a pass")
    for _ in range(3):
        passes = daemon.log.count("reconcile: ")
        wait_for(lambda n=passes: daemon.log.count("reconcile: ") > n, "another pass")
    assert [sock.settings for sock in refused] == [UNTOUCHED._replace(interval=17)] * 2
    assert [holdfast.socket(sock.info["cookie"])["verdict"] for sock in refused] == ["exposed"] * 2
    lines = daemon.log.splitlines()
    assert [line for line in lines if "can't be held" in line] == [
        "2 connections can't be held: the kernel refuses to set keepalive (holdfast status "
        "exposed)"]
    assert not [line for line in lines if "existing connections held" in line]
    metrics = Metrics(holdfast("metrics").out)
    assert metrics["reconcile_sockets_total", 'action="held"'] == 0
    assert kept.settings == VALUES

    set_time(daemon, 120)
    wait_for(lambda: all(sock.settings == VALUES for sock in refused), "now they can be")
    wait_for(lambda: "2 existing connections held" in daemon.log, "and that is said")


def test_not_changed(daemon: Daemon, agent: Agent, listener: Listener) -> None:
    """A held connection that refuses a new rule's values stays held with the old ones: they aren't
    taken for its application's, which gets its own back."""
    daemon.start(RULE)
    sock = agent.connect("127.0.0.1", listener.port, interval=17)
    assert sock.settings == VALUES
    set_time(daemon, 40_000)
    record.change(daemon, sock, record.GENERATION, 1000)  # the rules that decided are others
    wait_for(lambda: "1 connection can't be held" in daemon.log, "a pass")
    assert sock.settings == VALUES
    sock.change(interval=18)  # the guard keeps it back, and remembers it
    assert sock.settings == VALUES
    daemon.stop()
    assert sock.settings == UNTOUCHED._replace(interval=18)


def test_held_with_the_next_event(make_daemon: Callable[..., Daemon], agent: Agent, netns: Netns,
                                  listener: Listener) -> None:
    """A namespace in which one was refused is looked at again at the next event, long before the
    next full pass."""
    daemon = make_daemon(netns=netns)
    daemon.start(RULE.replace("reconcile = 1s", "reconcile = 6s"))
    set_time(daemon, 40_000)
    sock = agent.connect("127.0.0.1", listener.port)
    wait_for(lambda: "1 connection can't be held" in daemon.log, "a full pass")
    set_time(daemon, 120)
    netns.ip("link add new type veth peer name other")
    wait_for(lambda: sock.settings == VALUES, "it is held", timeout=4)


REFUSED = 40_000  # a keepalive time that the kernel refuses


@pytest.mark.parametrize("way", ["stop", "release"])
def test_not_given_back(daemon: Daemon, agent: Agent, listener: Listener, holdfast: Command,
                        way: str) -> None:
    """A connection that can't be given back keeps the rule's values and isn't counted as given
    back."""
    socks = [agent.connect("127.0.0.1", listener.port) for _ in range(3)]
    daemon.start(RULE)
    record.change(daemon, socks[1], record.APP_TIME, REFUSED)
    if way == "stop":
        daemon.stop()
        said = daemon.log
    else:
        daemon.kill()
        result = holdfast("release")
        assert result.status == 1
        said = result.out + result.err
    assert "detached; 2 connections given back" in said, said
    assert "1 connection could not be reached and may keep the rules' values" in said, said
    assert [sock.settings for sock in socks] == [UNTOUCHED, VALUES, UNTOUCHED]
    assert not os.path.exists(daemon.pin_dir)


def test_not_given_back_by_a_reload(daemon: Daemon, agent: Agent, listener: Listener) -> None:
    """A reload reports at once, and only once, a connection that it can't give back."""
    socks = [agent.connect("127.0.0.1", listener.port) for _ in range(3)]
    daemon.start(RULE)
    record.change(daemon, socks[1], record.APP_TIME, REFUSED)
    daemon.reload(RULE.replace("any", "192.0.2.1"))
    assert [sock.settings for sock in socks] == [UNTOUCHED, VALUES, UNTOUCHED]
    assert "2 connections no longer matched, given back" in daemon.log
    told = "1 connection no longer matched and can't be given back"
    assert daemon.log.count(told) == 1 and "can't be held" not in daemon.log
    daemon.reload()
    assert daemon.log.count(told) == 1
