"""The programs under test, and how to tell that a sanitizer has found something in them."""

import os

from .remote import TESTS_DIR

DIRECTORY = os.environ.get("HF_BUILD") or os.path.join(TESTS_DIR, "..", "..", "build")
HOLDFASTD = os.path.abspath(os.path.join(DIRECTORY, "holdfastd"))
HOLDFAST = os.path.abspath(os.path.join(DIRECTORY, "holdfast"))
# Set where the programs were built with ASan and UBSan: they take longer to start.
SANITIZED = bool(os.environ.get("HF_SANITIZED"))
# Set where the programs run under valgrind, which isn't the kernel: 3.19 has no pidfd_open(2).
VALGRIND = bool(os.environ.get("HF_VALGRIND"))

_REPORTS = ("ERROR: AddressSanitizer", "runtime error:", "LeakSanitizer")


def check_sanitizers(log: str) -> None:
    """AssertionError where a sanitizer has reported something."""
    for report in _REPORTS:
        assert report not in log, f"a sanitizer has something to say:\n{log}"
