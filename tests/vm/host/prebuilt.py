"""What the tests would compile for themselves, where they run in a machine without a compiler."""

import os
import shutil
import sys

from . import lists

sys.path.insert(0, os.path.join(os.path.dirname(lists.DIRECTORY), "system"))

from harness import compiler  # pylint: disable=wrong-import-position


def prepare(build: str, everything: bool) -> dict[str, str]:
    """Programs and libraries, by the names that HF_PREBUILT has for them in the machine; those
    that only the system tests need where `everything` is wanted."""
    directory = os.path.join(build, "tests", "prebuilt")
    os.makedirs(directory, exist_ok=True)
    found = {}
    for name in compiler.BUILDS:
        made = compiler.other_build(name, os.path.join(directory, name))
        for program in ("holdfastd", "holdfast"):
            found[f"{name}/{program}"] = os.path.join(made, program)
    if everything:
        found |= {name: compiler.compile_c(name, directory) for name in compiler.PROGRAMS}
        for level in compiler.LEVELS:
            made = compiler.build_of_level(level, build, os.path.join(directory, f"level{level}"))
            found[f"level{level}/holdfastd"] = os.path.join(made, "holdfastd")
        found["forgetful/holdfastd"] = os.path.join(compiler.forgetful_build(
            build, os.path.join(directory, "forgetful")), "holdfastd")
        if shutil.which("go"):
            found["wild_client"] = compiler.go_program("wild_client", directory)
    return found
