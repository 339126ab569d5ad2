"""A sentence in a manual page or README is a promise.

promises/ has a file for each page, with every sentence of it under its heading, and below each the
tests that would fail if it weren't so, or why there is none:

    test_module.py::test_name       of tests/system or tests/package
    test_program/test_name          of tests/unit
    tests/PATH: TEXT                of tests/vm, where this text stands in the file
    -- says                         it introduces, names or refers to something
    -- advice                       it says what to do
    -- others                       it is about other programs, the kernel or a network
    -- limit                        it says what is not done, and nobody counts on that
    -- speed                        `make bench` measures it

A changed sentence has to be entered anew: whoever does that looks whether its test still fits.
"""

import ast
import glob
import os
import re
from functools import cache

import pytest

import sentences

HERE = os.path.dirname(os.path.abspath(__file__))
TREE = os.path.dirname(os.path.dirname(HERE))
PAGES = {"holdfast.8": "packaging/man/holdfast.8", "holdfastd.8": "packaging/man/holdfastd.8",
         "holdfast.conf.5": "packaging/man/holdfast.conf.5", "README.md": "README.md"}
WITHOUT = ["-- says", "-- advice", "-- others", "-- limit", "-- speed"]
Entry = tuple[str, str, list[str]]  # heading, sentence, what follows it


def read(name: str) -> str:
    """Returns the text of a file of the tree."""
    with open(os.path.join(TREE, name), encoding="utf-8") as file:
        return file.read()


def taken_apart(page: str) -> list[sentences.Sentence]:
    """Returns the sentences of a page."""
    path = os.path.join(TREE, PAGES[page])
    return sentences.of_readme(path) if page.endswith(".md") else sentences.of_manual(path)


def entries(page: str) -> list[Entry]:
    """Returns what promises/ has for a page."""
    found: list[Entry] = []
    heading = ""
    for line in read(f"tests/static/promises/{page}").splitlines():
        if line.startswith("\t"):
            found[-1][2].append(line.strip())
        elif line.startswith("= "):
            heading = line.removeprefix("= ")
        elif line:
            found.append((heading, line, []))
    return found


@cache
def all_tests() -> set[str]:
    """Returns the names of all tests."""
    found = set()
    for path in glob.glob(os.path.join(TREE, "tests", "*", "test_*.py")):
        tree = ast.parse(read(os.path.relpath(path, TREE)))
        found |= {f"{os.path.basename(path)}::{node.name}" for node in ast.walk(tree)
                  if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}
    for path in glob.glob(os.path.join(TREE, "tests", "unit", "**", "test_*.c"), recursive=True):
        program = os.path.basename(path).removesuffix(".c")
        found |= {f"{program}/{name}" for name in
                  re.findall(r"cmocka_unit_test(?:_\w+)?\((\w+)", read(os.path.relpath(path, TREE)))}
    return found


def stands(reference: str) -> bool:
    """Whether what is referred to is there."""
    if reference.startswith("tests/"):
        path, _, text = reference.partition(": ")
        return os.path.isfile(os.path.join(TREE, path)) and bool(text) and text in read(path)
    return reference in WITHOUT or reference in all_tests()


@pytest.mark.parametrize("page", PAGES)
def test_every_sentence(page: str) -> None:
    """Each sentence of a page is there, in its order, and no other."""
    told = taken_apart(page)
    known = [entry[:2] for entry in entries(page)]
    new = [sentence for sentence in told if sentence not in known]
    old = [sentence for sentence in known if sentence not in told]
    assert not new, "not in promises/"
    assert not old, "not in the page"
    assert known == told


@pytest.mark.parametrize("page", PAGES)
def test_every_reference(page: str) -> None:
    """Each sentence has tests that are there, or the reason why there is none."""
    for _, sentence, references in entries(page):
        assert references, sentence
        assert len(references) == 1 or not set(references) & set(WITHOUT), sentence
        for reference in references:
            assert stands(reference), f"{sentence}: {reference}"


def test_false_references() -> None:
    """What isn't there is noticed."""
    for reference in ("test_status.py::test_nothing_at_all", "test_window/test_nothing", "-- why",
                      "tests/vm/kernels: 2.4", "tests/vm/nothing: 6.12", "tests/vm/kernels"):
        assert not stands(reference)
    assert stands("test_window/test_pool") and stands("test_lint") is False
    assert stands("tests/vm/kernels: 6.12") and stands("test_status.py::test_filters")
