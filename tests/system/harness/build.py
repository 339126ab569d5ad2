"""Where the programs under test are, how they were built, and whether a sanitizer reported
something."""

import os

from .remote import TESTS_DIR

DIRECTORY = os.environ.get("HF_BUILD") or os.path.join(TESTS_DIR, "..", "..", "build")
HOLDFASTD = os.path.abspath(os.path.join(DIRECTORY, "holdfastd"))
HOLDFAST = os.path.abspath(os.path.join(DIRECTORY, "holdfast"))
# Whether the programs were built with ASan and UBSan: they take longer to start then.
SANITIZED = bool(os.environ.get("HF_SANITIZED"))
# Whether the programs run under valgrind, which emulates system calls: 3.19 lacks pidfd_open(2).
VALGRIND = bool(os.environ.get("HF_VALGRIND"))

_REPORTS = ("ERROR: AddressSanitizer", "runtime error:", "LeakSanitizer")


def check_sanitizers(log: str) -> None:
    """Raises AssertionError where a sanitizer has reported something."""
    for report in _REPORTS:
        assert report not in log, f"a sanitizer has something to say:\n{log}"
