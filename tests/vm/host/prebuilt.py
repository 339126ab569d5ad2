"""Builds what the tests would compile themselves, for a machine without a compiler."""

import os
import shutil
import sys

from . import lists
from .arch import Arch

sys.path.insert(0, os.path.join(os.path.dirname(lists.DIRECTORY), "system"))

from harness import compiler  # pylint: disable=wrong-import-position


def programs(build: str, arch: Arch) -> str:
    """Returns the folder of the programs for an architecture; makes them where it is another one
    than this machine's."""
    if not arch.is_foreign:
        return build
    directory = os.path.join(build, arch.name)
    compiler.make(f"BUILD={directory}", f"ARCH={arch.name}", "cross")
    return directory


def prepare(build: str, everything: bool, arch: Arch) -> dict[str, str]:
    """Returns programs and libraries by their names in HF_PREBUILT; with `everything`, those of the
    system tests, too. `build` is the folder of the programs for the architecture."""
    directory = os.path.join(build, "tests", "prebuilt")
    os.makedirs(directory, exist_ok=True)
    if arch.is_foreign:
        compiler.cross(arch.name, f"{arch.tools}gcc")
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
