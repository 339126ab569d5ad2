"""The figures that the pictures of the unscaled stories draw follow from what was recorded."""

import html
import os
import sys

import pytest

from harness.remote import TESTS_DIR

DEMO = os.path.abspath(os.path.join(TESTS_DIR, "..", "demo"))
sys.path.insert(0, DEMO)

import auto_record  # pylint: disable=wrong-import-position
import record  # pylint: disable=wrong-import-position
from record import Connection, Packet, Record  # pylint: disable=wrong-import-position

TIME = 600
LATE = TIME * (1 + 8 / 63) + 0.1  # the kernel's timers are late by up to 8 parts in 63


@pytest.fixture(name="story")
def recorded() -> Record:
    """The recorded events that the committed pictures were drawn from."""
    return record.load(os.path.join(DEMO, "real.jsonl"))


def packet(at: float, sender: str = "client", size: int = 0, probe: bool = False,
           passed: bool = True) -> Packet:
    """Returns a packet with nothing special about it."""
    return Packet(at, sender, size, probe, passed)


def test_idle_time_rises_and_falls_with_what_has_passed() -> None:
    one = Connection("held", packets=[packet(-2), packet(-0.5, "server"), packet(10),
                                      packet(13, passed=False), packet(30, "server"), packet(50)])
    assert one.idle(40) == [(0, 0.5), (10, 10.5), (10, 0), (30, 20), (30, 0), (40, 10)]
    assert one.longest(40) == 20


def test_a_probe_counts_when_it_was_answered() -> None:
    probe = {"probe": True}
    one = Connection("held", packets=[
        packet(0, "server"), packet(10, **probe), packet(10.1, "server"),     # answered
        packet(20, **probe), packet(20.5, **probe), packet(20.6, "server"),   # the second one was
        packet(30, **probe), packet(35, "server"),                            # not an answer
        packet(40, **probe, passed=False), packet(41, "server"),
        packet(50, size=20), packet(50.1, "server"),
        packet(60, **probe), packet(60.1, "server")])
    assert one.probes(60) == [(10, 10), (20.5, 0.5)]
    assert one.probes(100) == [(10, 10), (20.5, 0.5), (60, pytest.approx(9.9))]


def test_the_lost_connection_rises_past_the_window_and_hangs(story: Record) -> None:
    lost = story.lost
    assert not lost.probes(story.end)
    for at, idle in lost.idle(lost.asked):
        assert idle == pytest.approx(at, abs=1), "something has passed"
    assert lost.forgotten and story.window <= lost.longest(lost.forgotten) < lost.asked
    dropped = lost.dropped()
    assert len(dropped) > 15 and lost.asked <= dropped[0] and dropped[-1] < lost.ended
    assert sum(p.size > 0 for p in lost.packets if p.at >= lost.asked) == len(dropped)
    assert 900 < lost.seconds < 1000 and lost.seconds == pytest.approx(lost.ended - lost.asked)
    assert lost.error == 2013 and not lost.kept


def test_the_held_connection_stays_far_below_the_window(story: Record) -> None:
    held = story.held
    assert held.keepalive == TIME and held.forgotten is None and not held.dropped()
    assert held.longest(story.end) < LATE
    probes = held.probes(held.asked)
    assert len(probes) == held.asked // probes[0][1]
    line = held.idle(story.end)
    for at, idle in probes:
        assert TIME - 0.1 < idle < LATE
        assert line[line.index((at, idle)) + 1] == (at, 0)
    assert held.kept and held.seconds < 1


def test_the_kept_picture_is_of_the_kept_record(story: Record) -> None:
    with open(os.path.join(DEMO, "real.svg"), encoding="utf-8") as file:
        assert html.escape(story.sentence(), quote=False) in file.read()


@pytest.fixture(name="night")
def recorded_night() -> auto_record.Record:
    """The recorded events of the night behind a window that nobody knew."""
    return auto_record.load(os.path.join(DEMO, "auto.jsonl"))


def event(kind: str, at: float, who: str | None = None, **more: object) -> dict[str, object]:
    """Returns an event as the machine tells it."""
    return {"event": kind, "who": who, "at": at, **more}


def test_lives_end_when_they_are_lost() -> None:
    night = auto_record.read([
        event("server", 1, window=120, kernel="6"), event("night", 10, size=2),
        event("opened", 11, "held", slot=0), event("opened", 12, "held", slot=1),
        event("lost", 30, "held", slot=0, how="idle", began=30),
        event("opened", 40, "held", slot=0),
        event("lost", 90, "held", slot=1, how="query", began=50),
        event("shorter", 100, "held", before=200, after=120), event("end", 110)])
    held = night.pools["held"]
    assert [(life.slot, life.opened, life.hung, life.ended) for life in held.all] == [
        (0, 1, None, 20), (1, 2, 40, 80), (0, 30, None, None)]
    assert held.hung() == 40 and len(held.lost()) == 2 and len(held.lost(50)) == 1
    assert night.settled == 90 and night.end == 100 and not night.pools["lost"].all


def test_the_rule_finds_a_time_that_the_path_survives(night: auto_record.Record) -> None:
    held, lost = night.pools["held"], night.pools["lost"]
    assert [(step.before, step.after) for step in night.steps] == [(200, 120), (120, 60)]
    assert night.settled < 3600 < night.end and night.steps[-1].after < night.window
    assert held.lost() and not held.lost(night.settled)
    assert len(lost.lost(night.settled)) > 5 * len(held.lost())
    for life in lost.lost():
        assert life.hung is not None and 900 < life.ended - life.hung < 1000
    alive = [life.slot for life in held.all if life.ended is None]
    assert sorted(alive) == list(range(night.size))


def test_the_kept_picture_is_of_the_kept_night(night: auto_record.Record) -> None:
    with open(os.path.join(DEMO, "auto.svg"), encoding="utf-8") as file:
        assert html.escape(night.sentence(), quote=False) in file.read()
