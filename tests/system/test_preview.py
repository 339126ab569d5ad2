"""`holdfast preview`: what it says of each socket is what a daemon then does, and it does nothing.

All rules here name addresses of these tests' own, because `preview` looks at every namespace of the
host, whatever control group its sockets are in. The file is long because everything that `preview`
says of a socket is compared with what a daemon then does.
"""

import os
import random
import re
import shutil
import signal
import subprocess
import time
from typing import Any, Callable

import pytest

from harness import build
from harness.command import Command, Result, run
from harness.config import PORT, daemon as daemon_section, rule
from harness.daemon import Daemon
from harness.kernel import needs_ipv6
from harness.netns import HAS_IPV6, Netns
from harness.options import UNTOUCHED, Settings, held
from harness.process import spawn
from harness.sockets import Agent, Listener, Socket
from harness.wait import wait_for

WELL, NOT_WELL, USAGE = 0, 1, 2
NET, HOST, EXEMPT = "10.211.7.0/24", "10.211.7.8", "10.211.7.99"
NET6, HOST6 = "fd77:211::/64", "fd77:211::8"
KEYS: dict[str, object] = {"time": "120s", "interval": "30s", "probes": 4, "window": "350s"}
HELD = held(120, 30, 4)
OTHER, OTHER6 = "10.211.7.9", "fd77:211::9"
OURS = f"{NET}, {NET6}"
GROUPS, GROUP = 60, 50

APPLICATIONS: list[dict[str, int]] = [
    {},
    {"keepalive": 1},
    {"keepalive": 1, "time": 15},
    {"keepalive": 1, "time": 15, "interval": 7, "probes": 2},
    {"keepalive": 1, "time": 119, "interval": 7},
    {"keepalive": 1, "time": 120, "interval": 30, "probes": 4},
    {"keepalive": 1, "time": 120, "probes": 2},
    {"keepalive": 1, "time": 5000, "interval": 5},
    {"keepalive": 1, "probes": 3},
    {"time": 15, "interval": 7},
    {"user_timeout": 5000},
    {"keepalive": 1, "time": 15, "user_timeout": 5000},
    {"user_timeout": 900_000},
]


@pytest.fixture(autouse=True)
def addresses(netns: Netns) -> None:
    """Adds the addresses that the rules of these tests name."""
    netns.add_address(HOST, OTHER, EXEMPT, *([HOST6, OTHER6] if HAS_IPV6 else []))


class Preview:
    """`holdfast preview --config` with a configuration of our own."""

    def __init__(self, holdfast: Command, daemon: Daemon) -> None:
        self._holdfast = holdfast
        self._daemon = daemon

    def __call__(self, config: str, *arguments: str) -> Result:
        """Writes the configuration for the daemon, too, and runs it."""
        self._daemon.configure(config)
        return self._holdfast("preview", "--config", self._daemon.config_file, *arguments)

    def sockets(self, config: str, *arguments: str) -> dict[int, dict[str, Any]]:
        """Returns the sockets by their cookies."""
        result = self(config, "-J", *arguments)
        assert result.out, result.err
        found = result.json["sockets"]
        by_cookie = {sock["cookie"]: sock for sock in found}
        assert len(by_cookie) == len(found)
        return by_cookie


@pytest.fixture
def preview(holdfast: Command, daemon: Daemon) -> Preview:
    """The verb on the configuration of a daemon that needn't run."""
    return Preview(holdfast, daemon)


def settings_of(shown: dict[str, Any]) -> Settings:
    """Returns the settings in a socket's object, or in its `would`."""
    return Settings(*(int(shown[key]) for key in Settings._fields))


def compare(shown: dict[int, dict[str, Any]], socks: list[Socket],
            act: Callable[[], object]) -> None:
    """Checks that what is shown is what the sockets have, and after act() what they would have."""
    cookies = [sock.info["cookie"] for sock in socks]
    before = [sock.settings for sock in socks]
    assert [settings_of(shown[cookie]) for cookie in cookies] == before
    act()
    after = [sock.settings for sock in socks]
    would = [shown[cookie]["would"] for cookie in cookies]
    assert [settings_of(one) if one else had for one, had in zip(would, before)] == after


