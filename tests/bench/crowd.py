"""Measures the daemon and the command with a hundred thousand held connections."""

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

# With a pass each second passes are measured; with one an hour none disturbs other measurements.
EVERY_SECOND = "[daemon]\nreconcile = 1s\n"
SELDOM = "[daemon]\nreconcile = 1h\n"


def _ss(netns: Netns, options: str):
    return timed(netns, "ss", options, f"dport = :{TARGET}")


def _status(daemon: Daemon, *options: str):
    return timed(None, build.HOLDFAST, "--pin-dir", daemon.pin_dir, "status", *options)


def first_hold(daemon: Daemon) -> float:
    """Returns the seconds from the start to READY, when every socket is held. Stops the daemon
    then."""
    start = time.monotonic()
    ready = daemon.start()
    daemon.stop()
    return ready - start


def check_held(daemon: Daemon, connections: int) -> None:
    """Checks that the daemon holds as many connections as were asked for."""
    assert f"{connections} existing connections held" in daemon.log, daemon.log


def passes(daemon: Daemon, number: int) -> list[float]:
    """Returns the durations of the next reconcile passes in seconds, by the daemon's own clock."""
    pattern = re.compile(r"reconcile: \d+ network namespaces in (\d+) us")
    before = len(pattern.findall(daemon.log))
    while len(found := pattern.findall(daemon.log)) < before + number:
        assert daemon.running
        time.sleep(0.02)
    return [int(us) / 1e6 for us in found[before:before + number]]


def hidden_namespaces(folder: str) -> bool:
    """Whether a namespace of this host has no process in it, so that a pass has to look for it."""
    with open(os.path.join(folder, "hf_tasks"), "rb") as file:
        tasks = list(struct.iter_unpack("=QiI", file.read()))  # struct hf_task
    return len({netns for netns, _, _ in tasks}) < max(namespaces for _, _, namespaces in tasks)


def floor(world: World, daemon: Daemon) -> float:
    """Returns the kernel's CPU time for one look at all sockets and for finding the namespaces."""
    folder = daemon.layout
    survey = "hf_survey" if os.path.exists(os.path.join(folder, "hf_survey")) else "hf_sweep"
    names = ["hf_tasks", survey] + ["hf_strays"] * hidden_namespaces(folder)
    return sum(world.floor(None, *(os.path.join(folder, name) for name in names)).values())


def measure_one_size(world: World, size: int, rounds: int) -> dict[str, dict[str, Sample]]:
    """Measures first hold, pass and status, each beside ss; in seconds."""
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
        # ss looks for each socket's owner in a table of 256 buckets, which is far slower.
        found["status-json"] = alternate(2 if size > 20_000 else rounds, {
            "ours": _status(daemon, "-J"), "theirs": _ss(netns, "-tnopie"),
        }, warm=False)
        daemon.stop()
    return found


def measure_crowd(world: World, crowd: int = CROWD) -> list[Figure]:
    """Measures all sizes, and returns the figures at the largest."""
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
    """Measures ten held sockets among two hundred thousand others."""
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
    """Returns the daemon's memory in MiB; `what` is VmRSS or VmHWM."""
    with open(f"/proc/{daemon.pid}/status", encoding="ascii") as file:
        return int(re.search(rf"{what}:\s+(\d+) kB", file.read())[1]) / 1024


def _ran(daemon: Daemon) -> tuple[float, float]:
    """Returns the daemon's CPU time so far in seconds, its own and the kernel's for it."""
    with open(f"/proc/{daemon.pid}/stat", encoding="ascii") as file:
        user, system = file.read().rsplit(")", 1)[1].split()[11:13]
    tick = os.sysconf("SC_CLK_TCK")
    return int(user) / tick, int(system) / tick


def _woken(daemon: Daemon) -> int:
    """Returns how often the daemon has gone to sleep, and so been woken."""
    with open(f"/proc/{daemon.pid}/status", encoding="ascii") as file:
        return int(re.search(r"\nvoluntary_ctxt_switches:\s+(\d+)", file.read())[1])


def measure_rules(world: World, crowd: int = CROWD) -> list[Figure]:
    """Measures the reload of ten thousand rules, and the daemon's memory with them."""
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
        for _ in range(4):  # the first round isn't counted
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
    """Measures an idle minute: the daemon's CPU time, and how often it wakes."""
    period, window, minute = 2, 20, 60  # seconds; long enough for the clock tick not to matter
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
