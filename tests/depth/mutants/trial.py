"""Runs tests on the programs built in a copy: which fail, which pass, how long they take."""

import ctypes
import glob
import os
import re
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Iterable

import entries
from tree import Copy

PR_SET_CHILD_SUBREAPER = 36
PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"
NO_TESTS = 5  # pytest's exit status where it was to run none
SIDE_BY_SIDE = "6"
NOT_RUN = "pytest"  # stands for all tests of a run that gave no results


def adopt_orphans() -> None:
    """Makes processes that a test leaves behind our children, for end_orphans() to find."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)


def end_orphans() -> None:
    """Kills all processes that have outlived the test that started them."""
    while True:
        with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:
            pids = [int(word) for word in file.read().split()]
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in pids:
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)
        if not pids:
            return


def remove_cgroups() -> None:
    """Removes the control groups that tests had no time to remove; see tests/system/conftest.py.
    Their names have the number of the process that made them, which has ended."""
    for mount in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/run/holdfast/cgroup"):
        found = glob.glob(f"{mount}/holdfast-test-*/**/", recursive=True)
        for path in sorted(found, key=len, reverse=True):
            pid = path.removeprefix(f"{mount}/holdfast-test-").split("-")[0]
            if not os.path.exists(f"/proc/{pid}"):
                with suppress(OSError):
                    os.rmdir(path)


@dataclass
class Outcome:
    """The results of some tests, the time they took, and why they failed."""

    results: dict[str, str] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)
    took: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    timed_out: bool = False

    def add(self, other: "Outcome") -> None:
        """Adds the results of another run."""
        self.results |= other.results
        self.why |= other.why
        self.took |= other.took
        self.seconds += other.seconds
        self.timed_out |= other.timed_out

    def _names(self, test: str) -> list[str]:
        """Returns the tests that a name stands for: one, all parameters of one, or all of a module,
        class or program."""
        return [name for name in self.results
                if test in (name, name.split("[")[0], name.split("/")[0])
                or name.startswith(f"{test}::")]

    def of(self, test: str) -> str:
        """Returns the result of a test; several tests of one name have failed where one has.

        A test without a result has failed: it died, or was killed.
        """
        found = [self.results[name] for name in self._names(test)]
        if not found or FAILED in found:
            return FAILED
        return PASSED if PASSED in found else SKIPPED

    def reason(self, test: str) -> str:
        """Returns why a test failed or was skipped."""
        names = self._names(test) or [NOT_RUN]
        return next((self.why[name] for name in names if self.why.get(name)), "no word")

    def time_of(self, tests: Iterable[str]) -> float:
        """Returns the seconds that the tests took one after the other."""
        return sum(self.took[name] for test in tests for name in self._names(test))

    @property
    def failed(self) -> list[str]:
        """The tests that failed."""
        return [name for name, result in self.results.items() if result == FAILED]

    def forget(self, tests: Iterable[str]) -> None:
        """Removes the results of these tests."""
        for test in tests:
            del self.results[test]

    def add_case(self, name: str, case: ET.Element) -> None:
        """Adds one test's element of a file of results."""
        # A failure in a fixture's end is a second element with the same name.
        if self.results.get(name) != FAILED:
            self.results[name], self.why[name] = _result(case), _reason(case)
        self.took[name] = self.took.get(name, 0.0) + float(case.get("time") or 0)

    def add_rest(self, name: str, status: int, output: str) -> None:
        """Adds a failed run in which no test failed."""
        if status != 0 and not self.failed:
            self.results[name], self.took[name] = FAILED, self.seconds
            self.why[name] = output.strip()[-300:] or f"exit status {status}"


def is_unit(test: str) -> bool:
    """Whether a test is one of tests/unit: a program, or PROGRAM/NAME."""
    return ".py" not in test.split("::")[0]


def targets(tests: Iterable[str]) -> list[str]:
    """Returns the make targets that the tests need."""
    programs = {entries.file_of(test) for test in tests if is_unit(test)}
    return sorted(f"build/{program.removesuffix('.c')}" for program in programs) + \
        ["all"] * (not all(is_unit(test) for test in tests))


def _run(argv: list[str], limit: float, **options: object) -> tuple[bool, int, str]:
    """Runs a program. Returns whether it ended in time, its exit status and its output."""
    process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "--", *argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, errors="replace",
                               start_new_session=True, **options)  # type: ignore[call-overload]
    in_time, output = True, ""
    try:
        output = process.communicate(timeout=limit)[0]
    except subprocess.TimeoutExpired:
        in_time = False
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    finally:
        end_orphans()
        remove_cgroups()
    return in_time, process.returncode, output


