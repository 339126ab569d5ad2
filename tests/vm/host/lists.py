"""Reads the lists of packages, modules and kernels beside the scripts."""

import os
from dataclasses import dataclass

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


def modules() -> dict[str, set[str]]:
    """Returns the modules, and the guest's programs that need them; none stands for all."""
    found = {}
    for line in lines("modules"):
        name, *programs = line.split()
        found[name] = set(programs[0].split(",")) if programs else set()
    return found


@dataclass(frozen=True)
class Kernel:
    """A line of the list `kernels`."""

    name: str
    suites: tuple[str, ...]
    pattern: str
    expect: str


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
