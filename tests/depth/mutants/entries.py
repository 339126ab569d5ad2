"""Reads the lists of mutants: small changes to the code, each with the tests that have to fail.

A block is a mutant, and an empty line ends it:

    file: daemon/rules/verdict.c
    old:  if (!rule->enforce)
              return VERDICT_EXEMPT;
    new:
    fails: test_verdicts.py::test_exempt
           test_verdict/test_every_order

`old` must be in the file exactly once, whatever its white space and comments, so that the entry
survives edits elsewhere, clang-format and changed comments. `new` replaces it, and may be empty.
`fails` names tests of tests/system as pytest does, and tests of tests/unit as PROGRAM/NAME. Each of
them has to fail; of several tests that one name stands for (parameters, a module), at least one. A
mutant that no test can notice has `lives: equivalent because ...` instead. Indented lines continue
the line before; # at the start of a line begins a comment.
"""

import glob
import os
import re
from dataclasses import dataclass

HERE = os.path.dirname(os.path.abspath(__file__))
TREE = os.path.abspath(os.path.join(HERE, "..", "..", ".."))
KEYS = ("file", "old", "new", "fails", "lives")


class Stale(Exception):
    """An entry that doesn't fit the code any more, and why."""


@dataclass(frozen=True)
class Mutant:
    """A change to the code; `where` is the line of its list, or of the code for a fresh one."""

    where: str
    file: str
    old: str
    new: str
    fails: tuple[str, ...] = ()
    lives: str = ""

    def __str__(self) -> str:
        return f"{self.file}: {one_line(self.old)} => {one_line(self.new)}"

    @property
    def pattern(self) -> re.Pattern[str]:
        """A pattern that finds `old`, whatever its white space and the comments in it."""
        words = (re.escape(word) for word in without_comments(self.old).split())
        return re.compile(r"(?:\s|/\*.*?\*/)+".join(words), re.DOTALL)

    def applied_to(self, text: str) -> str:
        """Returns the file's text with the change; Stale where `old` isn't there exactly once."""
        found = list(self.pattern.finditer(text))
        if len(found) != 1:
            raise Stale(f"its old text is there {len(found)} times")
        changed = text[:found[0].start()] + self.new + text[found[0].end():]
        if changed == text:
            raise Stale("it changes nothing")
        return changed


def without_comments(text: str) -> str:
    """Returns C code without its comments."""
    return re.sub(r"/\*.*?\*/", " ", text, flags=re.DOTALL)


def one_line(text: str, room: int = 60) -> str:
    """Returns a text in one line, shortened to `room` characters."""
    flat = " ".join(text.split())
    return flat if len(flat) <= room else f"{flat[:room - 3]}..."


def file_of(test: str, tree: str = TREE) -> str:
    """Returns the path of a test's file; unit tests are in rooms below tests/unit."""
    module = re.split("::|/", test)[0]
    if module.endswith(".py"):
        return f"tests/system/{module}"
    found = glob.glob(f"tests/unit/**/{module}.c", root_dir=tree, recursive=True)
    return found[0] if found else f"tests/unit/{module}.c"


def test_exists(test: str, tree: str) -> bool:
    """Whether there is a test of that name (without its parameters), or such a module."""
    _, *names = re.split("::|/", test.split("[")[0])
    name = names[-1] if names else ""
    wanted = rf"^\s*(?:def|class) {re.escape(name)}\b|\bcmocka_unit_test\w*\(\s*{re.escape(name)}\b"
    try:
        with open(os.path.join(tree, file_of(test, tree)), encoding="utf-8") as file:
            return not name or bool(re.search(wanted, file.read(), re.MULTILINE))
    except OSError:
        return False


def check(mutant: Mutant, tree: str) -> None:
    """Raises Stale where the mutant doesn't fit the code or the tests of a tree."""
    try:
        with open(os.path.join(tree, mutant.file), encoding="utf-8") as file:
            mutant.applied_to(file.read())
    except OSError as error:
        raise Stale(f"{mutant.file}: {error.strerror}") from error
    for test in mutant.fails:
        if not test_exists(test, tree):
            raise Stale(f"there is no test {test}")


def _blocks(text: str) -> list[tuple[int, list[str]]]:
    """Returns the lines of each block, and the number of its first line."""
    found: list[tuple[int, list[str]]] = []
    inside = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("#"):
            continue
        if line.strip() and not inside:
            found.append((number, []))
        inside = bool(line.strip())
        if inside:
            found[-1][1].append(line)
    return found


def _mutant(where: str, lines: list[str]) -> Mutant:
    values: dict[str, list[str]] = {}
    key = ""
    for line in lines:
        if not line[0].isspace():
            key, colon, line = line.partition(":")
            if key not in KEYS or not colon or key in values:
                raise ValueError(f"{where}: no such line, or twice: {key}")
            values[key] = []
        values[key].append(line.strip())
    fails = tuple(line for line in values.get("fails", []) if line)
    text = {key: "\n".join(lines).strip() for key, lines in values.items()}
    if not text.get("file") or not text.get("old") or "new" not in text:
        raise ValueError(f"{where}: file, old and new are needed")
    if bool(fails) == bool(text.get("lives")):
        raise ValueError(f"{where}: either tests that fail, or a reason why it lives")
    return Mutant(where, text["file"], text["old"], text["new"], fails, text.get("lives", ""))


def parse(text: str, name: str) -> list[Mutant]:
    """Returns the mutants of a list; ValueError where the list is malformed."""
    return [_mutant(f"{name}:{number}", lines) for number, lines in _blocks(text)]


def read() -> list[Mutant]:
    """Returns the mutants of all lists."""
    found = []
    for path in sorted(glob.glob(os.path.join(HERE, "lists", "*"))):
        with open(path, encoding="utf-8") as file:
            found += parse(file.read(), os.path.basename(path))
    return found
