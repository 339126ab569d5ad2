"""What the tests would compile for themselves, where they run in a machine without a compiler."""

import os
import sys

from . import lists

sys.path.insert(0, os.path.join(os.path.dirname(lists.DIRECTORY), "system"))

from harness import compiler  # pylint: disable=wrong-import-position


def prepare(build: str) -> dict[str, str]:
    """Programs and libraries, by the names that HF_PREBUILT has for them in the machine."""
    directory = os.path.join(build, "tests", "prebuilt")
    os.makedirs(directory, exist_ok=True)
    found = {name: compiler.compile_c(name, directory) for name in compiler.PROGRAMS}
    for name in compiler.BUILDS:
        made = compiler.other_build(name, os.path.join(directory, name))
        for program in ("holdfastd", "holdfast"):
            found[f"{name}/{program}"] = os.path.join(made, program)
    return found
