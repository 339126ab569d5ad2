"""The guard is attached only while a rule needs it, and affects no option but the guarded ones."""

import os
import shutil
import subprocess

import pytest

from harness import bpf, script
from harness.cgroup import Cgroup
from harness.command import Command
from harness.config import daemon as daemon_section, rule
from harness.daemon import Daemon
from harness.netns import Netns
from harness.options import Settings, held
from harness.process import spawn
from harness.sockets import Agent, Listener
from harness.wait import wait_for

RULE = rule("all", time="120s", interval="30s", probes=4)
VALUES = held(120, 30, 4)


def is_attached(cgroup: Cgroup, holdfast: Command) -> bool:
    """Whether the guard is attached; checks that `status` says the same as the kernel."""
    programs = bpf.attached(cgroup.directory, bpf.SETSOCKOPT)
    assert len(programs) <= 1
    said = holdfast.status()["enforcement"]["guard"]
    assert said == bool(programs)
    return said


@pytest.mark.parametrize("config, needed", [
    (RULE, True),
    (RULE + "override = always\n", True),
    (RULE + "override = never\n", False),
    (RULE + "enforce = no\n", False),
    (RULE + "override = never\n" + rule("b", "192.0.2.0/24"), True),
    (RULE + "override = never\n" + rule("b", "192.0.2.0/24", enforce="no"), False),
    (daemon_section(guard="no") + RULE + "override = always\n", False),
])
def test_only_where_it_is_needed(daemon: Daemon, cgroup: Cgroup, holdfast: Command, config: str,
                                 needed: bool) -> None:
    """The guard is attached only where a rule needs it, because it slows down every
    setsockopt()."""
    daemon.start(config)
    assert is_attached(cgroup, holdfast) == needed
    daemon.stop()
    assert not bpf.attached(cgroup.directory, bpf.SETSOCKOPT)
    assert not bpf.attached(cgroup.directory, bpf.SOCK_OPS)


def test_reloads_attach_and_detach_it(daemon: Daemon, agent: Agent, listener: Listener,
                                      cgroup: Cgroup, holdfast: Command) -> None:
    """A reload attaches and detaches the guard, which then works on older connections, too."""
    sock = agent.connect("127.0.0.1", listener.port)
    daemon.start(RULE + "override = never\n")
    for _ in range(2):
        assert not is_attached(cgroup, holdfast)
        daemon.reload(RULE)
        assert is_attached(cgroup, holdfast)
        sock.change(keepalive=0)
        assert sock.settings == VALUES
        daemon.reload(daemon_section(guard="no") + RULE)
    assert not is_attached(cgroup, holdfast)


def test_next_start_attaches_or_detaches_it(daemon: Daemon, cgroup: Cgroup,
                                            holdfast: Command) -> None:
    """A start that takes over attaches or detaches the guard by its own rules."""
    daemon.start(RULE)
    daemon.kill()
    assert is_attached(cgroup, holdfast)
    daemon.start(RULE + "override = never\n")
    assert not is_attached(cgroup, holdfast)
    daemon.kill()
    daemon.start(RULE)
    assert is_attached(cgroup, holdfast)


def test_without_it_reconcile_heals(daemon: Daemon, agent: Agent, netns: Netns,
                                    listener: Listener) -> None:
    """With `guard = no` the next pass restores what an application has changed, and logs it."""
    netns.add_address("10.20.0.8")
    daemon.start(daemon_section(guard="no", reconcile="1s") + RULE
                 + rule("always", "10.20.0.8", time="60s", interval="20s", probes=3,
                        override="always"))
    always = held(60, 20, 3)
    cases = [("127.0.0.1", {"keepalive": 0}, VALUES, VALUES),
             ("127.0.0.1", {"time": 5000, "probes": 100}, VALUES, VALUES),
             ("127.0.0.1", {"time": 15, "interval": 7, "probes": 2}, VALUES, held(15, 7, 2)),
             ("10.20.0.8", {"time": 15}, always, always)]
    socks = [agent.connect(address, listener.port) for address, *_ in cases]
    for sock, (_, change, before, _) in zip(socks, cases):
        sock.change(**change)
        assert sock.settings == before._replace(**change), "the guard must not be there"
    for sock, (*_, outcome) in zip(socks, cases):
        wait_for(lambda s=sock, o=outcome: s.settings == o, "reconcile heals it", timeout=3)
    wait_for(lambda: "held again" in daemon.log, "the log says so")


@pytest.mark.parametrize("config", [
    daemon_section(guard="no") + RULE, daemon_section(guard="no") + RULE + "override = always\n",
    RULE + "override = never\n"])
def test_switched_on_without_it(daemon: Daemon, agent: Agent, listener: Listener,
                                config: str) -> None:
    """Without the guard, an application that sets a time counts as having switched keepalive on."""
    daemon.start(config)
    both, alone, off = (agent.connect("127.0.0.1", listener.port) for _ in range(3))
    both.change(keepalive=1, time=15)
    alone.change(time=15)  # looks the same
    off.change(keepalive=0, time=15)
    daemon.stop()
    assert both.settings == alone.settings == Settings(1, 15, 75, 9)
    assert off.settings == Settings(0, 15, 75, 9)


