"""Measures what a connection and a setsockopt() cost, with the programs attached and detached.

The daemon loads its programs and rules and exits. Then we remove its links and attach the same
programs to the same hooks ourselves, in turns of some twenty milliseconds, so that other load on
the machine affects both sides alike.
"""

import os
import shutil
import subprocess
from contextlib import ExitStack, contextmanager
from typing import Callable, Iterator

from harness import bpf
from harness.daemon import Daemon

import kernel
from figure import Figure
from sample import alternate
from world import OTHER, RULE, TARGET, World, prefixes

CONNECTIONS = 100  # connections per run
OPTIONS = 5000
ROUNDS = 200

LIBKEEPALIVE = "/usr/lib/libkeepalive.so"


class Programs:
    """The programs of a daemon, without the daemon."""

    def __init__(self, world: World, config: str, others: tuple[str, ...] = ()) -> None:
        self._cgroup = world.cgroup.directory
        self.daemon: Daemon = world.daemon(config)
        self.daemon.start(None, "--persist")
        folder = self.daemon.layout
        self.rules = bpf.get(os.path.join(folder, "hf_rules"))
        self.tries = [kernel.inner_map(self.rules)]
        for other in others:
            self.daemon.reload(other)
            self.tries.append(kernel.inner_map(self.rules))
        self.sockops = kernel.program_of(os.path.join(folder, "hf_sockops"))
        ended, guard = (os.path.join(folder, name) for name in ("hf_ended", "hf_guard"))
        self.ended = kernel.program_of(ended) if os.path.exists(ended) else -1  # none from 6.12 on
        self.guard = kernel.program_of(guard) if os.path.exists(guard) else -1
        self.daemon.stop()
        for name in ("hf_sockops", "hf_ended", "hf_guard"):
            if os.path.exists(os.path.join(folder, name)):
                os.unlink(os.path.join(folder, name))

    @contextmanager
    def on(self, guard: bool = False) -> Iterator[None]:
        """Has the programs attached as the daemon attaches them, for the length of the `with`
        block."""
        links = [kernel.attach_cgroup(self.sockops, self._cgroup, bpf.SOCK_OPS)]
        if self.ended >= 0:
            links.append(kernel.attach_tracepoint(self.ended))
        if guard:
            links.append(kernel.attach_cgroup(self.guard, self._cgroup, bpf.SETSOCKOPT))
        try:
            yield
        finally:
            for fd in links:
                os.close(fd)

    @contextmanager
    def rules_number(self, number: int) -> Iterator[None]:
        """Has the programs attached with the rules of that configuration."""
        kernel.put_inner_map(self.rules, self.tries[number])
        with self.on():
            yield

    def close(self) -> None:
        """Closes the programs and maps."""
        for fd in (self.rules, self.sockops, self.ended, self.guard, *self.tries):
            if fd >= 0:
                os.close(fd)
        self.daemon.close()


@contextmanager
def empty_programs(world: World, kind: int) -> Iterator[Callable[[], int]]:
    """Yields a function that attaches a program which does nothing: the least that any program
    costs."""
    program = bpf.Program(kind, "floor")
    try:
        yield lambda: kernel.attach_cgroup(program.fd, world.cgroup.directory, kind)
    finally:
        program.close()


@contextmanager
def floor_of_holding(world: World) -> Iterator[Callable[[], int]]:
    """Yields a function that attaches the program of hold.bpf.c: the least that holding costs."""
    pin = os.path.join(world.bpffs, "hold")
    subprocess.run([shutil.which("bpftool") or "/usr/sbin/bpftool", "prog", "load",
                    world.program("hold.bpf.o"), pin], check=True)
    fd = bpf.get(pin)
    os.unlink(pin)
    try:
        yield lambda: kernel.attach_cgroup(fd, world.cgroup.directory, bpf.SOCK_OPS)
    finally:
        os.close(fd)


