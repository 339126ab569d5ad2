"""Connections whose TLS the kernel does (kTLS), which puts an upper layer over the socket.

From Linux 5.15 to 6.2 BPF programs can't set TCP options on such a socket.
"""

import pytest

from harness import kernel
from harness.command import Command
from harness.config import daemon as daemon_section, rule
from harness.daemon import Daemon
from harness.options import UNTOUCHED, held
from harness.sockets import Agent, Listener, Socket

RULE = daemon_section(reconcile="600s") + rule("all", time="120s", interval="30s", probes=4)
VALUES = held(120, 30, 4)
OTHER, OTHER_VALUES = RULE.replace("120s", "60s"), held(60, 30, 4)
REFUSED = (5, 15) <= kernel.version() < (6, 3)


def connect(agent: Agent, listener: Listener, **values: int) -> Socket:
    """Opens a connection and then has the kernel encrypt it."""
    sock = agent.connect("127.0.0.1", listener.port, **values)
    sock.encrypt()
    return sock


def verdict(holdfast: Command, sock: Socket) -> str:
    """Returns the verdict of `status` on a socket."""
    return holdfast.socket(sock.info["cookie"])["verdict"]


def test_held_and_guarded(daemon: Daemon, agent: Agent, listener: Listener,
                          holdfast: Command) -> None:
    """A connection that was held before its encryption stays held and guarded."""
    daemon.start(RULE)
    sock = connect(agent, listener)
    assert sock.settings == VALUES
    sock.change(time=5000)
    sock.change(interval=77)
    sock.change(keepalive=0)
    assert sock.settings == VALUES
    assert verdict(holdfast, sock) == "held"
    assert "can't be held" not in daemon.log


def test_before_the_start(daemon: Daemon, agent: Agent, listener: Listener,
                          holdfast: Command) -> None:
    """A connection that was encrypted before the start is held where the kernel allows it, else
    exposed."""
    sock = connect(agent, listener)
    daemon.start(RULE)
    assert verdict(holdfast, sock) == ("exposed" if REFUSED else "held")
    assert sock.settings == (UNTOUCHED if REFUSED else VALUES)
    assert daemon.log.count("1 connection can't be held: the kernel refuses") == REFUSED


def test_probe(daemon: Daemon, agent: Agent, listener: Listener, holdfast: Command) -> None:
    """A connection on which the kernel refuses the probe's settings is `not-asked`, not silent."""
    daemon.start(RULE)
    sock, plain = connect(agent, listener), agent.connect("127.0.0.1", listener.port)
    result = holdfast("probe", "-J")
    outcomes = {s["cookie"]: (s["answered"], s["outcome"]) for s in result.json["sockets"]}
    assert outcomes == {
        sock.info["cookie"]: (False, "not-asked") if REFUSED else (True, "answered"),
        plain.info["cookie"]: (True, "answered")}
    assert result.status == (1 if REFUSED else 0)
    assert sock.settings == plain.settings == VALUES
    assert verdict(holdfast, sock) == "held"


@pytest.mark.parametrize("end", ["stop", "release"])
def test_reload_and_give_back(daemon: Daemon, agent: Agent, listener: Listener, holdfast: Command,
                              end: str) -> None:
    """A connection that the kernel refuses to change or give back keeps its keepalive settings."""
    daemon.start(RULE)
    sock, plain = connect(agent, listener), agent.connect("127.0.0.1", listener.port)
    if end == "stop":
        daemon.reload(OTHER)
        assert plain.settings == OTHER_VALUES
        assert sock.settings == (VALUES if REFUSED else OTHER_VALUES)
        assert verdict(holdfast, sock) == ("own" if REFUSED else "held")
        daemon.stop()
    else:
        daemon.kill()
        result = holdfast("release")
        assert result.status == (1 if REFUSED else 0), result
        assert ("1 connection could not be reached" in result.err) == REFUSED
    assert plain.settings == UNTOUCHED
    assert sock.settings == (VALUES if REFUSED else UNTOUCHED)