# Sets many options, guarded ones and others, to values of many lengths. Prints what the kernel
# returns for each, and what the socket has then.
PROBE_OPTIONS = """
import ctypes, json, os, socket, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
ours = {(1, 9), (6, 4), (6, 5), (6, 6), (6, 18)}
def fresh():
    return socket.create_connection(("127.0.0.1", int(sys.argv[1])))
def put(sock, level, option, pointer, length):
    ok = libc.setsockopt(sock.fileno(), level, option, pointer, length)
    return 0 if ok == 0 else ctypes.get_errno()
def get(sock, level, option):
    try:
        return sock.getsockopt(level, option, 256).hex()
    except OSError as error:
        return error.errno
seen = {}
one = struct.pack("=i", 1)
contents = {"": b"", "char": b"1", "short": b"10", "int": one, "9": struct.pack("=i", 9),
            "long": one.ljust(8, bytes(1)), "64": one.ljust(64, bytes(1)),
            "page": one.ljust(4096, bytes(1)), "page+1": one.ljust(4097, bytes(1)),
            "64k": one.ljust(65536, bytes(1))}
sock = fresh()
for level, options in ((0, (1, 2, 64, 65)), (1, (2, 7, 8, 9, 13, 15, 20, 26, 999)),
                       (6, (1, 3, 4, 5, 6, 7, 8, 9, 13, 18, 23, 999)), (41, (26, 64)), (999, (1,))):
    for option in options:
        for name, content in contents.items():
            said = put(sock, level, option, content, len(content))
            value = None if (level, option) in ours or level == 1 and option in (20,) else get(
                sock, level, option)
            seen[f"{level} {option} {name}"] = [said, value]
        seen[f"{level} {option} negative"] = put(sock, level, option, one, -1)
        if (level, option) in ours:  # of others the kernel copies the value before it asks us
            seen[f"{level} {option} nowhere"] = put(sock, level, option, ctypes.c_void_p(8), 4)
print(json.dumps(seen))
"""


@pytest.mark.parametrize("override", ["when-longer", "always"])
def test_nobody_notices(daemon: Daemon, netns: Netns, cgroup: Cgroup, listener: Listener,
                        override: str) -> None:
    """A process under the guard gets the same answer to each setsockopt() as one that isn't."""
    free = script.run(PROBE_OPTIONS, listener.port, netns=netns)
    assert len(set(map(str, free.values()))) > 20
    daemon.start(RULE + f"override = {override}\n")
    guarded = script.run(PROBE_OPTIONS, listener.port, netns=netns, cgroup=cgroup)
    assert {k: (free[k], guarded[k]) for k in free if free[k] != guarded[k]} == {}


def run_in(netns: Netns, cgroup: Cgroup | None, argv: list[str], text: str | None,
           workdir: str) -> str:
    """Runs a program in a namespace and a control group to its end. Returns its output."""
    process = spawn(argv, netns, cgroup, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE, text=True,
                    env={**os.environ, "XTABLES_LOCKFILE": os.path.join(workdir, "xtables.lock")})
    out, err = process.communicate(text, timeout=30)
    assert process.returncode == 0, f"{argv}: {err}"
    return out


@pytest.mark.parametrize("family", ["", "6"])
def test_iptables_restore(daemon: Daemon, netns: Netns, cgroup: Cgroup, workdir: str,
                          family: str) -> None:
    """ip(6)tables-restore works, whose one setsockopt() (IPT_SO_SET_REPLACE) has hundreds of
    kilobytes."""
    restore, save = f"ip{family}tables-legacy-restore", f"ip{family}tables-legacy-save"
    if not shutil.which(restore):
        pytest.skip(f"{restore} is not installed (package iptables)")
    net = "2001:db8::" if family else "10.0.0."
    rules = "".join(f"-A INPUT -s {net}{n % 100} -p tcp -m tcp --dport {n} -j ACCEPT\n"
                    for n in range(1, 1001))
    try:
        run_in(netns, None, [restore], "*filter\nCOMMIT\n", workdir)
    except AssertionError as fault:
        pytest.skip(f"no iptables on this kernel: {fault}")
    daemon.start(RULE)
    run_in(netns, cgroup, [restore], f"*filter\n{rules}COMMIT\n", workdir)
    assert run_in(netns, cgroup, [save], None, workdir).count("-A INPUT") == 1000
    run_in(netns, cgroup, [restore], "*filter\nCOMMIT\n", workdir)
    assert run_in(netns, cgroup, [save], None, workdir).count("-A INPUT") == 0


def test_nft(daemon: Daemon, netns: Netns, cgroup: Cgroup, workdir: str) -> None:
    """nft works with tens of kilobytes of rules."""
    if not shutil.which("nft"):
        pytest.skip("nft is not installed (package nftables)")
    rules = "".join(f"add rule inet t c ip saddr 10.0.0.{n % 250} tcp dport {n} accept\n"
                    for n in range(1, 1001))
    daemon.start(RULE)
    run_in(netns, cgroup, ["nft", "-f", "-"], f"add table inet t\nadd chain inet t c\n{rules}",
           workdir)
    assert run_in(netns, cgroup, ["nft", "list", "ruleset"], None, workdir).count("dport") == 1000
