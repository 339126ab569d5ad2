"""tests/static/layers finds each kind of fault in a copy of the tree."""

import os
import re
import shutil
import subprocess

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
TREE = os.path.join(HERE, "..", "..")


@pytest.fixture(name="tree")
def copy_of_the_code(tmp_path):
    """A copy of the code and of the script that checks it."""
    for folder in "daemon", "bpf", "tests/static":
        shutil.copytree(os.path.join(TREE, folder), tmp_path / folder)
    return tmp_path


def faults(tree, *arguments):
    """Returns the faults that the script reports, one a line."""
    done = subprocess.run([tree / "tests/static/layers", *arguments], check=False, text=True,
                          stderr=subprocess.PIPE)
    assert done.returncode == (1 if done.stderr else 0)
    return done.stderr.splitlines()


def write_above(path, line):
    """Inserts a line at the beginning of a file."""
    path.write_text(f"{line}\n{path.read_text()}")


def test_the_tree_is_sound(tree):
    """The script finds no fault in the tree itself."""
    assert not faults(tree)


@pytest.mark.parametrize("path, name, said", [
    ("daemon/base/text.c", "rules/rules.h",
     "daemon/base/text.c includes daemon/rules/rules.h, which is above it"),
    ("daemon/rules/rules.h", "daemon.h", "daemon/rules/rules.h includes daemon/daemon.h, "
     "which is above it"),
    ("daemon/sockets/old/sweep.c", "sockets/support.h",
     "daemon/sockets/old/sweep.c includes daemon/sockets/support.h, which is above it"),
    ("daemon/names/dns.c", "conf/conf.h",
     "daemon/names/dns.c includes daemon/conf/conf.h, which stands on the same floor"),
    ("daemon/rules/lpm.c", "bpf/socket.h",
     "daemon/rules/lpm.c includes bpf/socket.h, which only the kernel's side can"),
    ("bpf/match.h", "../daemon/base/text.h",
     "bpf/match.h includes daemon/base/text.h: the kernel's side knows nothing of ours"),
])
def test_what_goes_up(tree, path, name, said):
    """An #include that goes against the floors is reported."""
    write_above(tree / path, f'#include "{name}"')
    assert said in faults(tree)


def test_a_room_that_nobody_knows(tree):
    """A folder that is on no floor is reported."""
    (tree / "daemon/attic").mkdir()
    (tree / "daemon/attic/old.c").write_text("")
    assert faults(tree) == ["daemon/attic/old.c is in no room of tests/static/layers"]


def test_circles_of_includes(tree):
    """A circle of #includes is reported with the names of all its headers."""
    write_above(tree / "daemon/base/text.h", '#include "base/log.h"')
    write_above(tree / "daemon/base/log.h", '#include "base/error.h"')
    assert not faults(tree)
    write_above(tree / "daemon/base/error.h", '#include "base/text.h"')
    [fault] = faults(tree)
    assert fault.startswith("circle: ")
    assert set(re.findall(r"daemon/base/\w+\.h", fault)) == {
        "daemon/base/text.h", "daemon/base/log.h", "daemon/base/error.h"}


def test_calls_behind_a_common_header(tree):
    """A circle of calls through a common header is found in the objects' symbols."""
    sources = {"base/log.c": "int b(void); int a(void) { return b(); }",
               "base/text.c": "int a(void); int b(void) { return a(); }",
               "rules/lpm.c": "int c(void) { return 0; }",
               "base/error.c": "int c(void); int d(void) { return c(); }"}
    for name, text in sources.items():
        place = tree / "build/daemon" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["gcc", "-c", "-x", "c", "-", "-o", place.with_suffix(".o")],
                       input=text, text=True, check=True)
    assert faults(tree, "build") == [
        "daemon/base/error.c uses c() of daemon/rules/lpm.c, which is above it",
        "circle: daemon/base/log.c uses b() of daemon/base/text.c; "
        "daemon/base/text.c uses a() of daemon/base/log.c"]
