"""Measures the packets that a held, idle connection causes."""

import time
from contextlib import ExitStack

from harness.capture import Capture

from figure import Figure
from sample import Sample
from world import TARGET, World

CONNECTIONS = 20
TIME_S = 2
PERIODS = 5


def measure_packets(world: World) -> list[Figure]:
    """Counts every packet on the loopback device over some keepalive times."""
    rule = f"[rule bench]\ndestination = any\nport = {TARGET}\ntime = {TIME_S}s\ninterval = 1s\n"
    with ExitStack() as stack:
        netns = world.netns()
        stack.callback(netns.close)
        daemon = world.daemon(rule)
        stack.callback(daemon.close)
        daemon.start()
        stack.callback(world.crowd(netns, TARGET, CONNECTIONS).close)
        time.sleep(TIME_S / 2)  # half-way between two probes
        capture = Capture(netns)
        stack.callback(capture.close)
        begun = time.monotonic()
        time.sleep(PERIODS * TIME_S)
        took = time.monotonic() - begun
        packets = [p for p in capture.packets() if p.at <= begun + took]
        daemon.stop()
    probes: dict[tuple[str, int], int] = {}
    answers: dict[tuple[str, int], int] = {}
    for packet in packets:
        assert packet.size == 0, f"data on an idle connection: {packet}"
        if packet.target[1] == TARGET:
            probes[packet.source] = probes.get(packet.source, 0) + 1
        else:
            answers[packet.target] = answers.get(packet.target, 0) + 1
    assert len(probes) == CONNECTIONS and probes.keys() == answers.keys()

    def each(counts: dict[tuple[str, int], int]) -> Sample:
        return Sample([count / PERIODS for count in counts.values()])

    return [
        Figure("packets-probes", f"probes a keepalive time for each of {CONNECTIONS} held, idle "
               "connections", "", "packets", each(probes), None, 1),
        Figure("packets-answers", "answers to them", "", "packets", each(answers), None, 1),
    ]
