"""The guard: the effect of setsockopt() on a held socket, by the rule's `override`.

The file is long because it has every option under every `override`.
"""

import errno
import struct
from typing import NamedTuple

import pytest

from harness import script
from harness.cgroup import Cgroup
from harness.command import Command
from harness.config import daemon as daemon_section, rule
from harness.counters import read as counters
from harness.daemon import Daemon
from harness.kernel import SETS_BY_BPF
from harness.netns import Netns
from harness.options import UNTOUCHED, Settings, held
from harness.remote import RemoteError
from harness.sockets import Agent, Listener, Socket
from harness.wait import wait_for

TIME, INTERVAL, PROBES = 120, 30, 4
RULE = held(TIME, INTERVAL, PROBES)
MINUTE_4 = 240000


def start(daemon: Daemon, override: str, **keys: object) -> None:
    """Starts the daemon with one rule that has the values of RULE."""
    daemon.start(daemon_section(reconcile="60s" if SETS_BY_BPF else "1s")
                 + rule("all", time=f"{TIME}s", interval=f"{INTERVAL}s", probes=PROBES,
                        override=override, **keys))


def expect(sock: Socket, wanted: Settings) -> None:
    """Checks a socket's settings: at once, or after the next pass where the guard can't set
    options."""
    if not SETS_BY_BPF:
        wait_for(lambda: sock.settings == wanted, f"the socket has {wanted}")
    assert sock.settings == wanted


def verdict(holdfast: Command, sock: Socket) -> str:
    """Returns the verdict of `status` on a socket."""
    return holdfast.socket(sock.info["cookie"])["verdict"]


class Case(NamedTuple):
    """The steps in which an application sets options, and the settings and verdict that result."""

    changes: list[dict[str, int]]
    outcome: Settings
    verdict: str


LONGER_OR_OFF = [Case([change], RULE, "held") for change in (
    {"keepalive": 0},
    {"keepalive": 1},
    {"time": 5000},
    {"time": TIME},
    {"time": TIME + 1},
    {"time": 32767, "interval": 32767, "probes": 127},
    {"interval": 1},
    {"probes": 1},
    {"interval": 5000, "probes": 100},
    {"keepalive": 0, "interval": 7},
    {"keepalive": 1, "time": 7200, "interval": 75, "probes": 9},
)]
SHORTER = [Case(changes, outcome, "own") for changes, outcome in (
    ([{"time": 60}], held(60, 75, 9)),
    ([{"time": TIME - 1}], held(TIME - 1, 75, 9)),
    ([{"keepalive": 1, "time": 60, "interval": 7, "probes": 2}], held(60, 7, 2)),
    # The order in which an application sets its options doesn't matter.
    ([{"interval": 7}, {"probes": 2}, {"keepalive": 1}, {"time": 60}], held(60, 7, 2)),
    ([{"time": 60}, {"interval": 7}, {"probes": 2}, {"keepalive": 1}], held(60, 7, 2)),
    # A value without effect is remembered, and the last one counts.
    ([{"time": 5000, "interval": 8}, {"interval": 7}, {"time": 15}], held(15, 7, 9)),
    # An application that fires sooner may have a longer interval than the rule.
    ([{"time": 60, "interval": 300}], held(60, 300, 9)),
    # An application may lengthen its time again, as long as it fires sooner than the rule.
    ([{"time": 60}, {"time": 15}, {"time": 90}], held(90, 75, 9)),
    # Options set while the rule's values are in force count once the time is short again.
    ([{"time": 60, "interval": 7}, {"time": 5000, "probes": 2}, {"time": 15}], held(15, 7, 2)),
)]
# An application whose own keepalive doesn't fire sooner any more gets the rule's values.
NO_LONGER = [Case([{"time": 60, "interval": 7, "probes": 2}, change], RULE, "held") for change in (
    {"time": 5000}, {"time": TIME}, {"keepalive": 0},
)]
ALWAYS = [Case([change], RULE, "held") for change in (
    {"keepalive": 0}, {"time": 15}, {"time": 5000}, {"interval": 7, "probes": 2},
    {"keepalive": 1, "time": 15, "interval": 7, "probes": 2},
)]


