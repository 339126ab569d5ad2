"""The unit's system call filter passes all calls of the programs and names none without need; maps
and programs are of bounded size."""

import os
import re
import shutil
import subprocess

import pytest

from harness import bpf, build
from harness.config import daemon as daemon_section
from harness.config import rule
from harness.daemon import Daemon
from harness.netns import Netns
from harness.options import held
from harness.sockets import Agent, Listener
from harness.wait import wait_for

UNIT = os.path.join(os.path.dirname(__file__), "..", "..", "packaging", "systemd",
                    "holdfast.service")
RULE, VALUES = rule("all", time="120s", interval="30s", probes=4), held(120, 30, 4)


def expand(name: str) -> set[str]:
    """Returns the system calls of a group, or the one of that name."""
    if not name.startswith("@"):
        return {name}
    out = subprocess.run(["systemd-analyze", "syscall-filter", name], check=True,
                         capture_output=True, text=True).stdout
    words = [line.strip() for line in out.splitlines()[1:] if not line.strip().startswith("#")]
    return set().union(*(expand(word) for word in words if word))


def unit_filter() -> tuple[set[str], set[str]]:
    """Returns the system calls that the unit allows, and those of them that it names singly."""
    allowed: set[str] = set()
    single: set[str] = set()
    with open(UNIT, encoding="utf-8") as file:
        for line in file:
            match = re.match(r"SystemCallFilter=(~?)(.*)", line)
            if not match:
                continue
            names = match.group(2).split()
            calls = set().union(*(expand(name) for name in names))
            if match.group(1):
                allowed -= calls
            else:
                allowed |= calls
                single |= {name for name in names if not name.startswith("@")}
    return allowed, single


@pytest.mark.skipif(build.SANITIZED, reason="a sanitizer has system calls of its own")
def test_filter(daemon: Daemon, agent: Agent, listener: Listener, netns: Netns, outsider: Agent,
                workdir: str) -> None:
    """The filter passes all system calls of a daemon's life and of `reload`, and names none that
    isn't used."""
    for program in ("strace", "systemd-analyze"):
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")
    trace = os.path.join(workdir, "trace")
    through = ["strace", "-D", "-ff", "-qq", "-e", "signal=none", "-o", trace, "--"]
    textfile = os.path.join(workdir, "h.prom")
    config = RULE + rule("named", "localhost, nowhere.invalid", 9) + daemon_section(
        reconcile="1s", metrics_textfile=textfile)
    daemon.configure(config)
    sock = agent.connect("127.0.0.1", listener.port)
    parked = outsider.connect("127.0.0.1", listener.port)
    daemon.launch(through=through)
    daemon.wait_ready()
    assert sock.settings == VALUES
    ending = agent.connect("127.0.0.1", listener.port)
    ending.close()
    listener.accept().close()
    netns.ip("route add 10.99.0.0/16 dev lo", "route del 10.99.0.0/16 dev lo")
    reloaded = subprocess.run(["strace", "-f", "-qq", "-e", "signal=none", "-o", f"{trace}.command",
                               build.HOLDFAST, "--pin-dir", daemon.pin_dir, "reload"],
                              check=False, capture_output=True, text=True)
    assert reloaded.returncode == 0, reloaded
    daemon.reload(config.replace("120s", "60s"))
    daemon.kill()
    daemon.launch("--verbose", through=through)
    daemon.wait_ready()
    wait_for(lambda: os.path.exists(textfile), "metrics are written")
    parked.close()
    daemon.stop()

    called: set[str] = set()
    traces = [name for name in os.listdir(workdir) if name.startswith("trace")]
    assert len(traces) >= 3
    for name in traces:
        with open(os.path.join(workdir, name), encoding="utf-8", errors="replace") as file:
            for line in file:
                match = re.match(r"(?:\d+ +)?(?:<\.\.\. )?([a-z_0-9]+)[( ]", line)
                if match and "exited with" not in line:
                    called.add(match.group(1))
    assert {"bpf", "setns", "recvmsg"} <= called
    allowed, single = unit_filter()
    print("called:", " ".join(sorted(called)))
    assert not called - allowed, "the filter would refuse these"
    # pidfd_getfd() is for namespaces that only a socket keeps; this kernel may find those in
    # another way.
    assert not single - called - {"pidfd_getfd"}, "the filter need not let these through"


def test_maps_fit(daemon: Daemon) -> None:
    """The rules' map has as many entries as the rules need."""
    sizes = []
    for number in (1, 7, 300):
        text = "".join(rule(f"r{i}", f"10.{i >> 8}.{i & 255}.1") for i in range(number))
        if daemon.running:
            daemon.reload(text)
        else:
            daemon.start(text)
        (inner,) = bpf.inner_maps(daemon.pin_dir)
        sizes.append(bpf.max_entries(inner))
    assert sizes[0] < 16 and sizes[1] < 64, sizes
    assert sizes[2] < 300 * 8, sizes
    assert sizes[0] < sizes[1] < sizes[2]


def test_programs_are_bounded(daemon: Daemon) -> None:
    """The verifier walks far fewer instructions of each program than its limit allows."""
    daemon.start(RULE)
    programs = [number for kind, number in bpf.pinned(daemon.pin_dir) if kind == "prog"]
    assert len(programs) >= 5
    for number in programs:
        instructions = bpf.verified_instructions(number)
        print(number, instructions)
        # The verifier's limit is a million, and it refuses programs that may loop for ever.
        assert 0 < instructions < 100_000 or instructions == -1
