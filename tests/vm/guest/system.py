"""Runs the system tests, and tells the host of each what became of it."""

import os
import sys

import pytest

import tell


class Tell:
    """A plugin of pytest: a line for each test, as soon as it has ended."""

    def __init__(self, prefix: str = "system") -> None:
        """`prefix` begins the names of the groups."""
        self._prefix = prefix
        self._told: set[str] = set()
        self._seconds = 0.0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Called after set-up, call and teardown of each test: the first fault is the test's."""
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
        """A file that can't be read has failed."""
        if report.failed:
            tell.case(report.nodeid, report.longreprtext, group=self._prefix)


def main() -> int:
    """pytest's exit status."""
    os.chdir(tell.SYSTEM)
    return pytest.main(["-p", "no:cacheprovider", "-v", "--tb=short", *tell.arguments()],
                       plugins=[Tell()])


if __name__ == "__main__":
    sys.exit(main())
