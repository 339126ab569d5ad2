"""Builds what the tests would compile themselves, for a machine without a compiler."""

import os
import shutil
import sys

from . import lists

sys.path.insert(0, os.path.join(os.path.dirname(lists.DIRECTORY), "system"))

from harness import compiler  # pylint: disable=wrong-import-position


def prepare(build: str, everything: bool) -> dict[str, str]:
    """Returns programs and libraries by their names in HF_PREBUILT; with `everything`, those of the
    system tests, too."""
    directory = os.path.join(build, "tests", "prebuilt")
    os.makedirs(directory, exist_ok=True)
    found = {}
    for name in compiler.BUILDS:
        made = compiler.other_build(name, os.path.join(directory, name))
        for program in ("holdfastd", "holdfast"):
            found[f"{name}/{program}"] = os.path.join(made, program)
    if everything:
        found |= {name: compiler.compile_c(name, directory) for name in compiler.PROGRAMS}
        for name in compiler.VARIANTS:
            made = compiler.variant(name, build, os.path.join(directory, name))
            found[f"{name}/holdfastd"] = os.path.join(made, "holdfastd")
        if shutil.which("go"):
            found["wild_client"] = compiler.go_program("wild_client", directory)
    return found
