"""Keepalive probes as they go over the wire."""

import errno
import time

import pytest

from harness.capture import Capture
from harness.config import PORT, daemon as daemon_section, rule
from harness.daemon import Daemon
from harness.kernel import needs_ipv6
from harness.netns import Netns
from harness.sockets import Agent, Listener
from harness.wait import sleep_until, wait_for

# The kernel's timer wheel rounds up: 4 s by up to 0.25 s at 250 ticks a second.
LATE = 0.6
EARLY = 0.05

DROP_REQUESTS = """
table inet test {
    chain input {
        type filter hook input priority 0; policy accept;
        tcp dport %d drop
    }
}
""" % PORT


class Talk:
    """A captured connection that has exchanged a few bytes."""

    def __init__(self, capture: Capture, agent: Agent, listener: Listener, address: str,
                 **values: int) -> None:
        self._capture = capture
        self.sock = agent.connect(address, PORT, **values)
        server = listener.accept()
        self.sock.send("question")
        assert server.receive() == "question"
        server.send("answer")
        assert self.sock.receive() == "answer"
        info = self.sock.info
        self._ends = tuple((ip.removeprefix("::ffff:"), port)
                           for ip, port in (info["local"], info["peer"]))
        self.last_activity = max(
            p.at for p in capture.flow(*self._ends) if p.target == self._ends[0])

    def probes(self) -> list[float]:
        """Returns when probes were sent, in seconds after the last activity."""
        return [at - self.last_activity for at in self._capture.probes(*self._ends)]

    def resets(self) -> list[float]:
        """Returns when the connection was reset, in seconds after the last activity."""
        return [at - self.last_activity for at in self._capture.resets(*self._ends)]


@pytest.fixture
def capture(netns: Netns):
    """A capture on `lo`."""
    watching = Capture(netns)
    yield watching
    watching.close()


def assert_moments(seen: list[float], expected: list[float]) -> None:
    """Checks each moment, with the tolerance that the kernel's timers need."""
    assert len(seen) == len(expected), seen
    for a, b in zip(seen, expected):
        assert b - EARLY <= a <= b + LATE, seen


def test_idle_connections_at_the_start(daemon: Daemon, agent: Agent, netns: Netns,
                                       listener: Listener, capture: Capture) -> None:
    """At the start a connection that has idled longer than `time` is probed at once, others in
    time.

    Time counts from the last activity, not from the daemon's start.
    """
    netns.add_address("10.20.2.8", "10.20.6.8", "10.20.99.8")
    overdue = Talk(capture, agent, listener, "10.20.2.8")
    mapped = Talk(capture, agent, listener, "::ffff:10.20.2.8")
    # A socket with the rule's time, but with keepalive off.
    same_time = Talk(capture, agent, listener, "10.20.2.8", time=2)
    coming = Talk(capture, agent, listener, "10.20.6.8")
    unmatched = Talk(capture, agent, listener, "10.20.99.8")
    sleep_until(coming.last_activity + 3)
    launched = time.monotonic()
    daemon.start(rule("two", "10.20.2.8", time="2s", interval="1s", window="60s")
                 + rule("six", "10.20.6.8", time="6s", interval="1s", window="60s"))
    sleep_until(launched + 1.5)
    for talk in (overdue, mapped, same_time):
        assert talk.probes(), "no probe on an overdue connection"
        first = talk.last_activity + talk.probes()[0]
        assert launched <= first <= launched + 1, first - launched
    sleep_until(coming.last_activity + 6 + LATE)
    assert_moments(coming.probes(), [6])
    assert not unmatched.probes()


def test_idle_connection_at_a_reload(daemon: Daemon, agent: Agent, listener: Listener,
                                     capture: Capture) -> None:
    """A reload to a shorter `time` that is over already has the connection probed at once."""
    daemon.start(rule("all", time="50s", window="60s"))
    talk = Talk(capture, agent, listener, "127.0.0.1")
    sleep_until(talk.last_activity + 2.5)
    assert not talk.probes()
    daemon.reload(rule("all", time="2s", window="60s"))
    wait_for(talk.probes, "a probe within a second", timeout=1)


def test_idle_connection_that_is_healed(daemon: Daemon, agent: Agent, listener: Listener,
                                        capture: Capture) -> None:
    """When keepalive has to be switched on again, the idle time before that counts."""
    daemon.start(daemon_section(guard="no", reconcile="1s") + rule("all", time="4s", window="60s"))
    talk = Talk(capture, agent, listener, "127.0.0.1")
    sleep_until(talk.last_activity + 2)
    talk.sock.change(keepalive=0)
    sleep_until(talk.last_activity + 4 + LATE)
    assert_moments(talk.probes(), [4])


@needs_ipv6
def test_answered_probes(daemon: Daemon, agent: Agent, listener: Listener,
                         capture: Capture) -> None:
    """While the peer answers, there is a probe every `time` seconds."""
    daemon.start(rule("all", time="2s", interval="1s", probes=2, window="20s"))
    talks = [Talk(capture, agent, listener, address) for address in ("127.0.0.1", "::1")]
    sleep_until(talks[-1].last_activity + 4 + 2 * LATE)
    for talk in talks:
        seen = talk.probes()
        assert_moments(seen[:1], [2])
        assert_moments([b - a for a, b in zip(seen, seen[1:])], [2])


def test_unanswered_probes(daemon: Daemon, agent: Agent, netns: Netns, listener: Listener,
                           capture: Capture) -> None:
    """Without answers there is a probe every `interval` seconds, `probes` times, then a reset."""
    daemon.start(rule("all", time="2s", interval="1s", probes=3, window="20s"))
    talk = Talk(capture, agent, listener, "127.0.0.1")
    netns.nft(DROP_REQUESTS)
    wait_for(talk.resets, "the connection is reset", timeout=8)
    assert_moments(talk.probes(), [2, 3, 4])
    assert_moments(talk.resets(), [5])
    assert talk.sock.error == errno.ETIMEDOUT


def test_user_timeout_ends_it_sooner(daemon: Daemon, agent: Agent, netns: Netns,
                                     listener: Listener, capture: Capture) -> None:
    """With `user-timeout` unacknowledged data fails after that time, not after a quarter of an
    hour."""
    daemon.start(rule("all", time="2s", interval="1s", probes=3, window="20s", user_timeout="3s"))
    talk = Talk(capture, agent, listener, "127.0.0.1")
    netns.nft(DROP_REQUESTS)
    start = time.monotonic()
    talk.sock.send("lost")
    error = wait_for(lambda: talk.sock.error, "the connection fails", timeout=6, step=0.1)
    assert error == errno.ETIMEDOUT
    assert 2.5 <= time.monotonic() - start <= 5


def test_control_without_a_rule(daemon: Daemon, agent: Agent, outsider: Agent, netns: Netns,
                                listener: Listener, capture: Capture) -> None:
    """The capture sees no probes on unmatched connections, so it takes no other packet for a
    probe."""
    netns.add_address("10.20.0.8")
    daemon.start(rule("one", "10.20.0.8", time="1s", window="20s"))
    held = Talk(capture, agent, listener, "10.20.0.8")
    others = [Talk(capture, agent, listener, "127.0.0.1"),
              Talk(capture, outsider, listener, "10.20.0.8")]
    wait_for(held.probes, "a probe of the held connection", timeout=3)
    assert not any(talk.probes() for talk in others)
