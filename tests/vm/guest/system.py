"""Runs the system tests, and tells the host the result of each."""

import os
import sys

import pytest

import tell


class Tell:
    """A pytest plugin that tells the host each test's result as soon as it has ended."""

    def __init__(self, prefix: str = "system") -> None:
        """`prefix` begins the names of the groups."""
        self._prefix = prefix
        self._told: set[str] = set()
        self._seconds = 0.0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Called after set-up, call and teardown of each test; the first fault is the test's
        result."""
        fault = skipped = None
        if report.failed:
            fault = report.longreprtext
        elif report.skipped:
            skipped = report.longrepr[2].removeprefix("Skipped: ")
        self._seconds += report.duration
        ended = report.when == "teardown" or fault or skipped
        if ended and report.nodeid not in self._told:
            self._told.add(report.nodeid)
            group, _, name = report.nodeid.partition("::")
            tell.case(name, fault, group=f"{self._prefix}.{group.removesuffix('.py')}",
                      skipped=skipped, seconds=self._seconds)
        if report.when == "teardown":
            self._seconds = 0.0

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Reports a file that can't be collected as failed."""
        if report.failed:
            tell.case(report.nodeid, report.longreprtext, group=self._prefix)


def main() -> int:
    """Returns pytest's exit status."""
    os.chdir(tell.SYSTEM)
    return pytest.main(["-p", "no:cacheprovider", "-v", "--tb=short", *tell.arguments()],
                       plugins=[Tell()])


if __name__ == "__main__":
    sys.exit(main())
