"""The runner of the mutants: what counts as noticed, live and stale, and which fresh mutants there
are.

The tests use a tree of their own, whose code is a text file and whose unit test is a shell script.
"""

import os
import subprocess
import sys
from typing import Iterator

import pytest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

# pylint: disable=wrong-import-position
import entries
import fresh
import listed
import sites
import trial
from tree import Copy

CODE = "first  line\nsecond line\nbuild\n"
MAKEFILE = """
all:
build/tests/unit/%: tests/unit/%.c code
	grep -q build code
	mkdir -p $(@D) && cp $< $@ && chmod 755 $@
"""
# Three tests: the first fails where the first line is wrong, the second fails always, the third is
# skipped. Where the second line is wrong, the program dies.
PROGRAM = """#!/bin/sh
# cmocka_unit_test(test_first) cmocka_unit_test(test_bad) cmocka_unit_test(test_skipped)
grep -q second code || exit 139
{
echo '<testsuites><testsuite>'
grep -q '^first' code && echo '<testcase name="test_first"/>' ||
    echo '<testcase name="test_first"><failure>no</failure></testcase>'
echo '<testcase name="test_bad"><failure>always</failure></testcase>'
echo '<testcase name="test_skipped"><skipped/></testcase></testsuite></testsuites>'
} >"$CMOCKA_XML_FILE"
"""


@pytest.fixture
def copy(tmp_path) -> Iterator[Copy]:
    """A copy of the tree."""
    tree = tmp_path / "tree"
    (tree / "tests" / "unit").mkdir(parents=True)
    (tree / "code").write_text(CODE)
    (tree / "Makefile").write_text(MAKEFILE)
    (tree / "tests" / "unit" / "test_x.c").write_text(PROGRAM)
    subprocess.run(["git", "init", "-q", str(tree)], check=True)
    with Copy(str(tree), str(tmp_path / "copy")) as made:
        yield made
    assert (tree / "code").read_text() == CODE, "the tree itself isn't touched"


def judged(copy: Copy, old: str, new: str, *fails: str) -> tuple[str, str]:
    """Returns the result of a mutant."""
    mutant = entries.Mutant("here:1", "code", old, new, fails)
    return listed.judge(copy, listed.Baseline(copy, list(fails)), mutant)


@pytest.mark.parametrize("old, new, test, wanted, why", [
    ("first line", "worst line", "test_first", listed.NOTICED, ""),
    ("second line", "other line", "test_first", listed.NOTICED, ""),  # the program died
    ("first line", "first place", "test_first", listed.LIVE, "test_x/test_first passed"),
    ("line", "lane", "test_first", listed.STALE, "its old text is there 2 times"),
    ("third line", "lane", "test_first", listed.STALE, "its old text is there 0 times"),
    ("first  line", "first  line", "test_first", listed.STALE, "it changes nothing"),
    ("build", "destroy", "test_first", listed.STALE, "it doesn't build"),
    ("first line", "worst line", "test_bad", listed.STALE, "fails without it"),
    ("first line", "worst line", "test_gone", listed.STALE, "fails without it"),
    ("first line", "worst line", "test_skipped", listed.SKIPPED, "test_x/test_skipped"),
])
def test_judge(copy: Copy, old: str, new: str, test: str, wanted: str, why: str) -> None:
    """Each mutant gets the right result and reason, and the copy is restored afterwards."""
    what, said = judged(copy, old, new, f"test_x/{test}")
    assert what == wanted and why in said, said
    assert copy.read("code") == CODE


def test_every_test_has_to_fail(copy: Copy) -> None:
    """A mutant lives where one of its tests passes."""
    assert judged(copy, "first line", "worst line", "test_x/test_first", "test_x/test_first")[0] \
        == listed.NOTICED
    assert judged(copy, "first line", "first place", "test_x/test_first")[0] == listed.LIVE


