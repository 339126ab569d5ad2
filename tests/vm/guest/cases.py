"""The cases of the night, and what has to be true of each."""

import errno
from itertools import product
from typing import Callable, Iterator

from harness.options import UNTOUCHED, Settings, held

from features import ENDS, MISSING, UPGRADE, Features, yes
from story import Case, Observed, Story

SERVER_LOST, SERVER_GONE = 2013, 2006
SHORT_NIGHT, NIGHT, WINDOW = 4000, 28000, 350
HANG = (900, 1000)  # seconds that a query without an answer hangs, with tcp_retries2 = 15
UNHELD = Settings(1, 7200, 75, 9)  # these libraries switch keepalive on, with the kernel's times
HELD = held(600, 60, 5)
IMPATIENT, PROMPT = held(60, 10, 5, 120_000), held(15, 1, 5)


def defaults(window: int) -> Settings:
    """Returns the values of a rule that sets only its window, in seconds."""
    time = min(window // 4, 600)
    return held(time, min(max(time // 10, 1), 75), 5)


class Cases:
    """All cases, for a night and a window in seconds."""

    def __init__(self, night: float = NIGHT, window: int = WINDOW) -> None:
        self.held_short = defaults(window)
        behind = f"behind {window} s"
        everything = list(product(("inet", "inet6"), ("connection", "pool"),
                                  (SHORT_NIGHT, night)))
        self.controls = [
            *(Case("as it comes", "control", server, kind, True, idle)
              for server, kind, idle in everything),
            *(Case("on a host with sysctls set", "advised", "inet", kind, True, idle)
              for kind, idle in product(("connection", "pool"), (SHORT_NIGHT, night))),
            Case("as it comes", "control", "inet", "Connector/C", True, SHORT_NIGHT),
            *(Case("as it comes", "control", "inet", "plain socket", True, idle)
              for idle in (SHORT_NIGHT, night)),
            *(Case(behind, "short-control", "short", kind, True, window + 50)
              for kind in ("connection", "pool")),
        ]
        self.survivors = [
            *(Case("existing" if before else "new", "held", server, kind, before, idle)
              for before in (False, True) for server, kind, idle in everything),
            *(Case("existing" if before else "new", "held", "inet", "Connector/C", before,
                   SHORT_NIGHT) for before in (False, True)),
            Case("new", "held", "inet", "plain socket", False, SHORT_NIGHT),
            Case("existing", "held", "inet", "plain socket", True, night),
            *(Case(behind, "short-held", "short", kind, False, SHORT_NIGHT)
              for kind in ("connection", "pool")),
            *(Case("made after the daemon was killed", "lone", "inet", kind, False, SHORT_NIGHT)
              for kind in ("connection", "pool")),
            *(Case(f"{'existing' if before else 'new'}, over kill and restart of the daemon",
                   "lone", "inet", kind, before, night)
              for before in (False, True) for kind in ("connection", "pool")),
            *(Case(f"{'existing' if before else 'new'}, over two upgrades of the daemon",
                   "upgraded", server, kind, before, night)
              for before, server, kind in ((False, "inet", "connection"), (False, "inet6", "pool"),
                                           (True, "inet", "pool"), (True, "inet6", "connection"))),
        ]
        self.dead_control = Case("peer dies, not held", "control", cut=True)
        self.dead = Case("peer dies", "held", cut=True)
        self.dead_existing = Case("peer dies, existing", "held", before=True, cut=True)
        self.dead_prompt = Case("peer dies, short times", "held", "prompt", cut=True)
        self.dead_impatient = Case("peer dies, user-timeout", "held", "impatient", cut=True)
        self.cut = Case("path cut under a query", "held", cut=True, idle=0)
        self.cut_impatient = Case("path cut under a query, user-timeout", "held", "impatient",
                                  cut=True, idle=0)
        self.all = [*self.controls, *self.survivors, self.dead_control, self.dead,
                    self.dead_existing, self.dead_prompt, self.dead_impatient, self.cut,
                    self.cut_impatient]


def expect(truth: object, *what: object) -> None:
    """Raises AssertionError with what was seen where `truth` is false, also under python -O."""
    if not truth:
        raise AssertionError(" ".join(map(str, what)))


def within(value: float, low: float, high: float, what: str) -> None:
    """Checks that low <= value <= high."""
    expect(low <= value <= high, f"{what}: {value:.3f}, not within {low:g} to {high:g}")


def title(case: Case) -> str:
    """Returns the case's name among the results."""
    family = ", IPv6" if case.server == "inet6" else ""
    return f"{case.name}: {case.kind}{family}, {case.idle:g} s"


def unheld(case: Case) -> Settings:
    """Returns the settings that the case's library leaves."""
    return UNTOUCHED if case.kind == "plain socket" else UNHELD


class Checks:
    """The checks on what was seen in a night."""

    def __init__(self, cases: Cases, story: Story) -> None:
        self.cases = cases
        self.story = story
        self.late = story.wheel.late

    def limited(self, what: str) -> bool:
        """Whether holdfast reports this as missing on this kernel."""
        return what in self.story.features[MISSING]

    def lost(self, case: Case, seen: Observed) -> None:
        """Checks a control: nothing kept its connection alive, so it is lost. Its query hangs,
        unless the kernel's own keepalive has found the loss at 7200 s."""
        own = unheld(case)
        expect(seen.settings == own, seen.settings)
        if case.idle < UNHELD.time:
            expect(seen.counted == (0, 0) and not seen.packets, "something went over the wire:",
                   seen.counted, seen.packets)
        if case.idle < own.time or not own.keepalive:
            expect(seen.outcome.error == (SERVER_LOST if own.keepalive else errno.ETIMEDOUT),
                   seen.outcome)
            within(seen.outcome.seconds, *HANG, "the query hung for")
        else:
            expect(seen.outcome.error == SERVER_GONE, seen.outcome)
            within(seen.outcome.seconds, 0, 1, "the query took")

    def survived(self, case: Case, seen: Observed) -> None:
        """Checks that the query was answered at once on the same connection, and the settings given
        back."""
        wanted = self.cases.held_short if case.server == "short" else HELD
        expect(seen.settings == wanted, seen.settings)
        within(seen.asked - seen.opened, case.idle - 60, case.idle + 5, "it idled for")
        expect(seen.outcome.error is None, seen.outcome)
        expect(seen.outcome.id == seen.id, "another connection:", seen.outcome, seen.id)
        within(seen.outcome.seconds, 0, 1, "the query took")
        # What another layout held is given back through that layout's iterators, if it has them.
        lasting = case.place == "upgraded" and self.limited("BPF iterators")
        expect(seen.given_back == (HELD if lasting else unheld(case)), "after the daemon's end:",
               seen.given_back)

    def probed(self, case: Case, seen: Observed) -> None:
        """Checks that the first probe was in time, the others followed, and only answers came
        besides."""
        time = (self.cases.held_short if case.server == "short" else HELD).time
        spacing = time - 0.1, self.late(time)
        expect(seen.probes, "no probe")
        if case.before:
            # The connection was overdue, so that the daemon's start had it probed.
            story = self.story
            within(seen.probes[0] - story.starting, 0,
                   story.started[case.place] - story.starting + 1,
                   "from the daemons' start to the first probe")
        else:
            within(seen.probes[0] - seen.opened, *spacing, "from connect to the first probe")
        for before, after in zip(seen.probes, seen.probes[1:]):
            within(after - before, *spacing, "between probes")
        within(seen.asked - seen.probes[-1], 0, self.late(time), "from the last probe to the query")
        # The server's keepalive doesn't count the client's probes as a sign of life.
        within(seen.server_probes, case.idle // self.late(UNHELD.time),
               case.idle // UNHELD.time, "server's probes")
        number = len(seen.probes) + seen.server_probes
        expect(seen.counted == (number, number), "the firewall has counted", seen.counted,
               f"packets, for {len(seen.probes)} + {seen.server_probes} probes and their answers")

    def found(self, seen: Observed, rule: Settings) -> None:
        """Checks that an idle connection with a dead peer ended after time + interval x probes,
        with that many probes, each in its time."""
        expect(seen.died["error"] == errno.ETIMEDOUT, seen.died)
        unanswered = [at for at in seen.probes if at > seen.last_answer]
        expect(len(unanswered) == rule.probes, len(unanswered), "probes")
        moments = [seen.last_answer, *unanswered, seen.died["at"]]
        for wanted, before, after in zip([rule.time] + [rule.interval] * rule.probes, moments,
                                         moments[1:]):
            within(after - before, wanted - 0.02, self.late(wanted), "to the next probe, or the end")
        total = rule.time + rule.interval * rule.probes
        within(seen.died["at"] - seen.last_answer, total,
               total + self.late(rule.time) - rule.time
               + (self.late(rule.interval) - rule.interval) * rule.probes, "it died after")

    def found_to_the_second(self, seen: Observed, rule: Settings) -> None:
        """Checks the same to the second, for times for which the kernel's timers are that exact."""
        self.found(seen, rule)
        total = rule.time + rule.interval * rule.probes
        within(seen.died["at"] - seen.last_answer, total, total + 1, "it died after")

    def impatient(self, seen: Observed) -> None:
        """Checks that with user-timeout the connection ended at the first probe time after the
        timeout."""
        expect(seen.died["error"] == errno.ETIMEDOUT, seen.died)
        timeout = IMPATIENT.user_timeout / 1000
        within(seen.died["at"] - seen.last_answer, timeout,
               timeout + self.late(IMPATIENT.interval), "it died after")

    def failed(self, seen: Observed, low: float, high: float) -> None:
        """Checks that a query over a cut path failed after that many seconds."""
        expect(seen.outcome.error == SERVER_LOST, seen.outcome)
        within(seen.outcome.seconds, low, high, "the query hung for")

    def _lines(self, case: Case) -> list[str]:
        address, port = self.story.seen[case].ends[0]
        return [line for line in self.story.daemons["held"].log.splitlines()
                if f" {address}:{port} to " in line]

    def told(self, case: Case, reason: str) -> None:
        """Checks that the daemon has logged why the connection ended."""
        lines = self._lines(case)
        expect(len(lines) == 1 and reason in lines[0], "the log has of it:", lines)

    def existing_told(self) -> None:
        """Checks that the end of an older connection is logged where the kernel allows it, else
        not."""
        if self.limited("doesn't tell how those end"):
            expect(not self._lines(self.cases.dead_existing), "it is told all the same")
        else:
            self.told(self.cases.dead_existing, "keepalive gave up")

    def features(self) -> Features:
        """Returns what the kernel gives holdfast, completed by what the night has shown."""
        seen = {key: yes(bool(self._lines(case))) for key, case in zip(
            ENDS, (self.cases.dead, self.cases.dead_existing))}
        upgraded = [self.story.seen[case] for case in self.cases.survivors
                    if case.place == "upgraded"]
        seen[UPGRADE] = yes(all(one.given_back == UNHELD for one in upgraded))
        return self.story.features | seen

    def _held(self, name: str, status: dict, places: tuple[str, ...]) -> None:
        wanted = {self.story.seen[case].ends[0] for case in self.cases.survivors
                  if case.place in places}
        got = {(row["local"], row["local_port"]) for row in status["sockets"]
               if row["verdict"] == "held"}
        expect(got == wanted, name, "has", got, "and not", wanted)
        expect(status["enforcement"]["attached"], name, "is not attached")

    def watched(self) -> None:
        """Checks that during the night `status` had each connection as held, a dead daemon's
        included."""
        for name, places in (("held", ("held", "short-held")), ("lone", ("lone",)),
                             ("upgraded", ("upgraded",))):
            status = self.story.status[name]
            self._held(name, status, places)
            dead = status["enforcement"]["daemon_pid"] is None
            expect(dead == (name == "lone"), name, status["enforcement"])

    def upgraded(self) -> None:
        """Checks the upgrades: another version went into the same link; another layout got a link
        of its own, and the old layout's pins are gone. All connections stayed held."""
        first, version, layout = self.story.looks
        expect(first.pins == version.pins, first.pins, version.pins)
        expect(version.link.id == first.link.id, "another link:", version.link, first.link)
        expect(version.link.program != first.link.program, "the same program:", version.link)
        expect(layout.pins == ["layout-999"], layout.pins)
        expect(layout.link.id != first.link.id, "the same link:", layout.link)
        for look in self.story.looks:
            self._held("upgraded", look.status, ("upgraded",))
        processes = {look.status["enforcement"]["daemon_pid"] for look in self.story.looks}
        expect(len(processes) == 3 and None not in processes, "daemons:", processes)


def calm(messages: str) -> None:
    """Checks that the kernel has logged no fault of its own."""
    signs = ("WARNING:", "BUG:", "Oops", "Call Trace", "soft lockup", "rcu_sched", "hung task")
    found = [line for line in messages.splitlines() if any(sign in line for sign in signs)]
    expect(not found, "\n".join(found))


def checks(what: Checks) -> Iterator[tuple[str, Callable[[], None]]]:
    """Yields all checks with their names."""
    cases, seen = what.cases, what.story.seen
    for case in cases.controls:
        yield f"control {title(case)}: lost", lambda case=case: what.lost(case, seen[case])
    for case in cases.survivors:
        yield f"held {title(case)}: answers", lambda case=case: what.survived(case, seen[case])
        yield f"held {title(case)}: probes", lambda case=case: what.probed(case, seen[case])
    yield "peer dies, not held: found after two hours", (
        lambda: what.found(seen[cases.dead_control], UNHELD))
    yield "peer dies, held: found by keepalive", lambda: what.found(seen[cases.dead], HELD)
    yield "peer dies, held: told", lambda: what.told(cases.dead, "keepalive gave up")
    yield "peer dies, existing, held: found by keepalive", (
        lambda: what.found(seen[cases.dead_existing], HELD))
    yield "peer dies, existing, held: told", what.existing_told
    yield "peer dies, held with short times: found to the second", (
        lambda: what.found_to_the_second(seen[cases.dead_prompt], PROMPT))
    yield "peer dies, held with short times: told", (
        lambda: what.told(cases.dead_prompt, "keepalive gave up"))
    yield "peer dies, user-timeout: found by it", (
        lambda: what.impatient(seen[cases.dead_impatient]))
    yield "peer dies, user-timeout: told", (
        lambda: what.told(cases.dead_impatient, "TCP_USER_TIMEOUT (120000 ms) ran out"))
    yield "path cut under a query: hangs", lambda: what.failed(seen[cases.cut], *HANG)
    yield "path cut under a query: told", (
        lambda: what.told(cases.cut, "data stayed unacknowledged"))
    yield "path cut under a query, user-timeout: fails in time", (
        lambda: what.failed(seen[cases.cut_impatient], 119, what.late(120)))
    yield "path cut under a query, user-timeout: told", (
        lambda: what.told(cases.cut_impatient, "TCP_USER_TIMEOUT (120000 ms) ran out"))
    yield "status in the night", what.watched
    yield "upgraded in the night", what.upgraded
