"""The cases of the night, and what has to be true of each."""

import errno
from typing import Callable, Iterator

from harness.options import Settings, held

from story import Case, Observed, Story

SERVER_LOST, SERVER_GONE = 2013, 2006
SHORT_NIGHT, NIGHT = 4000, 28000
HANG = (900, 1000)  # tcp_retries2 = 15: how long a query waits for an answer that can't come
HELD, HELD_SHORT = held(600, 60, 5), held(87, 8, 5)
IMPATIENT = held(60, 10, 5, 120_000)

CONTROLS = [
    Case("connection", "control", before=True, idle=SHORT_NIGHT),
    Case("pool", "control", pool=True, before=True, idle=SHORT_NIGHT),
    Case("connection all night", "control", before=True, idle=NIGHT),
    Case("pool all night", "control", pool=True, before=True, idle=NIGHT),
    Case("connection over IPv6", "control", "inet6", before=True, idle=SHORT_NIGHT),
    Case("connection on a host with sysctls set", "advised", before=True, idle=SHORT_NIGHT),
    Case("pool on a host with sysctls set", "advised", pool=True, before=True, idle=SHORT_NIGHT),
    Case("connection behind 350 s", "short-control", "short", before=True, idle=400),
]
SURVIVORS = [
    Case("connection", "held", idle=SHORT_NIGHT),
    Case("pool", "held", pool=True, idle=SHORT_NIGHT),
    Case("connection all night", "held", idle=NIGHT),
    Case("pool all night", "held", pool=True, idle=NIGHT),
    Case("connection over IPv6", "held", "inet6", idle=SHORT_NIGHT),
    Case("existing connection", "held", before=True, idle=SHORT_NIGHT),
    Case("existing pool", "held", pool=True, before=True, idle=SHORT_NIGHT),
    Case("existing connection over IPv6", "held", "inet6", before=True, idle=SHORT_NIGHT),
    Case("existing connection all night", "held", before=True, idle=NIGHT),
    Case("connection behind 350 s", "short-held", "short", idle=SHORT_NIGHT),
    Case("connection made after the daemon was killed", "lone", idle=SHORT_NIGHT),
    Case("pool over a restart of the daemon", "lone", pool=True, idle=NIGHT),
]
DEAD_CONTROL = Case("peer dies, not held", "control", cut=True)
DEAD = Case("peer dies while idle", "held", cut=True)
DEAD_IMPATIENT = Case("peer dies while idle, user-timeout", "held", "impatient", cut=True)
CUT_CONTROL = Case("path cut under a query, no user-timeout", "held", cut=True, idle=0)
CUT_IMPATIENT = Case("path cut under a query, user-timeout", "held", "impatient", cut=True, idle=0)
ALL = [*CONTROLS, *SURVIVORS, DEAD_CONTROL, DEAD, DEAD_IMPATIENT, CUT_CONTROL, CUT_IMPATIENT]


def expect(truth: object, *what: object) -> None:
    """An assertion that says what it saw; it also holds under python -O."""
    if not truth:
        raise AssertionError(" ".join(map(str, what)))


def within(value: float, low: float, high: float, what: str) -> None:
    """low <= value <= high."""
    expect(low <= value <= high, f"{what}: {value:.3f}, not within {low:g} to {high:g}")


def late(seconds: float) -> float:
    """When a kernel timer of that length fires at the latest: the wheel it sits in is coarse,
    by eight parts in 63 at most."""
    return seconds * (1 + 8 / 63) + 0.1


def spacing(time: float) -> tuple[float, float]:
    """How far apart probes are."""
    return time - 0.1, late(time)


def lost(case: Case, seen: Observed) -> None:
    """The control: nothing kept it alive, so it is lost; and it hangs first, unless the kernel's
    own keepalive at 7200 s has found that out before."""
    expect(seen.settings == Settings(1, 7200, 75, 9), seen.settings)
    if case.idle < 7200:
        expect(not seen.packets, "something went over the wire:", seen.packets)
        expect(seen.outcome.error == SERVER_LOST, seen.outcome)
        within(seen.outcome.seconds, *HANG, "the query hung for")
    else:
        expect(seen.outcome.error == SERVER_GONE, seen.outcome)
        within(seen.outcome.seconds, 0, 1, "the query took")


def survived(case: Case, seen: Observed) -> None:
    """Answered at once, on the same connection."""
    wanted = HELD_SHORT if case.server == "short" else HELD
    expect(seen.settings == wanted, seen.settings)
    within(seen.asked - seen.opened, case.idle - 30, case.idle + 5, "it idled for")
    expect(seen.outcome.error is None, seen.outcome)
    expect(seen.outcome.id == seen.id, "another connection:", seen.outcome, seen.id)
    within(seen.outcome.seconds, 0, 1, "the query took")


