"""bash, zsh and fish complete verbs, options, columns, verdicts, and the rules in force."""

import os
import re
import subprocess
from typing import Callable, Iterator

import pytest

import shells
from harness import build
from harness.cgroup import Cgroup
from harness.config import rule
from rollout import DROPINS, Host

VERBS = {"status", "check", "explain", "probe", "reload", "metrics", "release"}
VERDICTS = {"held", "own", "probing", "exposed", "closed", "exempt"}
RULES = {"orders-db", "every.where"}
Shell = Callable[[str, dict[str, str]], set[str]]
Complete = Callable[[str], set[str]]

pytestmark = pytest.mark.parametrize("shell", [shells.bash, shells.zsh, shells.fish],
                                     ids=lambda shell: shell.__name__)


@pytest.fixture(name="host", scope="module")
def _host(session_dir: str) -> Iterator[Host]:
    """One with these rules in force; those on disk are others by now."""
    directory = os.path.join(session_dir, "completions")
    os.mkdir(directory)
    cgroup = Cgroup(f"holdfast-package-{os.getpid()}")
    host = Host(directory, cgroup)
    path = os.path.join(DROPINS, "rules.conf")
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write("".join(rule(name, f"192.0.2.{number}") for number, name
                               in enumerate(sorted(RULES))))
        assert host.run("holdfast", "reload")[0] == 0
        with open(path, "w", encoding="utf-8") as file:
            file.write(rule("on-disk"))
        yield host
    finally:
        host.close()
        cgroup.remove()


@pytest.fixture(name="complete")
def _complete(host: Host, shell: Shell) -> Complete:
    """A shell on that host."""
    return lambda line: shell(line, host.environment)


def said(*arguments: str) -> str:
    """A --help text."""
    return subprocess.run([build.HOLDFAST, *arguments, "--help"], capture_output=True, text=True,
                          check=True).stdout


def options(text: str) -> set[str]:
    """The options of a --help text."""
    return set(re.findall(r"(?<![\w-])(--[a-z][\w-]*|-[A-Za-z])(?![\w-])", text))


def test_verbs(complete: Complete) -> None:
    """All of them, and by their first letters."""
    assert complete("holdfast ") == VERBS
    assert complete("holdfast re") == {"reload", "release"}
    assert complete("holdfast --pin-dir /nowhere pro") == {"probe"}


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_options(complete: Complete, verb: str) -> None:
    """Those that the command has."""
    assert complete(f"holdfast {verb} -") == options(said(verb)) | {"-h", "--help"}


def test_options_of_all(complete: Complete) -> None:
    """Before the verb, and the daemon's."""
    assert complete("holdfast --") >= {"--pin-dir", "--help", "--version"}
    done = subprocess.run([build.HOLDFASTD, "--help"], capture_output=True, text=True, check=True)
    assert complete("holdfastd --") == options(done.stdout)


def test_columns(complete: Complete) -> None:
    """All of them; behind a comma one more."""
    columns = set(re.findall(r"^  ([A-Z][A-Z-]*) ", said("status").split("Columns:\n")[1],
                             re.MULTILINE))
    assert complete("holdfast status -o ") == columns
    assert complete("holdfast status -o RULE,PEER,USER") == {"RULE,PEER,USER-TIMEOUT"}
    assert complete("holdfast status -o +NEXT") == {"+NEXT-PROBE"}


@pytest.mark.parametrize("verb", ["status", "probe"])
def test_filters(complete: Complete, verb: str) -> None:
    """Rules and verdicts."""
    assert complete(f"holdfast {verb} ") == RULES | VERDICTS
    assert complete(f"holdfast {verb} orders") == {"orders-db"}
    assert complete(f"holdfast {verb} ex") == {"exposed", "exempt"}


def test_rules_without_a_daemon(complete: Complete, workdir: str) -> None:
    """Where none are in force, those that would be."""
    assert complete(f"holdfast --pin-dir {workdir} status ") == {"on-disk"} | VERDICTS


def test_files(complete: Complete, workdir: str) -> None:
    """Where a file is wanted, files; where a folder is, folders."""
    path = os.path.join(workdir, "new.conf")
    with open(path, "w", encoding="utf-8") as file:
        file.write(rule("a"))
    os.mkdir(os.path.join(workdir, "nest"))
    for line in (f"holdfast check {workdir}/new", f"holdfast explain --config {workdir}/new",
                 f"holdfastd --config {workdir}/new"):
        assert complete(line) == {path}, line
    for line in (f"holdfast --pin-dir {workdir}/ne", f"holdfastd --cgroup {workdir}/ne"):
        assert {name.rstrip("/") for name in complete(line)} == {f"{workdir}/nest"}, line
