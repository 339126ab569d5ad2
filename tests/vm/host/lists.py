"""The lists beside the scripts: packages, modules, kernels."""

import os
from dataclasses import dataclass

DIRECTORY = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
EXPECTATIONS = ("tested", "works", "named", "unsupported")


def words(name: str) -> list[str]:
    """All words of a list, comments left out."""
    return [word for line in lines(name) for word in line.split()]


def lines(name: str) -> list[str]:
    """The lines of a list that say something."""
    with open(os.path.join(DIRECTORY, name), encoding="ascii") as file:
        stripped = [line.split("#", 1)[0].strip() for line in file]
    return [line for line in stripped if line]


def modules() -> dict[str, bool]:
    """The modules, and whether only the system tests need them."""
    found = {}
    for line in lines("modules"):
        name, *rest = line.split()
        found[name] = rest == ["system"]
    return found


@dataclass(frozen=True)
class Kernel:
    """A line of `kernels`."""

    name: str
    suites: tuple[str, ...]
    pattern: str
    expect: str


def kernels() -> dict[str, Kernel]:
    """All kernels by name, in the list's order."""
    found: dict[str, Kernel] = {}
    for line in lines("kernels"):
        name, suites, pattern, expect = line.split()
        key, _, expectation = expect.partition("=")
        if key != "expect" or expectation not in EXPECTATIONS:
            raise ValueError(f"kernels: {line}: expect= is one of {', '.join(EXPECTATIONS)}")
        found[name] = Kernel(name, tuple(suites.split(",")), pattern, expectation)
    return found
