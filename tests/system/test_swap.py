"""Rules are swapped under a storm of connections: each gets the old or the new ones, complete."""

import ctypes
import json
import os
import struct
import subprocess
import time

import pytest

from harness.compiler import compile_c
from harness.config import PORT, rule
from harness.daemon import Daemon
from harness.kernel import SETS_BY_BPF
from harness.options import held
from harness.process import spawn
from harness.sockets import Agent, Listener

SECONDS = 8
NAMESPACES = 3
FIRST, SECOND = (120, 30, 4), (60, 20, 3)


def config(time_s: int, interval: int, probes: int) -> str:
    """Returns one rule with these values."""
    return rule("all", time=f"{time_s}s", interval=f"{interval}s", probes=probes)


@pytest.mark.races
def test_connections_see_one_set_of_rules(daemon: Daemon, make_netns, cgroup, agent: Agent,
                                          listener: Listener, workdir: str) -> None:
    """Every connection, looked at right after connect(), has the values of one of the two rules."""
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
            if swaps % 20 == 0:  # a reload that is reported is done
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
    # The numbers depend on the machine; with fewer the test would show nothing.
    assert swaps >= 4 and total["connections"] > 1000, (swaps, total)


class Watch:
    """Watches a folder by inotify(7) for names that appear, and that vanish without being
    replaced."""

    _DELETE, _MOVED_FROM, _MOVED_TO, _CREATE = 0x200, 0x40, 0x80, 0x100

    def __init__(self, folder: str) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        mask = self._DELETE | self._MOVED_FROM | self._MOVED_TO | self._CREATE
        if libc.inotify_add_watch(self._fd, folder.encode(), mask) < 0:
            raise OSError(ctypes.get_errno(), f"inotify_add_watch {folder}")

    def close(self) -> dict[str, set[str]]:
        """Returns the names that "appeared" and that "vanished" since."""
        found: dict[str, set[str]] = {"appeared": set(), "vanished": set()}
        while True:
            try:
                events = os.read(self._fd, 65536)
            except BlockingIOError:
                break
            while events:
                _, mask, _, size = struct.unpack_from("=iIII", events)
                name = events[16:16 + size].rstrip(b"\0").decode()
                gone = mask & (self._DELETE | self._MOVED_FROM)
                found["vanished" if gone else "appeared"].add(name)
                events = events[16 + size:]
        os.close(self._fd)
        return found


@pytest.mark.parametrize("how", ["reload", "take-over"])
def test_no_pin_is_missing(daemon: Daemon, how: str) -> None:
    """During a reload or a take-over each pin can be opened at any moment, the old one or the
    new."""
    daemon.start(config(*FIRST))
    daemon.reload(config(*SECOND))
    before = set(os.listdir(daemon.layout))
    if how == "take-over":
        daemon.kill()
    watch = Watch(daemon.layout)
    if how == "reload":
        daemon.reload(config(*FIRST))
        moved = {"hf_config", "hf_reload"}
    else:
        daemon.start(config(*FIRST))
        # Before Linux 5.15 no BPF program sweeps the sockets.
        moved = {"hf_config", "hf_sweep" if SETS_BY_BPF else "hf_look", "hf_guard_program"}
    found = watch.close()
    assert set(os.listdir(daemon.layout)) == before
    assert moved <= found["appeared"], found
    assert not found["vanished"] & before, found
