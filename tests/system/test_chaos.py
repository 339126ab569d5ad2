"""Everything at once, in random order, while connections come and go in three namespaces.

HF_SEED repeats an order; HF_CHAOS_SECONDS sets the length (make chaos CHAOS_SECONDS=3600). The
steps include steps of the clock on a machine of the tests' own: in the virtual machines.
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

# A sanitizer keeps freed memory for a while.
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
    """The namespaces, the applications in them, and the steps that can happen."""

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

    # The steps:

    def kill(self) -> None:
        """Kills the daemon and starts it again."""
        self.daemon.kill()
        self.connect()
        self.daemon.start()

    def restart(self) -> None:
        """Restarts the daemon as an upgrade does, by SIGUSR1."""
        self.daemon.send_signal(10)
        self.daemon.wait()
        self.connect()
        self.daemon.start()

    def interrupted(self) -> None:
        """Kills the daemon in the middle of a start, and starts it again."""
        self.daemon.kill()
        self.daemon.launch()
        time.sleep(self.random.random() * 0.4)
        self.daemon.kill()
        self.daemon.start()

    def reload(self) -> None:
        """Reloads with the other rules."""
        self.rules = "b" if self.rules == "a" else "a"
        self.daemon.reload(RULES[self.rules])

    def refused(self) -> None:
        """Reloads with faulty rules."""
        self.daemon.reload("[rule x]\n")
        self.daemon.configure(RULES[self.rules])

    def connect(self) -> None:
        """Opens a connection that stays, and checks that it is held at once."""
        if len(self.matched) < 60:
            number, inside, _, listener = self.random.choice(self.agents)
            sock = inside.connect(f"10.77.{number}.1", listener.port)
            assert sock.settings in VALUES.values(), "not held from the first moment"
            self.matched.append((inside, sock))

    def undo(self) -> None:
        """Switches keepalive off in an application."""
        if self.matched:
            self.random.choice(self.matched)[1].change(keepalive=0)

    def close(self) -> None:
        """Closes one of the connections."""
        if self.matched:
            self.matched.pop(self.random.randrange(len(self.matched)))[1].close()

    def namespace(self) -> None:
        """Makes a namespace with a link to one of ours."""
        if len(self.passing) < 6:
            made = Netns()
            connect_namespaces(self.random.choice(self.netns), f"v{made.inode}"[:15], made, "eth0")
            self.passing.append(made)

    def no_namespace(self) -> None:
        """Removes one of these namespaces."""
        if self.passing:
            self.passing.pop(self.random.randrange(len(self.passing))).close()

    def flap(self) -> None:
        """Changes links and routes in quick succession."""
        self.netns[0].ip(*["link set chaos0 down", "link set chaos0 up",
                           "route replace 10.99.0.0/16 dev chaos0"] * 5)

    def look(self) -> None:
        """Runs one of the command's verbs."""
        result = self.holdfast(*self.random.choice((("status", "-J"), ("metrics",), ("probe",))))
        assert result.status in (0, 1), result

    def clock(self) -> None:
        """Steps the time of day by an hour or a month."""
        clock.step(self.random.choice((-30 * 86400, -3600, 3600, 30 * 86400)))

    def step(self) -> None:
        """Takes a random step."""
        what = self.random.choice((
            self.kill, self.restart, self.interrupted, self.reload, self.reload, self.refused,
            self.connect, self.connect, self.connect, self.undo, self.close, self.namespace,
            self.no_namespace, self.flap, self.look, *([self.clock] if clock.OWN else [])))
        print(what.__name__, end=" ", flush=True)
        what()
        self.seen |= bpf.pinned(self.daemon.pin_dir)


def start_storms(workdir: str, netns: list[Netns], cgroup: Cgroup) -> list[subprocess.Popen]:
    """Starts a storm in each namespace, for as long as the test runs."""
    values = [str(number) for name in ("a", "b") for number in VALUES[name][1:4]]
    program = compile_c("storm", workdir)
    return [spawn([program, str(STORM_PORT), str(SECONDS), *values], place, cgroup,
                  stdout=subprocess.PIPE) for place in netns]


def test_chaos(daemon: Daemon, make_netns: Callable[[], Netns], cgroup: Cgroup, workdir: str,
               make_agent: Callable[..., Agent], holdfast: Command) -> None:
    """No step leaves a connection unheld, an unmatched one touched, or anything behind at the
    end."""
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
    # The kernel frees objects with a delay.
    wait_for(lambda: not any(bpf.exists(*one) for one in world.seen),
             "no map, program or link is left", 20, 0.5)
    for made in world.passing:
        made.close()


CHURN = int(os.environ.get("HF_CHURN") or (20_000 if build.SANITIZED else 100_000))


def test_churn(daemon: Daemon, netns: Netns, cgroup: Cgroup, workdir: str) -> None:
    """While HF_CHURN connections come and go under a pass a second, each is held and counted
    once."""
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