# --- what it says is what a daemon does ---

@pytest.mark.parametrize("override", ["when-longer", "always", "never"])
@pytest.mark.parametrize("more", [
    {}, {"user_timeout": "400s"}, {"time": "600s", "window": "1h"}, {"enforce": "no"},
], ids=["plain", "user-timeout", "long", "exempt"])
def test_as_the_daemon_does(preview: Preview, daemon: Daemon, agent: Agent, listener: Listener,
                            override: str, more: dict[str, object]) -> None:
    """Connections that are open at a start get what was shown, under every `override`."""
    config = rule("all", NET, **{**KEYS, **more, "override": override})
    socks = [agent.connect(HOST, listener.port, **own) for own in APPLICATIONS]
    compare(preview.sockets(config), socks, lambda: daemon.start(config))


@pytest.mark.parametrize("override", ["when-longer", "never"])
def test_sysctls_of_the_namespace(preview: Preview, daemon: Daemon, agent: Agent, netns: Netns,
                                  listener: Listener, override: str) -> None:
    """What an application has left unset counts as its namespace's sysctls say."""
    netns.sysctl("ipv4/tcp_keepalive_time", 60)
    netns.sysctl("ipv4/tcp_keepalive_intvl", 11)
    netns.sysctl("ipv4/tcp_keepalive_probes", 3)
    config = rule("all", NET, override=override, **KEYS)
    # Under `never`, 3 probes that are set can't be told from those of the sysctl.
    socks = [agent.connect(HOST, listener.port, **own) for own in APPLICATIONS
             if override != "never" or own.get("probes") != 3]
    compare(preview.sockets(config), socks, lambda: daemon.start(config))


def test_built_in_values(preview: Preview, daemon: Daemon, agent: Agent,
                         listener: Listener) -> None:
    """Where the window isn't known, it is the time of `auto`."""
    config = rule("all", NET)
    sock = agent.connect(HOST, listener.port)
    shown = preview.sockets(config)[sock.info["cookie"]]
    assert shown["would"] == {"keepalive": True, "time": 200, "interval": 20, "probes": 5,
                              "user_timeout": 0}
    assert (shown["window"], shown["margin"]) == (None, None)
    daemon.start(config)
    assert sock.settings == held(200, 20, 5)


@pytest.mark.parametrize("window, time_s", [(None, 100), ("1h", 600)])
def test_what_the_host_forgets(preview: Preview, daemon: Daemon, agent: Agent, netns: Netns,
                               listener: Listener, window: str | None, time_s: int) -> None:
    """What connection tracking would forget after 300 s bounds the time of `auto`, and no other."""
    netns.nft("table ip own {\nchain output {\ntype filter hook output priority 0;\n"
              "ct state established accept\n}\n}")
    netns.sysctl("netfilter/nf_conntrack_tcp_timeout_established", 300)
    config = daemon_section(reconcile="1s") + rule("all", NET, **({"window": window} if window
                                                                  else {}))
    sock = agent.connect(HOST, listener.port)
    time.sleep(1.2)  # one that idles for less isn't asked about
    result = preview(config, "-J")
    [shown] = result.json["rules"]
    [would] = [one["would"] for one in result.json["sockets"]]
    assert shown["path"]["host"] == 300 and shown["time"] == would["time"] == time_s
    daemon.start(config)
    wait_for(lambda: sock.settings == settings_of(would), "what was shown")


@needs_ipv6
@pytest.mark.parametrize("address", [HOST6, f"::ffff:{HOST}"])
def test_ipv6(preview: Preview, daemon: Daemon, agent: Agent, listener: Listener,
              address: str) -> None:
    """IPv6 connections, and IPv4 ones through an IPv6 socket."""
    config = rule("all", OURS, **KEYS)
    socks = [agent.connect(address, listener.port, **own) for own in APPLICATIONS[:4]]
    compare(preview.sockets(config), socks, lambda: daemon.start(config))