@pytest.mark.parametrize("override, cases", [
    ("when-longer", LONGER_OR_OFF), ("when-longer", SHORTER), ("when-longer", NO_LONGER),
    ("always", ALWAYS),
], ids=["when-longer-longer", "when-longer-shorter", "when-longer-no-longer", "always"])
@pytest.mark.parametrize("before", [
    pytest.param(False, id="connected"),
    pytest.param(True, id="swept")])
def test_changes_afterwards(daemon: Daemon, agent: Agent, listener: Listener, holdfast: Command,
                            before: bool, override: str, cases: list[Case]) -> None:
    """Under `when-longer`, longer or off has no effect and no error, and shorter becomes `own`.

    Under `always` nothing has an effect. Sockets from before the daemon's start behave alike.
    """
    socks = [agent.connect("127.0.0.1", listener.port) for _ in cases] if before else []
    start(daemon, override)
    socks = socks or [agent.connect("127.0.0.1", listener.port) for _ in cases]
    for sock, case in zip(socks, cases):
        assert sock.settings == RULE
        for change in case.changes:
            sock.change(**change)
        expect(sock, case.outcome)
    verdicts = {s["cookie"]: s["verdict"] for s in holdfast.status()["sockets"]}
    assert [verdicts[sock.info["cookie"]] for sock in socks] == [case.verdict for case in cases]


def test_own_since_connect(daemon: Daemon, agent: Agent, listener: Listener,
                           holdfast: Command) -> None:
    """A socket that was `own` from the start can't be set longer than the rule, or off, either."""
    start(daemon, "when-longer")
    sock = agent.connect("127.0.0.1", listener.port, keepalive=1, time=60, interval=7, probes=2)
    assert verdict(holdfast, sock) == "own"
    for change in ({"time": 5000}, {"time": TIME}, {"keepalive": 0, "time": 60}):
        sock.change(**change)
        expect(sock, RULE)
    sock.change(interval=9, probes=3)
    assert sock.settings == RULE
    assert verdict(holdfast, sock) == "held"
    sock.change(keepalive=1)
    expect(sock, held(60, 9, 3))
    assert verdict(holdfast, sock) == "own"


def test_switched_on_with_a_time_from_before(daemon: Daemon, agent: Agent, listener: Listener,
                                             holdfast: Command) -> None:
    """A short time chosen before connect() counts once the application switches keepalive on."""
    start(daemon, "when-longer")
    sock = agent.connect("127.0.0.1", listener.port, time=15, interval=7, probes=2)
    assert sock.settings == RULE
    sock.change(keepalive=1)
    expect(sock, held(15, 7, 2))
    assert verdict(holdfast, sock) == "own"


def test_never(daemon: Daemon, agent: Agent, listener: Listener) -> None:
    """Under `never` what the application sets stands, also while another rule needs the guard."""
    daemon.start(rule("all", time=f"{TIME}s", interval=f"{INTERVAL}s", probes=PROBES,
                      override="never") + rule("other", "192.0.2.0/24", override="always"))
    for change in ({"keepalive": 0}, {"time": 15}, {"time": 5000}, {"interval": 7, "probes": 2}):
        sock = agent.connect("127.0.0.1", listener.port)
        assert sock.settings == RULE
        sock.change(**change)
        assert sock.settings == RULE._replace(**change)


@pytest.mark.parametrize("override, rules, changes", [
    ("when-longer", "off", {1000: 1000, 0: 0}),
    ("when-longer", "240s", {0: MINUTE_4, 300000: MINUTE_4, 200000: 200000}),
    ("always", "off", {1000: 1000, 0: 0}),
    ("always", "240s", {200000: MINUTE_4, 0: MINUTE_4}),
    ("never", "240s", {300000: 300000, 0: 0}),
])
def test_user_timeout(daemon: Daemon, agent: Agent, listener: Listener, override: str, rules: str,
                      changes: dict[int, int]) -> None:
    """TCP_USER_TIMEOUT is guarded only where the rule has one."""
    start(daemon, override, user_timeout=rules)
    for asked, outcome in changes.items():
        sock = agent.connect("127.0.0.1", listener.port)
        sock.change(user_timeout=asked)
        assert sock.settings == RULE._replace(user_timeout=outcome)


