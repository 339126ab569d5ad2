"""Reads the lists of packages, modules and kernels beside the scripts."""

import os
from dataclasses import dataclass

from .arch import ARCHES, Arch

DIRECTORY = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
EXPECTATIONS = ("tested", "works", "named", "unsupported")


def words(name: str) -> list[str]:
    """Returns all words of a list, without comments."""
    return [word for line in lines(name) for word in line.split()]


def lines(name: str) -> list[str]:
    """Returns the lines of a list that aren't empty, without comments."""
    with open(os.path.join(DIRECTORY, name), encoding="ascii") as file:
        stripped = [line.split("#", 1)[0].strip() for line in file]
    return [line for line in stripped if line]


def modules(arch: str) -> dict[str, set[str]]:
    """Returns an architecture's modules, and the guest's programs that need them; none stands for
    all."""
    found = {}
    for line in lines("modules"):
        name, *rest = line.split()
        if all(word in (f"@{arch}", word.lstrip("@")) for word in rest):
            found[name] = {program for word in rest if not word.startswith("@")
                           for program in word.split(",")}
    return found


@dataclass(frozen=True)
class Kernel:
    """A line of the list `kernels`."""

    name: str
    suites: tuple[str, ...]
    pattern: str
    expect: str

    @property
    def arch(self) -> Arch:
        """The architecture that the package's name says."""
        return next(arch for name, arch in ARCHES.items() if f"-{name}" in self.pattern)

    @property
    def emulator(self) -> tuple[str, ...]:
        """QEMU's command with a machine that the kernel runs on."""
        # Of the processors with pages of 16 kB there is only this one.
        return tuple("max,pauth-impdef=on" if word == "cortex-a72" and "-16k" in self.pattern
                     else word for word in self.arch.emulator)


def kernels() -> dict[str, Kernel]:
    """Returns all kernels by name, in the list's order."""
    found: dict[str, Kernel] = {}
    for line in lines("kernels"):
        name, suites, pattern, expect = line.split()
        key, _, expectation = expect.partition("=")
        if key != "expect" or expectation not in EXPECTATIONS:
            raise ValueError(f"kernels: {line}: expect= is one of {', '.join(EXPECTATIONS)}")
        found[name] = Kernel(name, tuple(suites.split(",")), pattern, expectation)
    return found
