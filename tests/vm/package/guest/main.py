"""Plays the story of the package, and tells the host the result of each step in a line."""

import os
import subprocess
import sys
import time
from typing import Callable

# pylint: disable=wrong-import-position
import tell  # puts the system tests' harness into the path
import sandboxed
from releases import Releases
from story import Story

TROUBLE = ("WARNING:", "BUG:", "Oops", "Call Trace", "soft lockup", "rcu_sched", "hung task")


def take(name: str, step: Callable[[], None]) -> bool:
    """Takes a step and tells the host its result. Returns whether it passed."""
    start, fault = time.monotonic(), None
    try:
        step()
    except Exception as error:  # pylint: disable=broad-except
        kind = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
        trace = error.__traceback__
        while trace and trace.tb_next:
            trace = trace.tb_next
        line = f" (line {trace.tb_lineno})" if trace else ""
        fault = f"{kind}{error}{line}"
        print(f"{name}: {fault}", flush=True)
    tell.case(name, fault, group="package", seconds=time.monotonic() - start)
    return fault is None


def calm() -> None:
    """Checks that the kernel has logged no fault of its own."""
    said = subprocess.run(["dmesg"], capture_output=True, text=True, check=True).stdout
    found = [line for line in said.splitlines() if any(sign in line for sign in TROUBLE)]
    assert not found, "\n".join(found)


def main() -> int:
    """Returns 0 where all is well."""
    version, less, *released = tell.arguments()
    story = Story(less, version)
    results = []
    try:
        for name, step in story.steps():
            results.append(take(name, step))
            if step == story.reload:
                results += [take(*named) for named in sandboxed.steps(story.world)]
        if not released:
            tell.case("upgrades from the release before", group="package",
                      skipped="its package isn't there")
        for earlier in released:
            results += [take(*named) for named in Releases(story.world, earlier, version).steps()]
    finally:
        subprocess.run(["journalctl", "-u", "holdfast.service", "--no-pager"], check=False)
    results.append(take("no kernel warning", calm))
    tell.note(f"{os.uname().release}: {time.monotonic():.0f} s of guest time")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