def test_sides(preview: Preview, daemon: Daemon, agent: Agent) -> None:
    """Who opened a connection decides which rule it gets."""
    listener = agent.listen(PORT, HOST)
    client = agent.connect(HOST, PORT, source=HOST)
    server = listener.accept()
    config = (rule("out", NET, **KEYS)
              + rule("in", NET, side="server", time="90s", interval="9s", probes=3))
    shown = preview.sockets(config)
    cookies = client.info["cookie"], server.info["cookie"]
    assert [(shown[c]["side"], shown[c]["rule"]) for c in cookies] == [
        ("client", "out"), ("server", "in")]
    compare(shown, [client, server], lambda: daemon.start(config))
    assert [client.settings, server.settings] == [HELD, held(90, 9, 3)]


def test_client_side_only(preview: Preview, agent: Agent) -> None:
    """The accepted end of a connection isn't shown where the rule is the client's."""
    listener = agent.listen(PORT, HOST)
    client = agent.connect(HOST, PORT, source=HOST)
    server = listener.accept()
    shown = preview.sockets(rule("all", NET, **KEYS))
    assert client.info["cookie"] in shown and server.info["cookie"] not in shown


def test_other_namespaces(preview: Preview, daemon: Daemon, make_agent: Callable[..., Agent],
                          make_netns: Callable[[], Netns], cgroup) -> None:
    """Sockets of every namespace are shown, each with its namespace."""
    socks, namespaces = [], [make_netns() for _ in range(3)]
    config = rule("all", NET, **KEYS)
    for namespace in namespaces:
        namespace.add_address(HOST)
        inside = make_agent(namespace, cgroup)
        inside.listen(PORT, HOST)
        socks.append(inside.connect(HOST, PORT))
    shown = preview.sockets(config)
    assert [shown[sock.info["cookie"]]["netns"] for sock in socks] == [
        namespace.inode for namespace in namespaces]
    compare(shown, socks, lambda: daemon.start(config))


def test_namespace_that_only_a_socket_keeps(preview: Preview, daemon: Daemon, cgroup,
                                            make_netns: Callable[[], Netns],
                                            make_agent: Callable[..., Agent]) -> None:
    """A namespace that no process is in any more is found through its socket."""
    namespace = make_netns()
    namespace.add_address(HOST)
    inside = make_agent(namespace, cgroup)
    inside.listen(PORT, HOST)
    sock = inside.connect(HOST, PORT)
    inside.call("leave")
    inode = namespace.inode
    namespace.close()
    config = rule("all", NET, **KEYS)
    shown = preview.sockets(config)
    assert shown[sock.info["cookie"]]["netns"] == inode
    compare(shown, [sock], lambda: daemon.start(config))


def test_host_name(preview: Preview, agent: Agent, netns: Netns, listener: Listener) -> None:
    """Host names are looked up."""
    source = f"127.{os.getpid() % 200 + 10}.7.1"
    netns.add_address(source)
    sock = agent.connect("127.0.0.1", listener.port, source=source)
    shown = preview.sockets(rule("named", "localhost", **KEYS))
    assert shown[sock.info["cookie"]]["rule"] == "named"


def test_longest_prefix(preview: Preview, daemon: Daemon, agent: Agent,
                        listener: Listener) -> None:
    """The longest prefix wins, as it does for the daemon."""
    config = rule("wide", NET, **KEYS) + rule("one", HOST, time="77s", window="350s") + rule(
        "lab", EXEMPT, enforce="no")
    socks = [agent.connect(address, listener.port) for address in (HOST, EXEMPT)]
    shown = preview.sockets(config)
    assert [shown[sock.info["cookie"]]["rule"] for sock in socks] == ["one", "lab"]
    compare(shown, socks, lambda: daemon.start(config))