def test_time_limit(copy: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that runs into the time limit has noticed the mutant, and its processes are killed."""
    path = copy.path("tests/unit/test_x.c")
    with open(path, "a", encoding="utf-8") as file:
        file.write("grep -q first code || { sleep 1000 & sleep 1000; }\n")
    monkeypatch.setattr(listed.Baseline, "limit", lambda *_: 1)
    trial.adopt_orphans()
    what, why = judged(copy, "first line", "worst line", "test_x/test_first")
    assert what == listed.NOTICED and "timed out" in why
    with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as children:
        assert not children.read()


def test_copy_follows(copy: Copy, tmp_path) -> None:
    """A copy follows the tree: same files aren't written, removed files go, leftover changes are
    undone."""
    tree, there = tmp_path / "tree", tmp_path / "other"
    with Copy(str(tree), str(there)) as first:
        first.build("build/tests/unit/test_x")
        with pytest.raises(BlockingIOError):
            Copy(str(tree), str(there))
    before = (there / "Makefile").stat().st_mtime_ns
    (there / "code").write_text("left by a run that was killed")
    (tree / "new").write_text("new")
    (tree / "tests" / "unit" / "test_x.c").unlink()
    with Copy(str(tree), str(there)) as again:
        assert again.read("code") == CODE and again.read("new") == "new"
    assert not (there / "tests" / "unit" / "test_x.c").exists()
    assert (there / "build" / "tests" / "unit" / "test_x").exists()
    assert (there / "Makefile").stat().st_mtime_ns == before


LIST = """# A comment.

file: code
old:  first
          line
new:
fails: test_x/test_first
       test_verdicts.py::test_held[a b]

file: code
old:  a
new:  b
# another
lives: nobody can
       tell
"""


def test_lists() -> None:
    """A list is parsed into its mutants, and malformed blocks are refused."""
    first, second = entries.parse(LIST, "some")
    assert first == entries.Mutant("some:3", "code", "first\nline", "", (
        "test_x/test_first", "test_verdicts.py::test_held[a b]"))
    assert first.applied_to(CODE) == "\nsecond line\nbuild\n"
    assert (second.where, second.fails, second.lives) == ("some:10", (), "nobody can\ntell")
    for bad in ("file: a\nold: b\nfails: c", "file: a\nold: b\nnew: c", "old: a\nnew: b\nfails: c",
                "file: a\nold: b\nnew: c\nfails: d\nlives: e", "file: a\nfile: b\nold: c\nnew: d",
                "file: a\nold: b\nnew: c\nfails: d\nnobody: e", "file: a\nold: b\nnew: c\nfails:"):
        with pytest.raises(ValueError):
            entries.parse(bad, "bad")


def test_names_of_tests() -> None:
    """A test's name is found in its file, whether of tests/system or of tests/unit."""
    for test in ("test_verdict/test_own", "test_verdicts.py::test_held",
                 "test_status.py::test_socket[127.0.0.1-inet]"):
        assert entries.test_exists(test, entries.TREE), test
    for test in ("test_verdict/test_held", "test_verdicts.py::test_hel", "test_gone.py::test_a"):
        assert not entries.test_exists(test, entries.TREE), test


C_CODE = """/* if (a == 1) */
#define MANY 3
struct x { int a; };
static const int table[] = {1, 2};

int f(int a)
{
	const char *text = "a == b";
	int b = 7; // b == 8

	_Static_assert(1 == 1, "");
	if (!a && a < 7)
		g(a,
		  3);
	return b;
}

int h(int pid)
{
	return kill(pid, 1);
}
"""


def test_sites() -> None:
    """Sites are found in executable code alone, and not where signals are sent."""
    found = {(site.kind, C_CODE[site.start:site.end], site.new) for site in sites.sites(C_CODE)}
    assert found == {
        ("negation", "!", ""), ("logic", "&&", "||"), ("comparison", "<", "<="),
        ("comparison", "<", ">="), ("constant", "7", "8"), ("constant", "3", "4"),
        ("condition", "(!a && a < 7)", "(0)"), ("condition", "(!a && a < 7)", "(1)"),
        ("statement", "g(a,\n\t\t  3);", ";"), ("return", "b", "0")}


def test_fresh_ones_can_be_listed() -> None:
    """Each fresh mutant gives a block of a list that makes the same change."""
    for site in sites.sites(C_CODE):
        mutant = fresh.as_mutant("code", C_CODE, site)
        changed = C_CODE[:site.start] + site.new + C_CODE[site.end:]
        assert mutant.applied_to(C_CODE).split() == changed.split()
        block = fresh.block(mutant, ["test_x"])
        back, = entries.parse(block.replace("lives: #", "lives:"), "some")
        assert back.applied_to(C_CODE).split() == changed.split()


def test_seed(tmp_path) -> None:
    """The same seed gives the same mutants in the same order."""
    (tmp_path / "c.c").write_text(C_CODE)
    one, two, other = ([str(mutant) for mutant, _ in fresh.made_up(str(tmp_path), ["c.c"], seed)]
                       for seed in ("1", "1", "2"))
    assert one == two != other and sorted(one) == sorted(other)


def test_covers() -> None:
    """Every file has tests in `covers`, and all of them exist."""
    covers = fresh.read_covers()
    for name in fresh.files(entries.TREE, []):
        for test in fresh.covering(covers, name):
            assert os.path.exists(os.path.join(entries.TREE, entries.file_of(test))), test
