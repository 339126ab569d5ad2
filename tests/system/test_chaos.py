"""Everything at once, in random order, while connections come and go in three namespaces.

HF_SEED repeats an order; HF_CHAOS_SECONDS says how long (make chaos CHAOS_SECONDS=3600). Steps
of the clock are among it where the machine is the tests' own: in the virtual machines.
"""

import json
import os
import random
import subprocess
import time
from typing import Callable

from harness import bpf, build, clock, counters
from harness.cgroup import Cgroup
from harness.command import Command
from harness.compiler import compile_c
from harness.config import PORT, rule
from harness.daemon import Daemon
from harness.netns import Netns, connect_namespaces
from harness.options import UNTOUCHED, held
from harness.process import rss_kb, spawn
from harness.sockets import Agent, Socket
from harness.wait import wait_for

# A sanitizer keeps what was freed for a while.
GROWTH_KB = 256 * 1024 if build.SANITIZED else 1024
SECONDS = int(os.environ.get("HF_CHAOS_SECONDS") or (8 if build.SANITIZED else 15))
SEED = int(os.environ.get("HF_SEED") or random.randrange(1 << 32))

STORM_PORT = PORT + 1
RULES = {name: rule("storm", "127.0.0.1", STORM_PORT, time=time_, interval=interval, probes=probes)
         + rule("all", "10.77.0.0/16", time=time_, interval=interval, probes=probes)
         + "[daemon]\nreconcile = 2s\n"
         for name, time_, interval, probes in (("a", "120s", "30s", 4), ("b", "60s", "20s", 3))}
VALUES = {"a": held(120, 30, 4), "b": held(60, 20, 3)}


class World:
    """The namespaces, what lives in them, and what can happen to it."""

    def __init__(self, daemon: Daemon, netns: list[Netns], cgroup: Cgroup,
                 make_agent: Callable[..., Agent], holdfast: Command) -> None:
        self.daemon = daemon
        self.holdfast = holdfast
        self.netns = netns
        self.rules = "a"
        self.seen: set[tuple[str, int]] = set()
        self.random = random.Random(SEED)
        self.passing: list[Netns] = []
        self.matched: list[tuple[Agent, Socket]] = []
        self.others: list[Socket] = []
        self.agents = []
        for number, place in enumerate(netns):
            place.add_address(f"10.77.{number}.1/32", f"10.78.{number}.1/32")
            inside, outside = make_agent(place, cgroup), make_agent(place, None)
            self.agents.append((number, inside, outside, outside.listen(PORT)))
        for number, inside, outside, listener in self.agents:
            self.others += [outside.connect(f"10.77.{number}.1", listener.port),
                            inside.connect(f"10.78.{number}.1", listener.port)]

    # What can happen:

    def kill(self) -> None:
        """As a crash, and a start after it."""
        self.daemon.kill()
        self.connect()
        self.daemon.start()

    def restart(self) -> None:
        """As an upgrade does it."""
        self.daemon.send_signal(10)
        self.daemon.wait()
        self.connect()
        self.daemon.start()

    def interrupted(self) -> None:
        """Killed in the middle of a start."""
        self.daemon.kill()
        self.daemon.launch()
        time.sleep(self.random.random() * 0.4)
        self.daemon.kill()
        self.daemon.start()

    def reload(self) -> None:
        """The other rules."""
        self.rules = "b" if self.rules == "a" else "a"
        self.daemon.reload(RULES[self.rules])

    def refused(self) -> None:
        """Rules that are none."""
        self.daemon.reload("[rule x]\n")
        self.daemon.configure(RULES[self.rules])

    def connect(self) -> None:
        """A connection that stays."""
        if len(self.matched) < 60:
            number, inside, _, listener = self.random.choice(self.agents)
            sock = inside.connect(f"10.77.{number}.1", listener.port)
            assert sock.settings in VALUES.values(), "not held from the first moment"
            self.matched.append((inside, sock))

    def undo(self) -> None:
        """An application sets keepalive off, or tries to."""
        if self.matched:
            self.random.choice(self.matched)[1].change(keepalive=0)

    def close(self) -> None:
        """One less."""
        if self.matched:
            self.matched.pop(self.random.randrange(len(self.matched)))[1].close()

    def namespace(self) -> None:
        """A namespace comes, linked to one of ours."""
        if len(self.passing) < 6:
            made = Netns()
            connect_namespaces(self.random.choice(self.netns), f"v{made.inode}"[:15], made, "eth0")
            self.passing.append(made)

    def no_namespace(self) -> None:
        """And goes."""
        if self.passing:
            self.passing.pop(self.random.randrange(len(self.passing))).close()

    def flap(self) -> None:
        """Links and routes change as fast as they can."""
        self.netns[0].ip(*["link set chaos0 down", "link set chaos0 up",
                           "route replace 10.99.0.0/16 dev chaos0"] * 5)

    def look(self) -> None:
        """Someone looks."""
        result = self.holdfast(*self.random.choice((("status", "-J"), ("metrics",), ("probe",))))
        assert result.status in (0, 1), result

    def clock(self) -> None:
        """The time of day is another one."""
        clock.step(self.random.choice((-30 * 86400, -3600, 3600, 30 * 86400)))

    def step(self) -> None:
        """One of them."""
        what = self.random.choice((
            self.kill, self.restart, self.interrupted, self.reload, self.reload, self.refused,
            self.connect, self.connect, self.connect, self.undo, self.close, self.namespace,
            self.no_namespace, self.flap, self.look, *([self.clock] if clock.OWN else [])))
        print(what.__name__, end=" ", flush=True)
        what()
        self.seen |= bpf.pinned(self.daemon.pin_dir)