def probed(case: Case, seen: Observed, story: Story) -> None:
    """The first probe in time, then one each time; nothing else but their answers."""
    time = HELD_SHORT.time if case.server == "short" else HELD.time
    expect(seen.probes, "no probe")
    if case.before:
        # It was overdue, so the daemon's start has it probed.
        within(seen.probes[0] - story.starting, 0, story.started - story.starting + 1,
               "from the daemon's start to the first probe")
    else:
        within(seen.probes[0] - seen.opened, *spacing(time), "from connect to the first probe")
    for before, after in zip(seen.probes, seen.probes[1:]):
        within(after - before, *spacing(time), "between probes")
    within(seen.asked - seen.probes[-1], 0, late(time), "from the last probe to the query")
    # The client's probes don't count as a sign of life with the server's own keepalive.
    expect(seen.server_probes == case.idle // late(7200), seen.server_probes, "server's probes")
    expect(len(seen.packets) == 2 * (len(seen.probes) + seen.server_probes),
           f"{len(seen.probes)} + {seen.server_probes} probes, but {len(seen.packets)} packets")


def died(case: Case, seen: Observed, after: float) -> None:
    """An idle connection whose peer is gone ends so long after the last sign of life."""
    expect(seen.died["error"] == errno.ETIMEDOUT, seen.died)
    within(seen.died["at"] - seen.last_answer, after, late(after), f"{case.name}: it died after")


def failed(seen: Observed, low: float, high: float) -> None:
    """A query whose path was cut fails after so long."""
    expect(seen.outcome.error == SERVER_LOST, seen.outcome)
    within(seen.outcome.seconds, low, high, "the query hung for")


def told(story: Story, case: Case, reason: str) -> None:
    """The daemon has logged why that connection ended."""
    address, port = story.seen[case].ends[0]
    lines = [line for line in story.daemons["held"].log.splitlines()
             if f" {address}:{port} to " in line]
    expect(len(lines) == 1 and reason in lines[0], "the log has of it:", lines)


def watched(story: Story) -> None:
    """In the middle of the night `status` has each connection, held; of a dead daemon's too."""
    for name, place in (("held", ("held", "short-held")), ("lone", ("lone",))):
        status = story.status[name]
        wanted = {story.seen[case].ends[0] for case in SURVIVORS if case.place in place}
        got = {(row["local"], row["local_port"]) for row in status["sockets"]
               if row["verdict"] == "held"}
        expect(got == wanted, name, "has", got, "and not", wanted)
        expect(status["enforcement"]["attached"], name, "is not attached")
        dead = status["enforcement"]["daemon_pid"] is None
        expect(dead == (name == "lone"), name, status["enforcement"])


def calm(messages: str) -> None:
    """The kernel has found nothing wrong with itself."""
    signs = ("WARNING:", "BUG:", "Oops", "Call Trace", "soft lockup", "rcu_sched", "hung task")
    found = [line for line in messages.splitlines() if any(sign in line for sign in signs)]
    expect(not found, "\n".join(found))


Check = tuple[str, Callable[[], None]]


def checks(story: Story) -> Iterator[Check]:
    """All that has to be true, by name."""
    seen = story.seen
    for case in CONTROLS:
        yield f"control {case.name}: lost", lambda case=case: lost(case, seen[case])
    for case in SURVIVORS:
        yield f"held {case.name}: answers", lambda case=case: survived(case, seen[case])
        yield f"held {case.name}: probes", lambda case=case: probed(case, seen[case], story)
    yield "peer dies, not held: found after two hours", (
        lambda: died(DEAD_CONTROL, seen[DEAD_CONTROL], 7200 + 75 * 9))
    yield "peer dies, held: found by keepalive", (
        lambda: died(DEAD, seen[DEAD], HELD.time + HELD.interval * HELD.probes))
    yield "peer dies, held: told", lambda: told(story, DEAD, "keepalive gave up")
    yield "peer dies, user-timeout: found by it", (
        lambda: died(DEAD_IMPATIENT, seen[DEAD_IMPATIENT], 120))
    yield "peer dies, user-timeout: told", (
        lambda: told(story, DEAD_IMPATIENT, "TCP_USER_TIMEOUT (120000 ms) ran out"))
    yield "path cut under a query: hangs", lambda: failed(seen[CUT_CONTROL], *HANG)
    yield "path cut under a query: told", (
        lambda: told(story, CUT_CONTROL, "data stayed unacknowledged"))
    yield "path cut under a query, user-timeout: fails in time", (
        lambda: failed(seen[CUT_IMPATIENT], 119, late(120)))
    yield "path cut under a query, user-timeout: told", (
        lambda: told(story, CUT_IMPATIENT, "TCP_USER_TIMEOUT (120000 ms) ran out"))
    yield "status in the night", lambda: watched(story)
