"""Tries the mutants of the lists, each with the tests that have to fail."""

import trial
from entries import Mutant, Stale
from tree import Copy, DoesNotBuild

NOTICED, LIVE, STALE = "noticed", "live", "stale"
EXPLAINED, SKIPPED = "explained", "skipped"


class Baseline:
    """The results of tests without any mutant."""

    def __init__(self, copy: Copy, tests: list[str], results: str | None = None) -> None:
        """Runs the tests, and those that failed once more: a busy machine isn't their fault. With
        `results`, the folder that `make test` has left its results in, it takes those."""
        copy.build(*trial.targets(tests))
        if results:
            self._known = trial.earlier(results)
            return
        self._known = trial.run(copy, tests, 3600)
        again = [test for test in self._known.failed if test != trial.NOT_RUN]
        self._known.forget(again)
        self._known.add(trial.run(copy, again, 3600))

    def verdict(self, test: str) -> tuple[str, str] | None:
        """Returns what to report of a mutant that this test has to notice, where it doesn't pass
        without one."""
        result, why = self._known.of(test), f"{test}: {self._known.reason(test)}"
        if result == trial.PASSED:
            return None
        return (SKIPPED, why) if result == trial.SKIPPED else (STALE, f"fails without it: {why}")

    def limit(self, tests: list[str]) -> float:
        """Returns the seconds that the tests may take with a mutant, on a machine with other work,
        too."""
        return 60 + 5 * self._known.time_of(tests)

    @property
    def failed(self) -> dict[str, str]:
        """The tests that don't pass, and why."""
        return {test: self._known.reason(test) for test in self._known.failed}


def judge(copy: Copy, baseline: Baseline, mutant: Mutant) -> tuple[str, str]:
    """Tries a mutant. Returns the result and a message."""
    if mutant.lives:
        return EXPLAINED, mutant.lives
    told = next(filter(None, map(baseline.verdict, mutant.fails)), None)
    if told:
        return told
    try:
        with copy.changed(mutant.file, mutant.applied_to(copy.read(mutant.file))):
            copy.build(*trial.targets(mutant.fails))
            outcome = trial.run(copy, mutant.fails, baseline.limit(list(mutant.fails)))
    except Stale as error:
        return STALE, str(error)
    except DoesNotBuild as error:
        return STALE, f"it doesn't build:\n{error}"
    passed = [test for test in mutant.fails if outcome.of(test) != trial.FAILED]
    if passed:
        return LIVE, f"{', '.join(passed)} passed"
    return NOTICED, f"{outcome.failed[0]}, {outcome.seconds:.1f} s{', timed out' * outcome.timed_out}"
