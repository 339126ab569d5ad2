"""A hundred thousand held connections: what the daemon and the command cost then."""

import os
import re
import struct
import time
from contextlib import ExitStack

from harness import build
from harness.daemon import Daemon
from harness.netns import Netns

from figure import Figure
from sample import Sample, alternate
from world import OTHER, RULE, TARGET, World, prefixes, timed

CROWD = 100_000
FEW = 10
RULES = 10_000

# A pass of its own for each of them, and no other while something is measured.
EVERY_SECOND = "[daemon]\nreconcile = 1s\n"
SELDOM = "[daemon]\nreconcile = 1h\n"


def _ss(netns: Netns, options: str):
    return timed(netns, "ss", options, f"dport = :{TARGET}")


def _status(daemon: Daemon, *options: str):
    return timed(None, build.HOLDFAST, "--pin-dir", daemon.pin_dir, "status", *options)


def first_hold(daemon: Daemon) -> float:
    """From nothing to READY, with every socket held; then all is undone."""
    start = time.monotonic()
    ready = daemon.start()
    daemon.stop()
    return ready - start


def check_held(daemon: Daemon, connections: int) -> None:
    """What is measured is what was asked for."""
    assert f"{connections} existing connections held" in daemon.log, daemon.log


def passes(daemon: Daemon, number: int) -> list[float]:
    """How long the next so many reconcile passes take, in seconds, by the daemon's own clock."""
    pattern = re.compile(r"reconcile: \d+ network namespaces in (\d+) us")
    before = len(pattern.findall(daemon.log))
    while len(found := pattern.findall(daemon.log)) < before + number:
        assert daemon.running
        time.sleep(0.02)
    return [int(us) / 1e6 for us in found[before:before + number]]


def hidden_namespaces(folder: str) -> bool:
    """Whether somebody on this host has one that no process is in: a pass looks for it then."""
    with open(os.path.join(folder, "hf_tasks"), "rb") as file:
        tasks = list(struct.iter_unpack("=QiI", file.read()))  # struct hf_task
    return len({netns for netns, _, _ in tasks}) < max(namespaces for _, _, namespaces in tasks)


def floor(world: World, daemon: Daemon) -> float:
    """CPU time that the kernel takes for the one look at all sockets, and for finding namespaces."""
    folder = daemon.layout
    survey = "hf_survey" if os.path.exists(os.path.join(folder, "hf_survey")) else "hf_sweep"
    names = ["hf_tasks", survey] + ["hf_strays"] * hidden_namespaces(folder)
    return sum(world.floor(None, *(os.path.join(folder, name) for name in names)).values())


def measure_one_size(world: World, size: int, rounds: int) -> dict[str, dict[str, Sample]]:
    """First hold, a pass, status, each beside what ss takes; in seconds."""
    with ExitStack() as stack:
        netns = world.netns()
        stack.callback(netns.close)
        crowd = world.crowd(netns, TARGET, size)
        stack.callback(crowd.close)
        daemon = world.daemon(SELDOM + RULE)
        stack.callback(daemon.close)
        found: dict[str, dict[str, Sample]] = {}
        found["first-hold"] = alternate(rounds, {"ours": lambda: first_hold(daemon),
                                                 "theirs": _ss(netns, "-tnoie")})
        check_held(daemon, size)
        daemon.start(EVERY_SECOND + RULE, "--verbose")
        found["reconcile"] = alternate(2 * rounds, {
            "ours": lambda: passes(daemon, 1)[0], "theirs": _ss(netns, "-tn"),
            "floor": lambda: floor(world, daemon)})
        daemon.stop()
        daemon.start(SELDOM + RULE)
        found["status"] = alternate(rounds, {"ours": _status(daemon, "-J"),
                                             "theirs": _ss(netns, "-tnoie")})
        # ss looks for the owner of each socket in a table with 256 places: far slower.
        found["status-json"] = alternate(2 if size > 20_000 else rounds, {
            "ours": _status(daemon, "-J"), "theirs": _ss(netns, "-tnopie"),
        }, warm=False)
        daemon.stop()
    return found


def measure_crowd(world: World, crowd: int = CROWD) -> list[Figure]:
    """All sizes, and the figures at the largest."""
    sizes = [n for n in (1000, 10_000) if n < crowd] + [crowd]
    found = {size: measure_one_size(world, size, 5 if size == crowd else 7) for size in sizes}
    whole = found[crowd]

    def grown(name: str) -> dict[int, Sample]:
        return {size: found[size][name]["ours"] for size in sizes}

    return [
        Figure("first-hold", f"first hold of {crowd:,} connections among {2 * crowd:,} sockets, "
               "daemon start to READY", "ss -tnoie listing the same", "s",
               whole["first-hold"]["ours"], whole["first-hold"]["theirs"], 0.7,
               growth=grown("first-hold")),
        Figure("reconcile", f"reconcile pass over {crowd:,} held sockets with nothing to do",
               "ss -tn listing the same", "s", whole["reconcile"]["ours"],
               whole["reconcile"]["theirs"], 0.5,
               floor=("the kernel's part of it, CPU time", whole["reconcile"]["floor"]),
               growth=grown("reconcile")),
        Figure("status-json", f"holdfast status -J of {crowd:,} held sockets, processes included",
               "ss -tnopie listing the same", "s", whole["status-json"]["ours"],
               whole["status-json"]["theirs"], 0.1, growth=grown("status")),
    ]


