"""Measures what it costs that a rule finds out its window itself, and that this host is asked after
how long it forgets."""

import time
from contextlib import ExitStack

from harness.daemon import Daemon

from connect import CONNECTIONS, ROUNDS, Programs
from crowd import CROWD, check_held
from figure import Figure
from sample import Sample, alternate
from world import RULE, TARGET, Helper, World

AUTO = RULE + "window = auto\n"
GIVEN = RULE + "window = 2400s\n"
EVERY_SECOND = "[daemon]\nreconcile = 1s\n"
PASSES = 3   # of each side in turn
ASKED = 500  # times
# Has connection tracking work in a namespace.
TRACKED = "table inet t { chain c { type filter hook input priority 0; ct state invalid drop; }; }"


def measure_auto_connect(world: World) -> list[Figure]:
    """Measures connections under a rule that finds out its window, and under one that is told."""
    with ExitStack() as stack:
        netns = world.netns()
        stack.callback(netns.close)
        programs = Programs(world, GIVEN, (AUTO,))
        stack.callback(programs.close)
        worker = world.worker(netns)
        stack.callback(worker.close)

        def connect(number: int) -> float:
            with programs.rules_number(number):
                return worker.ask(f"connect {TARGET} {CONNECTIONS}") / CONNECTIONS * 1e6

        got = alternate(ROUNDS, {"given": lambda: connect(0), "auto": lambda: connect(1)})
    return [Figure("auto-connect", "connect + accept + close on a matched port, window = auto",
                   "with a window that is given", "us", got["auto"], got["given"], 1.00)]


def _cpu(daemon: Daemon) -> float:
    """Returns the daemon's CPU time so far, in seconds."""
    with open(f"/proc/{daemon.pid}/schedstat", encoding="ascii") as file:
        return int(file.read().split()[0]) / 1e9


def measure_auto_pass(world: World, crowd: int = CROWD) -> list[Figure]:
    """Measures the daemon's CPU time for passes, all that it learns from them included."""
    with ExitStack() as stack:
        netns = world.netns()
        stack.callback(netns.close)
        stack.callback(world.crowd(netns, TARGET, crowd).close)
        daemon = world.daemon(EVERY_SECOND + GIVEN)
        stack.callback(daemon.close)
        daemon.start(None, "--verbose")
        check_held(daemon, crowd)

        def wait(passes: int) -> None:
            wanted = daemon.log.count("reconcile: ") + passes
            while daemon.log.count("reconcile: ") < wanted:
                time.sleep(0.02)

        def passes(rules: str) -> float:
            daemon.reload(EVERY_SECOND + rules)
            wait(2)  # what a reload causes is over
            before = _cpu(daemon)
            wait(PASSES)
            return (_cpu(daemon) - before) / PASSES * 1e3

        got = alternate(6, {"given": lambda: passes(GIVEN), "auto": lambda: passes(AUTO)})
        daemon.stop()
    return [Figure("auto-pass", f"the daemon's CPU time a pass at {crowd:,} held sockets, "
                   "window = auto", "with a window that is given", "ms", got["auto"], got["given"],
                   1.05)]


def measure_agers(world: World) -> list[Figure]:
    """Measures a look at what connection tracking has of a rule's connections in a namespace."""
    with ExitStack() as stack:
        netns = world.netns()
        stack.callback(netns.close)
        netns.nft(TRACKED)
        helper = Helper([world.program("agers")], netns, world.cgroup)
        stack.callback(helper.close)
        assert helper.answer() == "ready"
        helper.ask("")
        asked = Sample([helper.ask("") * 1e3 for _ in range(ASKED)])
    return [Figure("agers", "asking connection tracking about a rule's connections in a network "
                   "namespace", "", "ms", asked, None, 1.0)]
