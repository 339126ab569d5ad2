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

VERBS = {"status", "check", "preview", "explain", "probe", "reload", "metrics", "release",
         "measure", "report"}
VERDICTS = {"held", "own", "probing", "exposed", "closed", "exempt"}
RULES = {"orders-db", "every.where"}
Shell = Callable[[str, dict[str, str]], set[str]]
Complete = Callable[[str], set[str]]

pytestmark = pytest.mark.parametrize("shell", [shells.bash, shells.zsh, shells.fish],
                                     ids=lambda shell: shell.__name__)


@pytest.fixture(name="host", scope="module")
def _host(session_dir: str) -> Iterator[Host]:
    """A host with RULES in force, and another rule on disk."""
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
    """A function that returns the shell's completions of a line on that host."""
    return lambda line: shell(line, host.environment)


def said(*arguments: str) -> str:
    """Returns a --help text."""
    return subprocess.run([build.HOLDFAST, *arguments, "--help"], capture_output=True, text=True,
                          check=True).stdout


def options(text: str) -> set[str]:
    """Returns the options of a --help text."""
    return set(re.findall(r"(?<![\w-])(--[a-z][\w-]*|-[A-Za-z])(?![\w-])", text))


def test_verbs(complete: Complete) -> None:
    """All verbs are completed, also by their first letters and behind options."""
    assert complete("holdfast ") == VERBS
    assert complete("holdfast re") == {"reload", "release", "report"}
    assert complete("holdfast --pin-dir /nowhere pro") == {"probe"}


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_options(complete: Complete, verb: str) -> None:
    """A verb's own options are completed, and no others."""
    assert complete(f"holdfast {verb} -") == options(said(verb)) | {"-h", "--help"}


def test_options_of_all(complete: Complete) -> None:
    """The options before a verb are completed, and those of the daemon."""
    assert complete("holdfast --") >= {"--pin-dir", "--help", "--version"}
    done = subprocess.run([build.HOLDFASTD, "--help"], capture_output=True, text=True, check=True)
    assert complete("holdfastd --") == options(done.stdout)


def test_columns(complete: Complete) -> None:
    """All columns are completed, also behind a comma or a plus sign."""
    columns = set(re.findall(r"^  ([A-Z][A-Z-]*) ", said("status").split("Columns:\n")[1],
                             re.MULTILINE))
    assert complete("holdfast status -o ") == columns
    assert complete("holdfast status -o RULE,PEER,USER") == {"RULE,PEER,USER-TIMEOUT"}
    assert complete("holdfast status -o +NEXT") == {"+NEXT-PROBE"}


@pytest.mark.parametrize("verb", ["status", "probe"])
def test_filters(complete: Complete, verb: str) -> None:
    """FILTER is completed with the rules in force and the verdicts."""
    assert complete(f"holdfast {verb} ") == RULES | VERDICTS
    assert complete(f"holdfast {verb} orders") == {"orders-db"}
    assert complete(f"holdfast {verb} ex") == {"exposed", "exempt"}


def test_command_behind_measure(complete: Complete, workdir: str) -> None:
    """Behind `--` is a command of its own, with its own completions."""
    path = os.path.join(workdir, "client")
    with open(path, "w", encoding="ascii") as file:
        file.write("#!/bin/sh\n")
    os.chmod(path, 0o755)
    assert complete(f"holdfast measure --from 60s 10.0.0.1:3306 -- {workdir}/cli") == {path}
    assert complete(f"holdfast measure 10.0.0.1:3306 -- cat {workdir}/cli") == {path}


def test_rules_without_a_daemon(complete: Complete, workdir: str) -> None:
    """Where no rules are in force, those of the configuration are completed."""
    assert complete(f"holdfast --pin-dir {workdir} status ") == {"on-disk"} | VERDICTS


def test_files(complete: Complete, workdir: str) -> None:
    """Files are completed where an option takes a file, folders where it takes a folder."""
    path = os.path.join(workdir, "new.conf")
    with open(path, "w", encoding="utf-8") as file:
        file.write(rule("a"))
    os.mkdir(os.path.join(workdir, "nest"))
    for line in (f"holdfast check {workdir}/new", f"holdfast explain --config {workdir}/new",
                 f"holdfastd --config {workdir}/new"):
        assert complete(line) == {path}, line
    for line in (f"holdfast --pin-dir {workdir}/ne", f"holdfastd --cgroup {workdir}/ne"):
        assert {name.rstrip("/") for name in complete(line)} == {f"{workdir}/nest"}, line
