"""Reads what the kernel side has counted for a rule from the pinned map."""

import glob
import os
import struct
from contextlib import suppress
from typing import NamedTuple

from . import bpf

# struct hf_counters of bpf/types.h, in order.
_NUMBERS = struct.Struct("=13Q")


class Counters(NamedTuple):
    """The counters of one rule, summed over all CPUs."""

    connected: int
    accepted: int
    swept: int
    guarded: int
    application: int
    server: int
    keepalive: int
    user_timeout: int
    probe_reset: int
    reset: int
    retransmit: int
    aborted: int
    untold: int

    @property
    def ends(self) -> dict[str, int]:
        """How often connections have ended by each cause, without the causes that didn't occur."""
        return {name: count for name, count in self._asdict().items()
                if count and name not in ("connected", "accepted", "swept", "guarded", "untold")}


def _key(rule: str) -> bytes:
    key = 0xcbf29ce484222325
    for byte in rule.encode():
        key = (key ^ byte) * 0x100000001b3 & 0xffffffffffffffff
    return struct.pack("=Q", key)


def read(pin_dir: str, rule: str) -> Counters:
    """Returns the counters of a rule."""
    [layout] = glob.glob(os.path.join(pin_dir, "layout-*"))
    fd = bpf.get(os.path.join(layout, "hf_counters"))
    key = _key(rule)
    by_user_space = bytes(byte ^ 0xff for byte in key)
    by_cpu = []
    try:
        cpus = bpf.possible_cpus()
        for one in (key, by_user_space):
            with suppress(FileNotFoundError if one != key else ()):
                raw = bpf.lookup(fd, one, _NUMBERS.size * cpus)
                by_cpu += [_NUMBERS.unpack_from(raw, _NUMBERS.size * cpu) for cpu in range(cpus)]
    finally:
        os.close(fd)
    return Counters(*(sum(numbers) for numbers in zip(*by_cpu)))