def start_storms(workdir: str, netns: list[Netns], cgroup: Cgroup) -> list[subprocess.Popen]:
    """In each namespace, for as long as the test runs."""
    values = [str(number) for name in ("a", "b") for number in VALUES[name][1:4]]
    program = compile_c("storm", workdir)
    return [spawn([program, str(STORM_PORT), str(SECONDS), *values], place, cgroup,
                  stdout=subprocess.PIPE) for place in netns]


def test_chaos(daemon: Daemon, make_netns: Callable[[], Netns], cgroup: Cgroup, workdir: str,
               make_agent: Callable[..., Agent], holdfast: Command) -> None:
    """At the end all is as if it had been quiet."""
    print(f"HF_SEED={SEED}", flush=True)
    netns = [make_netns() for _ in range(3)]
    connect_namespaces(netns[0], "chaos0", netns[1], "chaos1")
    world = World(daemon, netns, cgroup, make_agent, holdfast)
    daemon.start(RULES["a"])
    storms = start_storms(workdir, netns, cgroup)
    end = time.monotonic() + SECONDS
    steps = 0
    with clock.put_back():
        while time.monotonic() < end:
            world.step()
            steps += 1
    for storm in storms:
        out, _ = storm.communicate(timeout=30)
        result = json.loads(out)
        print(result)
        assert result["error"] == 0
        assert result["connections"] == sum(result[key] for key in ("first", "second", "probed"))
        assert result["connections"] > 0
    world.restart()
    print(f"{steps} steps, {len(world.matched)} connections")
    wait_for(lambda: all(sock.settings == VALUES[world.rules] for _, sock in world.matched),
             "all are held", 15)
    assert all(sock.settings == UNTOUCHED for sock in world.others)
    memory, files = rss_kb(daemon.pid), len(os.listdir(f"/proc/{daemon.pid}/fd"))
    for _ in range(20):
        world.reload()
    assert rss_kb(daemon.pid) < memory + GROWTH_KB
    wait_for(lambda: len(os.listdir(f"/proc/{daemon.pid}/fd")) <= files, "descriptors are closed")
    world.seen |= bpf.pinned(daemon.pin_dir)
    daemon.stop()
    assert all(sock.settings == UNTOUCHED for sock in world.others)
    for _, sock in world.matched:
        assert sock.settings == UNTOUCHED, "given back"
    # What the kernel frees it frees a little later.
    wait_for(lambda: not any(bpf.exists(*one) for one in world.seen),
             "no map, program or link is left", 20, 0.5)
    for made in world.passing:
        made.close()


CHURN = int(os.environ.get("HF_CHURN") or (20_000 if build.SANITIZED else 100_000))


def test_churn(daemon: Daemon, netns: Netns, cgroup: Cgroup, workdir: str) -> None:
    """HF_CHURN connections come and go while it reconciles: each is held, and counted once."""
    daemon.start(rule("storm", port=STORM_PORT, time="120s", interval="30s", probes=4)
                 + "[daemon]\nreconcile = 1s\n")
    values = [str(number) for number in VALUES["a"][1:4]]
    program = compile_c("storm", workdir)
    done, memory, files = 0, 0, 0
    while done < CHURN:
        storm = spawn([program, str(STORM_PORT), "5", *values, *values], netns, cgroup,
                      stdout=subprocess.PIPE)
        out, _ = storm.communicate(timeout=30)
        result = json.loads(out)
        assert result["error"] == 0
        assert result["connections"] == result["first"], result
        done += result["connections"]
        if not memory:
            memory, files = rss_kb(daemon.pid), len(os.listdir(f"/proc/{daemon.pid}/fd"))
    print(f"{done} connections")
    counted = counters.read(daemon.pin_dir, "storm")
    assert counted.connected == done
    assert counted.accepted == counted.swept == counted.guarded == 0
    assert rss_kb(daemon.pid) < memory + GROWTH_KB
    wait_for(lambda: len(os.listdir(f"/proc/{daemon.pid}/fd")) <= files, "descriptors are closed")
