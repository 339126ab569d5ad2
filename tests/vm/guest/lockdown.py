"""Locks the kernel down, first against changes by root (integrity), then against reading it, too
(confidentiality), and runs what holdfast lives on under each: there is no way back but a boot.
"""

import multiprocessing
import os
import subprocess
import sys

import pytest

import tell
from system import Tell

LOCKDOWN = "/sys/kernel/security/lockdown"
# Every kind of program and iterator is loaded, attached and read in these. What is left out wants
# modules that only the system tests have.
FILES = ["test_lockdown.py", "test_connect.py", "test_existing.py", "test_ends.py", "test_probe.py",
         "--deselect=test_ends.py::test_causes"]


def lock(level: str) -> str | None:
    """Raises the level; what is wrong, if anything."""
    try:
        with open(LOCKDOWN, "w", encoding="ascii") as file:
            file.write(level)
        with open(LOCKDOWN, encoding="ascii") as file:
            state = file.read().strip()
    except OSError as error:
        return str(error)
    return None if f"[{level}]" in state else f"it is {state}"


def run(level: str) -> None:
    """Runs the tests, and exits as pytest does."""
    os.environ["HF_LOCKDOWN"] = level
    sys.exit(pytest.main(["-p", "no:cacheprovider", "-v", "--tb=short", "-m", "not races",
                          *tell.arguments(), *FILES], plugins=[Tell(level)]))


def main() -> int:
    """0 where all is well under both."""
    subprocess.run(["mount", "-t", "securityfs", "securityfs", "/sys/kernel/security"], check=True)
    os.chdir(tell.SYSTEM)
    failed = False
    for level in ("integrity", "confidentiality"):
        fault = lock(level)
        tell.case("the kernel can be locked down", fault, group=level)
        # In a process of its own: what it imports has looked at the kernel.
        tests = multiprocessing.get_context("fork").Process(target=run, args=(level,))
        tests.start()
        tests.join()
        failed |= bool(fault) or tests.exitcode != 0
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