def measure_few(world: World, crowd: int = CROWD) -> list[Figure]:
    """Ten held sockets among two hundred thousand others."""
    with ExitStack() as stack:
        netns = world.netns()
        stack.callback(netns.close)
        stack.callback(world.crowd(netns, OTHER, crowd).close)
        stack.callback(world.crowd(netns, TARGET, FEW).close)
        daemon = world.daemon(SELDOM + RULE)
        stack.callback(daemon.close)
        daemon.start()
        check_held(daemon, FEW)
        got = alternate(15, {
            "ours": _status(daemon), "theirs": _ss(netns, "-tno"),
            "floor": lambda: floor(world, daemon)})
        daemon.stop()
    return [Figure("status-few", f"holdfast status of {FEW} held sockets among {2 * crowd:,} others",
                   "ss -tno with the same port filter", "s", got["ours"], got["theirs"], 1.0,
                   floor=("the kernel's part of it, CPU time", got["floor"]))]


def memory(daemon: Daemon, what: str) -> float:
    """Of its memory, in MiB: VmRSS, VmHWM."""
    with open(f"/proc/{daemon.pid}/status", encoding="ascii") as file:
        return int(re.search(rf"{what}:\s+(\d+) kB", file.read())[1]) / 1024


def _ran(daemon: Daemon) -> tuple[float, float]:
    """CPU time of the daemon so far, its own and the kernel's for it, in seconds."""
    with open(f"/proc/{daemon.pid}/stat", encoding="ascii") as file:
        user, system = file.read().rsplit(")", 1)[1].split()[11:13]
    tick = os.sysconf("SC_CLK_TCK")
    return int(user) / tick, int(system) / tick


def _woken(daemon: Daemon) -> int:
    """How often it has gone to sleep, and so been woken."""
    with open(f"/proc/{daemon.pid}/status", encoding="ascii") as file:
        return int(re.search(r"\nvoluntary_ctxt_switches:\s+(\d+)", file.read())[1])


def measure_rules(world: World, crowd: int = CROWD) -> list[Figure]:
    """Ten thousand rules: their reload, and the daemon's memory."""
    many = [SELDOM + prefixes(RULES, 1000).replace("time = 600s", f"time = {time_s}s")
            for time_s in (500, 700)]
    with ExitStack() as stack:
        netns = world.netns()
        stack.callback(netns.close)
        daemon = world.daemon(SELDOM + RULE)
        stack.callback(daemon.close)
        daemon.start()
        time.sleep(1)
        none = memory(daemon, "VmRSS")
        daemon.stop()
        stack.callback(world.crowd(netns, TARGET, crowd).close)
        turn = [0]

        def reload() -> float:
            turn[0] += 1
            daemon.configure(many[turn[0] % 2])
            start = time.monotonic()
            daemon.reload()
            return time.monotonic() - start

        def hold() -> float:
            took = first_hold(other)
            return took

        other = world.daemon(SELDOM + RULE)
        stack.callback(other.close)
        reloads, holds = [], []
        resident: list[float] = []
        peak = 0.0
        for _ in range(4):  # the first isn't counted
            holds.append(hold())
            daemon.start(many[0])
            turn[0] = 0
            reloads.append(reload())
            assert f"{crowd} connections changed to the new rules" in daemon.log
            time.sleep(0.5)
            resident.append(memory(daemon, "VmRSS"))
            peak = max(peak, memory(daemon, "VmHWM"))
            daemon.stop()
        check_held(other, crowd)
    return [
        Figure("reload", f"reload of {RULES:,} rules with {crowd:,} held sockets, to the last "
               "socket changed", "the first hold", "s", Sample(reloads[1:]), Sample(holds[1:]),
               1.5),
        Figure("memory-more", f"the daemon's resident memory with {crowd:,} held sockets and "
               f"{RULES:,} rules, beyond that with none ({none:.1f} MiB; peak {peak:.1f})", "", "MiB",
               Sample([value - none for value in resident]), None, 8),
        Figure("memory", "the same in all", "", "MiB", Sample(resident), None, 16),
    ]


def measure_idle(world: World, crowd: int = CROWD) -> list[Figure]:
    """A minute of nothing: what the daemon uses of the CPU, and how often it wakes."""
    period, window, minute = 2, 20, 60  # seconds; a tick of the clock is small beside a window
    with ExitStack() as stack:
        netns = world.netns()
        stack.callback(netns.close)
        stack.callback(world.crowd(netns, TARGET, crowd).close)
        daemon = world.daemon(f"[daemon]\nreconcile = {period}s\n" + RULE)
        stack.callback(daemon.close)
        daemon.start(None, "--verbose")
        check_held(daemon, crowd)
        own, kernels, woken = [], [], []
        for _ in range(minute // window):
            user, system, sleeps = *_ran(daemon), _woken(daemon)
            logged = daemon.log.count("reconcile: ")
            time.sleep(window)
            periods = daemon.log.count("reconcile: ") - logged
            user_then, system_then = _ran(daemon)
            own.append((user_then - user) / periods * 1000)
            kernels.append((system_then - system) / periods * 1000)
            woken.append((_woken(daemon) - sleeps) / periods)
        daemon.stop()
    return [
        Figure("idle-cpu", f"the daemon's CPU time a reconcile period at {crowd:,} held sockets, "
               "beyond the kernel's own pass", "", "ms", Sample(own), None, 5,
               floor=("the kernel's own pass", Sample(kernels))),
        Figure("idle-wakeups", "how often it wakes a reconcile period", "", "times",
               Sample(woken), None, 1),
    ]
