"""Locks the kernel down and runs tests of what holdfast needs, at each level.

The levels are integrity (against changes by root) and then confidentiality (against reading, too).
Only a boot takes a level back.
"""

import multiprocessing
import os
import subprocess
import sys

import pytest

import tell
from system import Tell

LOCKDOWN = "/sys/kernel/security/lockdown"
# These tests load, attach and read every kind of program and iterator. The deselected one needs
# modules that only the system tests have.
FILES = ["test_lockdown.py", "test_connect.py", "test_existing.py", "test_ends.py", "test_probe.py",
         "--deselect=test_ends.py::test_causes"]


def lock(level: str) -> str | None:
    """Raises the level. Returns what is wrong, or None."""
    try:
        with open(LOCKDOWN, "w", encoding="ascii") as file:
            file.write(level)
        with open(LOCKDOWN, encoding="ascii") as file:
            state = file.read().strip()
    except OSError as error:
        return str(error)
    return None if f"[{level}]" in state else f"it is {state}"


def run(level: str) -> None:
    """Runs the tests, and exits with pytest's status."""
    os.environ["HF_LOCKDOWN"] = level
    sys.exit(pytest.main(["-p", "no:cacheprovider", "-v", "--tb=short", "-m", "not races",
                          *tell.arguments(), *FILES], plugins=[Tell(level)]))


def main() -> int:
    """Returns 0 where all is well at both levels."""
    subprocess.run(["mount", "-t", "securityfs", "securityfs", "/sys/kernel/security"], check=True)
    os.chdir(tell.SYSTEM)
    failed = False
    for level in ("integrity", "confidentiality"):
        fault = lock(level)
        tell.case("the kernel can be locked down", fault, group=level)
        # In a separate process, because imported modules have looked at the kernel.
        tests = multiprocessing.get_context("fork").Process(target=run, args=(level,))
        tests.start()
        tests.join()
        failed |= bool(fault) or tests.exitcode != 0
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
