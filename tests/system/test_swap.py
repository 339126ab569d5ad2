"""Rules swapped hundreds of times under a storm of connects: old or new, no mixture, not none."""

import json
import subprocess
import time

import pytest

from harness.compiler import compile_c
from harness.config import PORT, rule
from harness.daemon import Daemon
from harness.options import held
from harness.process import spawn
from harness.sockets import Agent, Listener

SECONDS = 8
NAMESPACES = 3
FIRST, SECOND = (120, 30, 4), (60, 20, 3)


def config(time_s: int, interval: int, probes: int) -> str:
    """One rule with these values."""
    return rule("all", time=f"{time_s}s", interval=f"{interval}s", probes=probes)


@pytest.mark.races
def test_connections_see_one_set_of_rules(daemon: Daemon, make_netns, cgroup, agent: Agent,
                                          listener: Listener, workdir: str) -> None:
    """Each connection in several namespaces is looked at right after connect()."""
    storm = compile_c("storm", workdir)
    daemon.start(config(*FIRST))
    storms = [spawn([storm, str(PORT), str(SECONDS), *map(str, FIRST + SECOND)], make_netns(),
                    cgroup, stdout=subprocess.PIPE) for _ in range(NAMESPACES)]
    swaps = 0
    try:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            values = (SECOND, FIRST)[swaps % 2]
            daemon.reload(config(*values))
            swaps += 1
            if swaps % 20 == 0:  # what the daemon says is done, is done
                assert agent.connect("127.0.0.1", listener.port).settings == held(*values)
        seen = [json.loads(process.communicate(timeout=20)[0]) for process in storms]
    finally:
        for process in storms:
            process.kill()
            process.communicate()
    total = {key: sum(one[key] for one in seen) for key in seen[0] if key != "example"}
    print(f"{swaps} swaps, {total}")
    assert not any(one["error"] for one in seen), seen
    assert total["mixed"] == total["none"] == 0, seen
    assert total["first"] + total["second"] == total["connections"]
    for one in seen:
        assert min(one["first"], one["second"]) > 0, "both were in force"
    # How many there are is the machine's doing; with fewer it would mean nothing.
    assert swaps >= 4 and total["connections"] > 1000, (swaps, total)