BEFORE_CONNECT = """
import json, socket, sys
from harness import options
s = socket.socket()
seen = []
for values in ({"keepalive": 1}, {"time": 5000}, {"interval": 7}, {"probes": 2},
               {"user_timeout": 400000}, {"keepalive": 0}, {"time": 15}):
    options.write(s, values)
    seen.append(options.read(s))
s.connect(("127.0.0.1", int(sys.argv[1])))
print(json.dumps([seen, options.read(s)]))
"""


@pytest.mark.parametrize("override", ["when-longer", "always"])
def test_before_connect_all_is_accepted(daemon: Daemon, netns: Netns, cgroup: Cgroup,
                                        listener: Listener, override: str) -> None:
    """Before connect() every option can be set; `override` decides once the connection is
    established."""
    start(daemon, override)
    seen, connected = script.run(BEFORE_CONNECT, listener.port, netns=netns, cgroup=cgroup)
    assert [Settings(*s) for s in seen] == [
        Settings(1, 7200, 75, 9), Settings(1, 5000, 75, 9), Settings(1, 5000, 7, 9),
        Settings(1, 5000, 7, 2), Settings(1, 5000, 7, 2, 400000), Settings(0, 5000, 7, 2, 400000),
        Settings(0, 15, 7, 2, 400000)]
    assert Settings(*connected) == RULE._replace(user_timeout=400000)


@pytest.mark.parametrize("override", ["when-longer", "always", "never"])
def test_what_the_kernel_refuses_is_refused(daemon: Daemon, agent: Agent, listener: Listener,
                                            override: str) -> None:
    """Values that the kernel refuses are refused with EINVAL, and have no effect."""
    start(daemon, override, user_timeout="240s")
    sock = agent.connect("127.0.0.1", listener.port)
    for change in ({"time": 0}, {"time": -1}, {"time": 32768}, {"interval": 0},
                   {"interval": 32768}, {"probes": 0}, {"probes": 128}, {"user_timeout": -1}):
        with pytest.raises(RemoteError) as failure:
            sock.change(**change)
        assert failure.value.errno == errno.EINVAL
        assert sock.settings == RULE._replace(user_timeout=MINUTE_4)


def test_other_connections_are_free(daemon: Daemon, agent: Agent, outsider: Agent, netns: Netns,
                                    listener: Listener) -> None:
    """Unmatched and exempt connections, and those outside the control group, can be set freely."""
    netns.add_address("10.20.0.8", "10.20.0.9", "10.20.0.10")
    daemon.start(rule("held", "10.20.0.8", time=f"{TIME}s", override="always")
                 + rule("lab", "10.20.0.9", enforce="no", override="always"))
    for who, address in ((outsider, "10.20.0.8"), (agent, "10.20.0.9"), (agent, "10.20.0.10")):
        sock = who.connect(address, listener.port)
        assert sock.settings == UNTOUCHED
        sock.change(keepalive=1, time=5000, interval=50, probes=8, user_timeout=1000)
        assert sock.settings == held(5000, 50, 8, 1000)


def test_counter(daemon: Daemon, agent: Agent, netns: Netns, listener: Listener) -> None:
    """The number of the guard's interventions is counted for each rule, also without a daemon."""
    netns.add_address("10.20.0.8", "10.20.0.9")
    daemon.start(rule("a", "10.20.0.8", time="120s") + rule("b", "10.20.0.9", override="always"))
    socks = {name: agent.connect(address, listener.port)
             for name, address in (("a", "10.20.0.8"), ("b", "10.20.0.9"))}
    socks["a"].change(keepalive=0, time=5000)
    socks["a"].change(user_timeout=1000)  # not an option of the rule
    socks["a"].change(keepalive=1, time=15)  # sooner, so it stands
    for _ in range(7):
        socks["b"].change(time=15)
    assert counters(daemon.pin_dir, "a").guarded == 2
    assert counters(daemon.pin_dir, "b").guarded == 7
    daemon.kill()
    socks["b"].change(time=15)
    daemon.start()
    assert counters(daemon.pin_dir, "b").guarded == 8


ASKED = [
    [{"keepalive": 1, "time": 1000, "interval": 33, "probes": 6, "user_timeout": 7000}],
    [{"keepalive": 1, "time": 60}],
    [{"keepalive": 1}, {"keepalive": 0}],
    [{"keepalive": 0, "time": 5000, "interval": 50}, {"time": 4000}],
    [{"keepalive": 1, "time": 60, "interval": 7, "probes": 2}, {"time": 5000, "interval": 8}],
    [{"probes": 127, "user_timeout": 0}],
]


