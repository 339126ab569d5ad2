"""Measures the BPF programs one by one: the time of a run, by the kernel's count."""

import os
from contextlib import ExitStack
from typing import Callable

from harness.daemon import Daemon
from harness.netns import Netns

import kernel
from connect import Programs
from world import OTHER, RULE, TARGET, World

HELD = 10_000
CONNECTIONS = 2000

Row = dict[str, object]


def row(path: str, fd: int, work: Callable[[], object]) -> Row:
    """Returns one program's row on one path: the difference that the work makes to its counts."""
    before = kernel.program(fd)
    with kernel.counting():
        work()
    after = kernel.program(fd)
    runs = after.runs - before.runs
    return {"program": after.name, "path": path, "runs": runs,
            "ns": (after.run_ns - before.run_ns) / runs if runs else 0.0,
            "instructions": after.instructions, "verified": after.verified}


def _connections(world: World, netns: Netns) -> list[Row]:
    programs = Programs(world, RULE)
    worker = world.worker(netns)
    rows: list[Row] = []
    try:
        with programs.on(guard=True):
            for path, port in (("no match", OTHER), ("match", TARGET)):
                rows.append(row(f"a connection's life, {path}", programs.sockops,
                                lambda p=port: worker.ask(f"connect {p} {CONNECTIONS}")))
                if programs.ended >= 0:
                    rows.append(row(f"a connection's life, {path}", programs.ended,
                                    lambda p=port: worker.ask(f"connect {p} {CONNECTIONS}")))
            rows.append(row("another option", programs.guard,
                            lambda: worker.ask(f"nodelay {OTHER} {CONNECTIONS}")))
            rows.append(row("keepalive option, no match", programs.guard,
                            lambda: worker.ask(f"keepidle {OTHER} {CONNECTIONS}")))
            rows.append(row("keepalive option, held", programs.guard,
                            lambda: worker.ask(f"keepidle {TARGET} {CONNECTIONS}")))
    finally:
        worker.close()
        programs.close()
    return rows


def _iterators(world: World, netns: Netns, daemon: Daemon, path: str) -> list[Row]:
    """Measures the iterators. One run is a socket, a file or a task, of hf_survey an eighth of the
    table."""
    rows = []
    folder = daemon.layout
    for name in ("hf_survey", "hf_sweep", "hf_matched", "hf_settled", "hf_settled_here",
                 "hf_held", "hf_held_here", "hf_owners", "hf_holders", "hf_strays"):
        pin = os.path.join(folder, name)
        if not os.path.exists(pin):
            continue
        fd = kernel.program_of(pin)
        rows.append(row(path, fd, lambda p=pin: world.floor(netns, p)))
        os.close(fd)
    return [one for one in rows if one["runs"]]


def measure_programs(world: World) -> list[Row]:
    """Measures all programs, on every path."""
    with ExitStack() as stack:
        netns = world.netns()
        stack.callback(netns.close)
        rows = _connections(world, netns)
        for path, port in (("no match", OTHER), ("already held", TARGET)):
            crowd = world.crowd(netns, port, HELD)
            stack.callback(crowd.close)
            daemon = world.daemon(RULE)
            stack.callback(daemon.close)
            daemon.start()
            rows += _iterators(world, netns, daemon, f"open sockets, {path}"
                               if port == OTHER else "open sockets, half of them held")
            daemon.stop()
    return rows


def show(rows: list[Row]) -> str:
    """Returns the rows as a table."""
    lines = [f"{'program':<12} {'path':<34} {'runs':>8} {'ns/run':>8} {'insns':>6} {'verified':>9}"]
    for one in rows:
        lines.append(f"{one['program']:<12} {one['path']:<34} {one['runs']:>8} {one['ns']:>8.0f} "
                     f"{one['instructions']:>6} {one['verified']:>9}")
    return "\n".join(lines)