def measure_connect(world: World) -> list[Figure]:
    """Measures connections that a rule matches, that none matches, and with libkeepalive."""
    with ExitStack() as stack:
        netns = world.netns()
        stack.callback(netns.close)
        programs = Programs(world, RULE)
        stack.callback(programs.close)
        worker = world.worker(netns)
        stack.callback(worker.close)
        preloaded = world.worker(netns, {"LD_PRELOAD": LIBKEEPALIVE, "KEEPIDLE": "600",
                                         "KEEPINTVL": "60", "KEEPCNT": "5"})
        stack.callback(preloaded.close)
        attach_floor = stack.enter_context(empty_programs(world, bpf.SOCK_OPS))
        attach_hold = stack.enter_context(floor_of_holding(world))

        def connect(helper: object, port: int) -> float:
            return helper.ask(f"connect {port} {CONNECTIONS}") / CONNECTIONS * 1e6

        def held(port: int) -> float:
            with programs.on():
                return connect(worker, port)

        def floor(attach: Callable[[], int]) -> float:
            fd = attach()
            try:
                return connect(worker, TARGET)
            finally:
                os.close(fd)

        got = alternate(ROUNDS, {
            "off": lambda: connect(worker, TARGET),
            "matched": lambda: held(TARGET),
            "off, other port": lambda: connect(worker, OTHER),
            "unmatched": lambda: held(OTHER),
            "libkeepalive": lambda: connect(preloaded, TARGET + 1),
            "empty program": lambda: floor(attach_floor),
            "bare hold": lambda: floor(attach_hold),
        })
    off = got["off"]
    return [
        Figure("connect-matched", "connect + accept + close on a matched port",
               "without holdfast", "us", got["matched"], off, 1.03,
               floor=("a sockops program that makes socket storage and sets the four options",
                      got["bare hold"])),
        Figure("connect-unmatched", "the same on a port that no rule matches",
               "without holdfast", "us", got["unmatched"], got["off, other port"], 1.01,
               floor=("an empty sockops program", got["empty program"])),
        Figure("connect-preload", "the same on a matched port", "LD_PRELOAD libkeepalive", "us",
               got["matched"], got["libkeepalive"], 1.00,
               floor=("a sockops program that makes socket storage and sets the four options",
                      got["bare hold"])),
    ]


def measure_guard(world: World) -> list[Figure]:
    """Measures setsockopt() on a socket that the guard ignores."""
    with ExitStack() as stack:
        netns = world.netns()
        stack.callback(netns.close)
        programs = Programs(world, RULE)
        stack.callback(programs.close)
        worker = world.worker(netns)
        stack.callback(worker.close)
        attach_floor = stack.enter_context(empty_programs(world, bpf.SETSOCKOPT))

        def option() -> float:
            return worker.ask(f"nodelay {OTHER} {OPTIONS}") / OPTIONS * 1e9

        def on(guard: bool) -> float:
            with programs.on(guard):
                return option()

        def floor() -> float:
            fd = attach_floor()
            try:
                return option()
            finally:
                os.close(fd)

        got = alternate(ROUNDS, {"off": option, "guard": lambda: on(True),
                                 "no guard": lambda: on(False), "empty program": floor})
    return [
        Figure("setsockopt-guard", "setsockopt(TCP_NODELAY) under the guard, other sockets",
               "without holdfast", "ns", got["guard"], got["off"], 1.6,
               floor=("an empty setsockopt program", got["empty program"])),
        Figure("setsockopt-no-guard", "the same with no rule that needs the guard",
               "without holdfast", "ns", got["no guard"], got["off"], 1.00),
    ]


def measure_prefixes(world: World) -> list[Figure]:
    """Measures connections with up to 65,536 prefixes in force, and the growth."""
    numbers = (1, 100, 10000, 65536)
    configs = [prefixes(n, min(1000, n // 10), 100) for n in numbers]
    with ExitStack() as stack:
        netns = world.netns()
        stack.callback(netns.close)
        programs = Programs(world, configs[0], tuple(configs[1:]))
        stack.callback(programs.close)
        worker = world.worker(netns)
        stack.callback(worker.close)

        def connect(number: int) -> float:
            with programs.rules_number(number):
                return worker.ask(f"connect {TARGET} {CONNECTIONS}") / CONNECTIONS * 1e6

        got = alternate(ROUNDS, {str(n): (lambda i=i: connect(i)) for i, n in enumerate(numbers)})
    return [Figure("connect-prefixes", "connect with 10,000 prefixes, 1,000 of them nested",
                   "with one prefix", "us", got["10000"], got["1"], 1.02,
                   growth={n: got[str(n)] for n in numbers})]