def outcome(changes: list[dict[str, int]], before: Settings) -> Settings:
    """Returns the settings that an application would have without holdfast."""
    for change in changes:
        before = before._replace(**change)
    return before


@pytest.mark.parametrize("swept", [False, True], ids=["connected", "swept"])
@pytest.mark.parametrize("before", [UNTOUCHED, held(7000, 70, 7, 70000)], ids=["unset", "set"])
@pytest.mark.parametrize("override", ["when-longer", "always", "never"])
def test_given_back_as_asked_for(daemon: Daemon, agent: Agent, listener: Listener, override: str,
                                 before: Settings, swept: bool) -> None:
    """When a socket is given back, it has what its application asked for while it was held."""
    def connect() -> Socket:
        sock = agent.connect("127.0.0.1", listener.port)
        if before != UNTOUCHED:
            sock.change(**before._asdict())
        return sock

    socks = [connect() for _ in ASKED] if swept else []
    # The rule's user timeout is longer than the first one that is asked for, which is let through.
    start(daemon, override, user_timeout="240s")
    socks = socks or [connect() for _ in ASKED]
    for sock, changes in zip(socks, ASKED):
        for change in changes:
            sock.change(**change)
    daemon.stop()
    for sock, changes in zip(socks, ASKED):
        assert sock.settings == outcome(changes, before), changes


def test_only_a_short_time_while_off(daemon: Daemon, agent: Agent, listener: Listener) -> None:
    """A short time counts where only the rule has keepalive on, and keepalive is off again
    afterwards."""
    start(daemon, "when-longer")
    sock = agent.connect("127.0.0.1", listener.port)
    sock.change(time=15, interval=7)
    expect(sock, held(15, 7, 9))
    daemon.stop()
    assert sock.settings == Settings(0, 15, 7, 9)


@pytest.mark.parametrize("before, after", [("always", "never"), ("when-longer", "never"),
                                           ("always", "when-longer")])
def test_a_relaxed_rule(daemon: Daemon, agent: Agent, listener: Listener, before: str,
                        after: str) -> None:
    """Settings that were asked for under the guard take effect when a reload relaxes `override`."""
    text = (daemon_section(reconcile="60s") + rule("all", time=f"{TIME}s", interval=f"{INTERVAL}s",
                                                   probes=PROBES, user_timeout="240s",
                                                   override="OVERRIDE"))
    daemon.start(text.replace("OVERRIDE", before))
    sock = agent.connect("127.0.0.1", listener.port)
    # In this order, the guard keeps the options back until the time is sooner than the rule's.
    wanted = {"keepalive": 1, "time": 60, "interval": 33, "probes": 7, "user_timeout": 300000}
    sock.change(**wanted)
    later = agent.connect("127.0.0.1", listener.port)
    later.change(keepalive=0, time=5000)
    daemon.reload(text.replace("OVERRIDE", after))
    assert sock.settings == Settings(**wanted)
    assert later.settings == (Settings(0, 5000, INTERVAL, PROBES, MINUTE_4) if after == "never"
                              else RULE._replace(user_timeout=MINUTE_4))


@pytest.mark.parametrize("swept", [False, True], ids=["connected", "swept"])
def test_own_by_the_namespaces_time(daemon: Daemon, agent: Agent, netns: Netns,
                                    listener: Listener, swept: bool) -> None:
    """With keepalive on and a namespace time sooner than the rule's, all settings are the
    application's."""
    netns.sysctl("ipv4/tcp_keepalive_time", 60)
    sock = agent.connect("127.0.0.1", listener.port, keepalive=1) if swept else None
    start(daemon, "when-longer")
    sock = sock or agent.connect("127.0.0.1", listener.port, keepalive=1)
    assert sock.settings == held(60, 75, 9)
    sock.change(interval=33, probes=7)
    assert sock.settings == held(60, 33, 7)
    sock.change(time=5000)
    expect(sock, RULE)
    daemon.stop()
    assert sock.settings == held(5000, 33, 7)