def test_crowd(preview: Preview, daemon: Daemon, agent: Agent, listener: Listener) -> None:
    """Thousands of connections with settings at random, under rules that overlap."""
    numbers = random.Random(7)
    config = rule("wide", f"{NET}, {NET6}", **KEYS) + \
        rule("always", HOST, time="77s", window="350s", override="always") + \
        rule("never", HOST6, time="90s", user_timeout="300s", override="never") + \
        rule("lab", EXEMPT, enforce="no")
    listener.keep_all(GROUPS * GROUP)
    socks = []
    for _ in range(GROUPS):
        to = numbers.choice([HOST, OTHER, EXEMPT, *([HOST6, OTHER6] if HAS_IPV6 else [])])
        own = {"keepalive": numbers.randrange(2), "time": numbers.randrange(1, 400),
               "interval": numbers.randrange(1, 90), "probes": numbers.randrange(1, 9),
               "user_timeout": numbers.randrange(1000, 900_000)}
        chosen = numbers.sample(list(own), numbers.randrange(len(own) + 1))
        socks += agent.connect_many(to, listener.port, GROUP, **{key: own[key] for key in chosen})
    shown = preview.sockets(config)
    assert set(shown) == {sock.info["cookie"] for sock in socks}
    compare(shown, socks, lambda: daemon.start(config))


# --- verdicts ---

@pytest.mark.parametrize("application, keys, verdict", [
    ({}, KEYS, "exposed"),
    ({"keepalive": 1}, KEYS, "exposed"),
    ({"keepalive": 1, "time": 350}, KEYS, "exposed"),
    ({"keepalive": 1, "time": 349}, KEYS, "own"),
    ({"keepalive": 1, "time": 120, "interval": 30, "probes": 4}, KEYS, "own"),
    ({"keepalive": 1, "time": 201}, {}, "exposed"),
    ({"keepalive": 1, "time": 200}, {}, "own"),
    ({}, {"enforce": "no"}, "exempt"),
])
def test_verdict(preview: Preview, agent: Agent, listener: Listener, application: dict[str, int],
                 keys: dict[str, object], verdict: str) -> None:
    """The verdict is that of today, without holdfast, and decides on the exit status."""
    config = rule("all", NET, **keys)
    sock = agent.connect(HOST, listener.port, **application)
    result = preview(config, "-J")
    (shown,) = result.json["sockets"]
    assert (shown["cookie"], shown["verdict"]) == (sock.info["cookie"], verdict)
    assert result.status == (NOT_WELL if verdict == "exposed" else WELL)
    assert (shown["would"] is None) == (verdict == "exempt")


def test_closed(preview: Preview, agent: Agent, listener: Listener, outsider: Agent) -> None:
    """What the server has closed is closed, and would be left alone."""
    sock = agent.connect(HOST, listener.port, keepalive=1, time=15)
    listener.accept().close()
    wait_for(lambda: preview.sockets(rule("all", NET, **KEYS))[sock.info["cookie"]]["verdict"]
             == "closed", "it is closed")
    result = preview(rule("all", NET, **KEYS), "-J")
    assert result.status == NOT_WELL
    assert result.json["sockets"][0]["would"] is None


# --- it does nothing ---

def test_touches_nothing(preview: Preview, daemon: Daemon, agent: Agent,
                         listener: Listener) -> None:
    """Settings, the connection and the pin dir stay as they were."""
    socks = [agent.connect(HOST, listener.port, **own) for own in APPLICATIONS]
    servers = [listener.accept() for _ in socks]
    before = [sock.settings for sock in socks]
    for _ in range(5):
        preview(rule("all", NET, **KEYS))
    assert [sock.settings for sock in socks] == before
    for sock, server in zip(socks, servers):
        server.send("still here")
        assert sock.receive() == "still here"
    assert not os.path.exists(daemon.pin_dir)


