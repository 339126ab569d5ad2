"""Runs the night, and tells the host the result of every case."""

import argparse
import os
import subprocess
import sys
import time

import tell

# pylint: disable=wrong-import-position
import cases
from story import RESTART, START, Story


def check(name: str, holds: cases.Callable[[], None]) -> bool:
    """Runs a check and tells the host its result. Returns whether it passed."""
    try:
        holds()
    except Exception as error:  # pylint: disable=broad-except
        kind = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
        tell.case(name, f"{kind}{error}")
        return False
    tell.case(name)
    return True


def main() -> int:
    """Returns 0 where all is well."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--night", type=float, default=cases.NIGHT, help="its length, in seconds")
    parser.add_argument("--window", type=int, default=cases.WINDOW,
                        help="of the firewall that forgets sooner than after an hour, in seconds")
    options = parser.parse_args(tell.arguments())
    if options.night <= RESTART or not 60 <= options.window <= START - 100:
        parser.error(f"--night is above {RESTART}, and --window 60 to {START - 100}")
    night = cases.Cases(options.night, options.window)
    story = Story(night.all, options.window)
    try:
        story.run()
    finally:
        print(story.logs(), flush=True)
    checks = cases.Checks(night, story)
    results = [check(*named) for named in cases.checks(checks)]
    messages = subprocess.run(["dmesg"], capture_output=True, text=True, check=True).stdout
    results.append(check("no kernel warning", lambda: cases.calm(messages)))
    lost, held = (story.seen[some[0]].outcome for some in (night.controls, night.survivors))
    tell.note(f"{os.uname().release}: after {cases.SHORT_NIGHT} s the control hung for "
              f"{lost.seconds:.0f} s and was lost, the held one took {held.seconds * 1000:.0f} ms; "
              f"{time.monotonic():.0f} s of guest time")
    tell.features({"kernel": os.uname().release, "architecture": os.uname().machine,
                   **checks.features()})
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