def _cases(path: str) -> list[ET.Element]:
    try:
        return list(ET.parse(path).getroot().iter("testcase"))
    except (OSError, ET.ParseError):
        return []


def _result(case: ET.Element) -> str:
    if case.find("failure") is not None or case.find("error") is not None:
        return FAILED
    return SKIPPED if case.find("skipped") is not None else PASSED


def _reason(case: ET.Element) -> str:
    for kind in ("failure", "error", "skipped"):
        found = case.find(kind)
        if found is not None:
            said = found.get("message") or found.text or ""
            return next((line for line in said.splitlines() if line.strip()), kind)
    return ""


def _unit(copy: Copy, program: str, limit: float) -> Outcome:
    path = os.path.join(copy.build_dir, entries.file_of(program).removesuffix(".c"))
    xml = f"{path}.xml"
    with suppress(FileNotFoundError):
        os.unlink(xml)
    start = time.monotonic()
    in_time, status, output = _run(
        [path], limit, cwd=copy.directory,
        env={**os.environ, "CMOCKA_MESSAGE_OUTPUT": "XML", "CMOCKA_XML_FILE": xml})
    outcome = Outcome(seconds=time.monotonic() - start, timed_out=not in_time)
    for case in _cases(xml):
        outcome.add_case(f"{program}/{case.get('name')}", case)
    outcome.add_rest(program, status, output)
    return outcome


def _node_id(case: ET.Element) -> str:
    """Returns pytest's node id of a test, from its module on."""
    name = os.path.basename(case.get("file", ""))
    _, _, classes = case.get("classname", "").partition(f"{name.removesuffix('.py')}.")
    return "::".join(filter(None, (name, *classes.split("."), case.get("name"))))


def _pytest(copy: Copy, tests: list[str], limit: float, stop_at_first: bool,
            without: Iterable[str], *which: str) -> Outcome:
    xml = os.path.join(copy.build_dir, "system.xml")
    with suppress(FileNotFoundError):
        os.unlink(xml)
    start = time.monotonic()
    in_time, status, output = _run(
        [sys.executable, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=line",
         *which, "-o", "junit_family=xunit1", f"--junitxml={xml}", *["-x"] * stop_at_first,
         *(f"--deselect=tests/system/{test}" for test in without),
         *(f"tests/system/{test}" for test in tests)],
        limit, cwd=copy.directory, env={**os.environ, "HF_BUILD": copy.build_dir})
    outcome = Outcome(seconds=time.monotonic() - start, timed_out=not in_time)
    for case in _cases(xml):
        outcome.add_case(_node_id(case), case)
    if status != NO_TESTS:
        outcome.add_rest(NOT_RUN, status, output)
    return outcome


def _system(copy: Copy, tests: list[str], limit: float, stop_at_first: bool,
            without: Iterable[str]) -> Outcome:
    """Runs them as `make test` does: one by one, and then those side by side that mainly wait."""
    outcome = Outcome()
    for which in (["-m", "not waits"], ["-m", "waits", "-n", SIDE_BY_SIDE]):
        outcome.add(_pytest(copy, tests, limit, stop_at_first, without, *which))
        if stop_at_first and outcome.failed:
            break
    return outcome


def earlier(results: str) -> Outcome:
    """Returns what `make test` has found out, by the folder of its results."""
    outcome = Outcome()
    for path in glob.glob(os.path.join(results, "unit-*.xml")):
        program = os.path.basename(path).removeprefix("unit-").removesuffix(".xml")
        for case in _cases(path):
            outcome.add_case(f"{program}/{case.get('name')}", case)
    for path in glob.glob(os.path.join(results, "system*.xml")):
        for case in _cases(path):
            module, *classes = case.get("classname", "").split(".")
            outcome.add_case("::".join((f"{module}.py", *classes, case.get("name", ""))), case)
    return outcome


def run(copy: Copy, tests: Iterable[str], limit: float, stop_at_first: bool = False,
        without: Iterable[str] = ()) -> Outcome:
    """Runs the tests: first the unit tests, by whole programs, then those of tests/system in one
    run, without those in `without`."""
    tests = list(dict.fromkeys(tests))
    outcome = Outcome()
    for program in dict.fromkeys(test.split("/")[0] for test in tests if is_unit(test)):
        outcome.add(_unit(copy, program, limit))
        if stop_at_first and outcome.failed:
            return outcome
    system = [test for test in tests if not is_unit(test)]
    if system:
        outcome.add(_system(copy, system, limit, stop_at_first, without))
    return outcome