@pytest.mark.skipif(build.SANITIZED, reason="strace and sanitizers don't go together")
def test_loads_and_sets_nothing(preview: Preview, daemon: Daemon, holdfast: Command, agent: Agent,
                                listener: Listener, workdir: str) -> None:
    """It makes no bpf(2) call and sets no option of a TCP socket."""
    if not shutil.which("strace"):
        pytest.skip("strace is missing")
    agent.connect(HOST, listener.port)
    daemon.configure(rule("all", NET, **KEYS))
    trace = os.path.join(workdir, "trace")
    result = run("strace", "-f", "-o", trace, "-e", "trace=bpf,setsockopt,mount,mkdir,mkdirat,"
                 "unlink,unlinkat,pidfd_getfd", build.HOLDFAST, "--pin-dir", holdfast.pin_dir,
                 "preview", "--config", daemon.config_file)
    assert result.status == NOT_WELL
    with open(trace, encoding="utf-8", errors="replace") as file:
        calls = re.findall(r"^\d+ +(\w+)\((.*)", file.read(), re.MULTILINE)
    assert {name for name, _ in calls} <= {"pidfd_getfd", "setsockopt"}
    assert any(name == "pidfd_getfd" for name, _ in calls)
    for name, rest in calls:
        assert name != "setsockopt" or "SO_KEEPALIVE" not in rest and "SOL_TCP" not in rest


