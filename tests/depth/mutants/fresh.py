"""Makes up mutants at random that are in no list, and counts those that no test notices.

Each is tried with the tests that `covers` has for its file, until one fails. A mutant that compiles
to the same program can't be noticed and isn't counted; nor is one that doesn't compile.
"""

import fnmatch
import glob
import hashlib
import os
import random
import re
import subprocess
from collections import Counter
from typing import Callable, Iterator

import entries
import trial
from listed import EXPLAINED, LIVE, NOTICED, Baseline
from sites import Site, sites
from tree import Copy, DoesNotBuild

FILES = ("bpf/*.[ch]", "daemon/**/*.[ch]")
Say = Callable[[str, str], None]


def read_covers() -> dict[str, list[str]]:
    """Returns the lines of `covers`: the tests for files, by patterns of the files' names."""
    found = {}
    with open(os.path.join(entries.HERE, "covers"), encoding="utf-8") as file:
        for line in file:
            words = line.split("#", 1)[0].split()
            if words:
                found[words[0]] = words[1:]
    return found


def covering(covers: dict[str, list[str]], name: str) -> list[str]:
    """Returns the tests for a file, from the first pattern that matches its name."""
    return next(tests for pattern, tests in covers.items() if fnmatch.fnmatch(name, pattern))


def files(tree: str, words: list[str]) -> list[str]:
    """Returns the files to make mutants of; with words, those whose name contains one."""
    found = [os.path.relpath(path, tree) for pattern in FILES
             for path in glob.glob(os.path.join(tree, pattern), recursive=True)]
    return sorted(name for name in found if not words or any(word in name for word in words))


def as_mutant(name: str, text: str, site: Site) -> entries.Mutant:
    """Returns a mutant for a list, with as many whole lines around the site as make it unique."""
    start = text.rfind("\n", 0, site.start) + 1
    end = text.find("\n", site.end)
    while True:
        old = text[start:end]
        new = text[start:site.start] + site.new + text[site.end:end]
        mutant = entries.Mutant(f"{name}:{text.count(chr(10), 0, site.start) + 1}", name, old, new)
        if len(mutant.pattern.findall(text)) == 1:
            return mutant
        # One line more at the end, then one at the beginning.
        if text.count("\n", start, site.start) < text.count("\n", site.end, end):
            start = text.rfind("\n", 0, start - 1) + 1
        else:
            end = text.find("\n", end + 1)


def _flat(text: str) -> str:
    return " ".join(text.split())


def listed_results(tree: str) -> dict[str, entries.Mutant]:
    """Returns what the code becomes with each mutant of the lists, without regard to white
    space."""
    found = {}
    for mutant in entries.read():
        try:
            with open(os.path.join(tree, mutant.file), encoding="utf-8") as file:
                found[mutant.file + _flat(mutant.applied_to(file.read()))] = mutant
        except (OSError, entries.Stale):
            pass  # reported elsewhere
    return found


def made_up(tree: str, names: list[str], seed: str) -> Iterator[tuple[entries.Mutant, str]]:
    """Yields all possible mutants in random order, each with the text that it makes of its file."""
    texts = {}
    for name in names:
        with open(os.path.join(tree, name), encoding="utf-8") as file:
            texts[name] = file.read()
    places = [(name, site) for name in names for site in sites(texts[name])]
    random.Random(seed).shuffle(places)
    for name, site in places:
        text = texts[name]
        yield as_mutant(name, text, site), text[:site.start] + site.new + text[site.end:]


class Objects:
    """The compiled objects, without debugging information."""

    def __init__(self, copy: Copy) -> None:
        self._copy = copy
        self._known: dict[str, str] = {}
        self._same: dict[str, str] = self.now("")

    def now(self, name: str) -> dict[str, str]:
        """Returns a digest of each object. After a change to a BPF program the loader's object is
        left out, because it contains all BPF programs with their line information."""
        found = {}
        for path in glob.glob(os.path.join(self._copy.build_dir, "*", "**", "*.o"), recursive=True):
            if name.startswith("bpf/") and path.endswith("/loader.o"):
                continue
            key = f"{path} {os.stat(path).st_mtime_ns}"
            if key not in self._known:
                self._known[key] = self._digest(path)
            found[path] = self._known[key]
        return found

    def _digest(self, path: str) -> str:
        bpf = path.endswith(".bpf.o")
        argv = ["llvm-objcopy", "--remove-section=.BTF*", "--remove-section=.rel.BTF*"] \
            if bpf else ["objcopy"]
        stripped = self._copy.path("build/stripped.o")
        subprocess.run([*argv, "--strip-debug", path, stripped], check=True)
        with open(stripped, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()

    def are_the_same(self, name: str) -> bool:
        """Whether a change of that file has changed no object."""
        now = self.now(name)
        return all(self._same[path] == digest for path, digest in now.items())


def block(mutant: entries.Mutant, tests: list[str]) -> str:
    """Returns the mutant as a block of a list."""
    def lines(key: str, text: str) -> str:
        first, *rest = re.sub(r"(?m)^\t*", "", text).splitlines() or [""]
        return "\n".join([f"{key}:".ljust(6) + first, *(" " * 6 + line for line in rest)])

    return "\n".join([f"file: {mutant.file}", lines("old", mutant.old), lines("new", mutant.new),
                      f"lives: # {' '.join(tests)} passed"])


def try_one(copy: Copy, objects: Objects, baseline: Baseline, mutant: entries.Mutant, text: str,
            tests: list[str]) -> tuple[str, str] | None:
    """Tries one mutant. Returns the result and a message, or None where it doesn't count as a
    mutant."""
    with copy.changed(mutant.file, text):
        try:
            copy.build("all")
        except DoesNotBuild:
            return None
        if objects.are_the_same(mutant.file):
            return None
        try:
            copy.build(*trial.targets(tests))
        except DoesNotBuild:
            return None
        outcome = trial.run(copy, tests, baseline.limit(tests), True, baseline.failed)
    failed = [test for test in outcome.failed if test not in baseline.failed]
    if failed:
        return NOTICED, f"{failed[0]}, {outcome.seconds:.1f} s{', timed out' * outcome.timed_out}"
    return LIVE, f"{outcome.seconds:.1f} s"


def try_some(copy: Copy, count: int, seed: str, names: list[str], say: Say,
             results: str | None = None) -> Counter[str]:
    """Tries `count` mutants of these files. Shows those that live once more at the end."""
    say("SEED", seed)
    covers, known = read_covers(), listed_results(copy.directory)
    wanted = {test for name in names for test in covering(covers, name)}
    if not results:
        say("TESTS", f"{len(wanted)} modules and programs without any mutant, first")
    baseline = Baseline(copy, sorted(wanted), results)
    for test, why in baseline.failed.items():
        say("LEFT OUT", f"{test}, which fails without any: {why}")
    copy.build("all")
    objects = Objects(copy)
    counts: Counter[str] = Counter()
    live = []
    for mutant, text in made_up(copy.directory, names, seed):
        if sum(counts.values()) >= count:
            break
        listed = known.get(mutant.file + _flat(text))
        if listed:
            if listed.lives:
                counts[EXPLAINED] += 1
                say(EXPLAINED, f"{mutant.where}: {mutant}  {listed.where}: {listed.lives}")
            continue
        tests = covering(covers, mutant.file)
        result = try_one(copy, objects, baseline, mutant, text, tests)
        if result:
            counts[result[0]] += 1
            say(result[0], f"{mutant.where}: {mutant}  {result[1]}")
            if result[0] == LIVE:
                live.append(block(mutant, tests))
    print(*("", *live), sep="\n\n")
    return counts
