"""Connections on which the kernel refuses to set keepalive: said once, and counted as what they are.

No socket of today's kernels refuses it, so that the rules in the kernel are given a time that the
kernel doesn't take; the daemon's own copy of them stays as it was.
"""

import os
import struct

from harness import bpf
from harness.command import Command
from harness.config import daemon as daemon_section, rule
from harness.daemon import Daemon
from harness.metrics import Metrics
from harness.options import UNTOUCHED, held
from harness.sockets import Agent, Listener
from harness.wait import wait_for

RULE = daemon_section(reconcile="1s") + rule("all", time="120s", interval="30s", probes=4)
VALUES = held(120, 30, 4)

# struct hf_key: kind. struct hf_rule: time_s.
KIND, PEER = 4, 2
TIME = struct.Struct("=H")
TIME_AT = 20


def set_time(daemon: Daemon, time_s: int) -> None:
    """Gives all rules in force another keepalive time."""
    trie = bpf.by_id("map", bpf.inner_maps(daemon.pin_dir)[0])
    try:
        for key in bpf.keys(trie, 32):
            if key[KIND] == PEER:
                value = bytearray(bpf.lookup(trie, key, 32))
                TIME.pack_into(value, TIME_AT, time_s)
                bpf.delete(trie, key)  # old kernels don't replace what is in a full trie
                bpf.update(trie, key, bytes(value))
    finally:
        os.close(trie)


def test_refused(daemon: Daemon, agent: Agent, listener: Listener, holdfast: Command) -> None:
    """As it was before, exposed, and not among those that a pass has held; held when it can be."""
    daemon.start(RULE, "--verbose")
    kept = agent.connect("127.0.0.1", listener.port)
    set_time(daemon, 40_000)
    refused = [agent.connect("127.0.0.1", listener.port, interval=17) for _ in range(2)]
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