def test_killed(preview: Preview, daemon: Daemon, agent: Agent, listener: Listener) -> None:
    """Killed at any moment it leaves no pins, no process, and the sockets as they were."""
    socks = agent.connect_many(HOST, listener.port, 300)
    config = rule("all", NET, **KEYS)
    begun = time.monotonic()
    assert len(preview.sockets(config)) == len(socks)
    whole = time.monotonic() - begun
    for part in range(1, 8):
        process = spawn([build.HOLDFAST, "--pin-dir", daemon.pin_dir, "preview", "--config",
                         daemon.config_file], None, stdin=subprocess.DEVNULL,
                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(whole * part / 8)
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    wait_for(lambda: not helpers_of(daemon.config_file), "the helpers have ended")
    assert not os.path.exists(daemon.pin_dir)
    assert agent.settings_of(socks) == {UNTOUCHED: len(socks)}


def helpers_of(config_file: str) -> list[int]:
    """Returns the processes that run `preview` on this file, helpers included."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
        except OSError:
            continue
        if b"preview" in words and config_file.encode() in words:
            found.append(int(pid))
    return found


# --- beside a daemon ---

def test_beside_a_daemon(preview: Preview, daemon: Daemon, agent: Agent, listener: Listener,
                         ) -> None:
    """With a daemon running it says so, and what is held differs only where the rules do."""
    socks = [agent.connect(HOST, listener.port, **own) for own in APPLICATIONS]
    config = rule("all", NET, **KEYS)
    daemon.start(config)
    socks += [agent.connect(HOST, listener.port, **own) for own in APPLICATIONS]
    same = preview.sockets(config)
    result = preview(config)
    assert f"a daemon runs, process {daemon.pid}" in result.err
    assert result.status == WELL
    assert " 0 of " in result.err.splitlines()[-1]
    for sock in socks:
        shown = same[sock.info["cookie"]]
        assert settings_of(shown["would"]) == settings_of(shown) == sock.settings
        assert shown["verdict"] in ("held", "own")
    assert {same[sock.info["cookie"]]["verdict"] for sock in socks} == {"held", "own"}


@pytest.mark.parametrize("override", ["when-longer", "always", "never"])
@pytest.mark.parametrize("more", [
    {"time": "60s"}, {"time": "300s"}, {"user_timeout": "400s"}, {"enforce": "no"},
], ids=["shorter", "longer", "user-timeout", "exempt"])
def test_as_a_reload_does(preview: Preview, daemon: Daemon, agent: Agent, listener: Listener,
                          override: str, more: dict[str, object]) -> None:
    """What is shown beside a daemon is what a reload then does, also where applications have asked
    for something that the guard has kept back."""
    socks = [agent.connect(HOST, listener.port, **own) for own in APPLICATIONS]
    daemon.start(rule("all", NET, override="always", **KEYS))
    socks += [agent.connect(HOST, listener.port, **own) for own in APPLICATIONS]
    for time_s in (10, 5000):
        socks.append(agent.connect(HOST, listener.port))
        socks[-1].change(keepalive=1, time=time_s, interval=8)
    config = rule("all", NET, **{**KEYS, **more, "override": override})
    compare(preview.sockets(config), socks, daemon.reload)


def test_given_back(preview: Preview, daemon: Daemon, agent: Agent, listener: Listener) -> None:
    """Held connections that no rule matches any more are counted."""
    daemon.start(rule("all", NET, **KEYS))
    for address in (HOST, HOST, EXEMPT):
        agent.connect(address, listener.port)
    result = preview(rule("other", EXEMPT, **KEYS), "-J")
    assert len(result.json["sockets"]) == 1
    assert "2 held connections that no rule of this configuration matches would be given back" \
        in result.err


def test_dead_daemon(preview: Preview, daemon: Daemon, agent: Agent, listener: Listener) -> None:
    """What a killed daemon has left is told from applications' own settings."""
    daemon.start(rule("all", NET, **KEYS))
    sock = agent.connect(HOST, listener.port)
    daemon.kill()
    result = preview(rule("all", NET, **KEYS), "-J")
    assert "no daemon runs, but what one has attached still holds connections" in result.err
    (shown,) = result.json["sockets"]
    assert (shown["cookie"], shown["verdict"]) == (sock.info["cookie"], "held")


def test_only_the_daemons_cgroup(preview: Preview, daemon: Daemon, agent: Agent, outsider: Agent,
                                 listener: Listener) -> None:
    """Beside a daemon that is limited to a cgroup only sockets in there are shown."""
    inside, outside = (one.connect(HOST, listener.port) for one in (agent, outsider))
    config = rule("all", NET, **KEYS)
    assert set(preview.sockets(config)) == {inside.info["cookie"], outside.info["cookie"]}
    daemon.start(config)
    assert set(preview.sockets(config)) == {inside.info["cookie"]}


# --- how it looks ---

def test_json(preview: Preview, daemon: Daemon, agent: Agent, listener: Listener,
              holdfast: Command) -> None:
    """-J has the rules and the sockets of `status -J`, each socket with `would`."""
    config = rule("all", NET, **KEYS)
    agent.connect(HOST, listener.port)
    parsed = preview(config, "-J").json
    assert set(parsed) == {"rules", "sockets"}
    (shown,) = parsed["sockets"]
    daemon.start(config)
    status = holdfast.status()
    assert parsed["rules"] == status["rules"]
    would = shown.pop("would")
    assert set(shown) == set(status["sockets"][0])
    assert set(would) == {"keepalive", "time", "interval", "probes", "user_timeout"}
    for key in ("local", "local_port", "peer", "side", "netns", "cgroup", "inode", "processes"):
        assert shown[key] == status["sockets"][0][key]


def test_table(preview: Preview, agent: Agent, listener: Listener) -> None:
    """The table has a line for each socket; the last line says how many would be changed."""
    config = rule("one", HOST, **KEYS) + rule("lab", EXEMPT, enforce="no") + rule("net", NET)
    agent.connect(HOST, listener.port)
    agent.connect(HOST, listener.port, keepalive=1, time=15)
    agent.connect(EXEMPT, listener.port)
    result = preview(config)
    assert result.status == NOT_WELL
    heading, *lines = result.out.splitlines()
    assert heading.split() == ["VERDICT", "RULE", "LOCAL", "PEER", "KEEPALIVE", "TIME",
                               "WOULD-TIME", "IDLE", "WINDOW", "PROCESSES"]
    rows = sorted([*line.split()[:2], *line.split()[4:7]] for line in lines)
    assert rows == [["exempt", "lab", "no", "7200", "-"], ["exposed", "one", "no", "7200", "120"],
                    ["own", "one", "yes", "15", "15"]]
    assert result.err.splitlines()[-1] == \
        "holdfast: 1 of 3 sockets would be changed: 1 by rule one"


def test_columns(preview: Preview, agent: Agent, listener: Listener) -> None:
    """-o, -n and -r as with `status`; the columns of a preview are none of `status`."""
    config = rule("all", NET, user_timeout="400s", **KEYS)
    agent.connect(HOST, listener.port)
    columns = "would-keepalive,WOULD_TIME,would-interval,would-probes,would-user-timeout"
    assert preview(config, "-nr", "-o", columns).out == "yes 120 30 4 400000\n"
    assert preview(config, "-o", f"+{columns}").out.splitlines()[0].split()[-1] == \
        "WOULD-USER-TIMEOUT"
    assert preview(config, "-o", "colour").status == USAGE


def test_would_columns_are_not_of_status(holdfast: Command) -> None:
    """`status` has no column of a preview."""
    assert holdfast("status", "-o", "would-time").status == USAGE


def test_filters(preview: Preview, agent: Agent, listener: Listener) -> None:
    """Filters choose what is shown, what is counted and the exit status."""
    config = rule("one", HOST, **KEYS) + rule("lab", EXEMPT, enforce="no")
    agent.connect(HOST, listener.port)
    agent.connect(EXEMPT, listener.port)
    assert len(preview.sockets(config)) == 2
    for word, count in (("one", 1), ("lab", 1), (EXEMPT, 1), (NET, 2), ("exposed", 1),
                        ("exempt", 1), ("own", 0)):
        assert len(preview.sockets(config, word)) == count, word
    result = preview(config, "lab")
    assert result.status == WELL
    assert result.err.splitlines()[-1] == "holdfast: 0 of 1 socket would be changed"
    assert preview(config, "nonsense").status == USAGE


def test_faults(preview: Preview, daemon: Daemon, holdfast: Command) -> None:
    """Faults are listed as `check` lists them; warnings don't stop it."""
    result = preview("[rule a]\ndestination = 10.20.0.1/16\ntime = 10h\n")
    checked = holdfast("check", daemon.config_file)
    assert (result.status, result.out, result.err) == (NOT_WELL, "", checked.err)
    assert result.err.count(": error: ") == 2
    result = preview(rule("all", NET, window="60s", time="50s", interval="5s", probes=5))
    assert result.status == WELL and "warning: " in result.err
    missing = holdfast("preview", "--config", "/nonexistent/holdfast.conf")
    assert missing.status == NOT_WELL and "/nonexistent/holdfast.conf" in missing.err


def test_too_many_entries(preview: Preview) -> None:
    """Rules that no map could hold are told as the daemon tells them."""
    result = preview("".join(rule(f"r{i}", f"10.{i // 256}.{i % 256}.0/24", port=f"1-{1 + i}")
                             for i in range(3000)))
    assert result.status == 4 and "map entries" in result.err, result


def test_guard_section_is_no_matter(preview: Preview, agent: Agent, listener: Listener) -> None:
    """What [daemon] says is read and doesn't matter."""
    sock = agent.connect(HOST, listener.port)
    shown = preview.sockets(daemon_section(guard="no") + rule("all", NET, **KEYS))
    assert settings_of(shown[sock.info["cookie"]]["would"]) == HELD


def test_sockets_of_no_process(preview: Preview, agent: Agent, outsider: Agent) -> None:
    """A connection that waits to be accepted can't be read, and that is told."""
    outsider.listen(PORT, HOST)
    agent.connect(HOST, PORT)
    result = preview(rule("in", NET, side="server"), "-J")
    assert not result.json["sockets"]
    assert "1 more socket can't be read and isn't shown: no process has them open" in result.err