def test_values_that_are_longer_than_a_number(daemon: Daemon, agent: Agent,
                                              listener: Listener) -> None:
    """The guard takes the first four bytes of a longer value, as the kernel does."""
    start(daemon, "always")
    sock = agent.connect("127.0.0.1", listener.port)
    for option in ("keepalive", "time"):
        sock.change_raw(option, struct.pack("=ii", 0 if option == "keepalive" else 15, 1))
    assert sock.settings == RULE
    daemon.stop()
    assert sock.settings == Settings(0, 15, 75, 9)


def test_user_timeout_of_one_that_is_own(daemon: Daemon, agent: Agent, listener: Listener) -> None:
    """An application that is `own` has its own TCP_USER_TIMEOUT, too, and can change it."""
    start(daemon, "when-longer", user_timeout="240s")
    sock = agent.connect("127.0.0.1", listener.port)
    assert sock.settings == RULE._replace(user_timeout=MINUTE_4)
    sock.change(user_timeout=MINUTE_4)  # equal to the rule's
    sock.change(user_timeout=300000)
    assert sock.settings == RULE._replace(user_timeout=MINUTE_4)
    sock.change(keepalive=1, time=60)
    expect(sock, held(60, 75, 9, 300000))
    sock.change(user_timeout=500000)
    assert sock.settings == held(60, 75, 9, 500000)
    sock.change(keepalive=0)
    expect(sock, RULE._replace(user_timeout=MINUTE_4))
    daemon.stop()
    assert sock.settings == Settings(0, 60, 75, 9, 500000)


def test_asked_for_between_two_guards(daemon: Daemon, agent: Agent, listener: Listener) -> None:
    """Options asked for under the guard, without it, and under it again are given back at the end."""
    one = rule("all", time=f"{TIME}s", interval=f"{INTERVAL}s", probes=PROBES, override="always")
    daemon.start(daemon_section(guard="yes") + one)
    sock = agent.connect("127.0.0.1", listener.port)
    sock.change(time=1000)
    daemon.reload(daemon_section(guard="no") + one)
    sock.change(interval=33)
    daemon.reload(daemon_section(guard="yes") + one)
    assert sock.settings == RULE
    sock.change(probes=7)
    daemon.stop()
    assert sock.settings == Settings(0, 1000, 33, 7)


@pytest.mark.parametrize("override", ["when-longer", "always"])
def test_switched_on_while_held(daemon: Daemon, agent: Agent, listener: Listener,
                                override: str) -> None:
    """Switching keepalive on while held, as PyMySQL does, keeps it on after the give-back."""
    start(daemon, override)
    sock = agent.connect("127.0.0.1", listener.port)
    sock.change(keepalive=1)
    other = agent.connect("127.0.0.1", listener.port)
    other.change(keepalive=1)
    other.change(keepalive=0)
    assert sock.settings == other.settings == RULE
    daemon.stop()
    assert sock.settings == UNTOUCHED._replace(keepalive=1)
    assert other.settings == UNTOUCHED


FIGHT = """
import json, socket, sys, threading, time
from harness import options
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
stop, tries = threading.Event(), [0, 0]
def fight(number, values):
    while not stop.is_set():
        options.write(s, values)
        tries[number] += 1
threads = [threading.Thread(target=fight, args=a)
           for a in ((0, {"keepalive": 0, "time": 5000}), (1, {"probes": 100, "interval": 3000}))]
for t in threads: t.start()
end, seen = time.monotonic() + 0.5, {}
while time.monotonic() < end:
    now = options.read(s)
    seen[now] = seen.get(now, 0) + 1
stop.set()
for t in threads: t.join()
print(json.dumps([list(seen.items()), sum(tries)]))
"""


@pytest.mark.races
@pytest.mark.parametrize("override", ["when-longer", "always"])
def test_fighting_it(daemon: Daemon, netns: Netns, cgroup: Cgroup, listener: Listener,
                     override: str) -> None:
    """No reading of a socket shows anything but the rule's values while two threads try to change
    them."""
    start(daemon, override)
    seen, tries = script.run(FIGHT, listener.port, netns=netns, cgroup=cgroup)
    assert [Settings(*settings) for settings, _ in seen] == [RULE]
    assert tries > 100 and seen[0][1] > 100
    assert counters(daemon.pin_dir, "all").guarded >= tries
