"""What the texts for people name is there: files of the tree, make targets, modules of tests."""

import glob
import os
import re

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
TREE = os.path.dirname(os.path.dirname(HERE))
TEXTS = ["README.md", "packaging/NEWS.md", ".github/CONTRIBUTING.md", ".github/SECURITY.md"]
WORKFLOWS = sorted(os.path.relpath(path, TREE)
                   for path in glob.glob(os.path.join(TREE, ".github/workflows/*.yml")))
TOP = ("bpf/", "daemon/", "tests/", "packaging/", ".ci/", ".github/")
# What is written with a placeholder, or made by a build.
_MADE = re.compile(r"NAME|\*|^build/")


def read(name: str) -> str:
    """Returns the text of a file of the tree."""
    with open(os.path.join(TREE, name), encoding="utf-8") as file:
        return file.read()


def named(text: str) -> set[str]:
    """Returns the paths that a text names: those below a folder of the tree, and those behind a
    picture or a link."""
    words = re.findall(r"[\w.*/-]+", text)
    return {word.rstrip(".").rstrip("/") for word in words if word.startswith(TOP)
            and not _MADE.search(word)} | {
        link for link in re.findall(r"\]\(([^)#:]+)\)", text)}


def targets() -> set[str]:
    """Returns the targets of the makefiles."""
    found = set()
    for path in [os.path.join(TREE, "Makefile"), *glob.glob(os.path.join(TREE, "*", "*.mk")),
                 *glob.glob(os.path.join(TREE, "*", "*", "*.mk"))]:
        for line in re.findall(r"^([a-z][\w -]*):(?!=)", read(os.path.relpath(path, TREE)),
                               re.MULTILINE):
            found |= set(line.split())
    return found


def wanted(text: str) -> set[str]:
    """Returns the targets that a text has people make."""
    calls = re.findall(r"(?<![\w-])make((?: [a-z][a-z-]*| [A-Z_]+=\S*)+)(?=[`\n&;,.: ]|$)", text)
    return {word for call in calls for word in call.split() if "=" not in word}


@pytest.mark.parametrize("name", TEXTS)
def test_files(name: str) -> None:
    """Each file and folder that a text names is there."""
    found = named(read(name))
    missing = [path for path in sorted(found) if not os.path.exists(os.path.join(TREE, path))]
    assert not missing


@pytest.mark.parametrize("name", [".github/CONTRIBUTING.md", ".github/SECURITY.md"])
def test_modules(name: str) -> None:
    """Each module of tests and each source that a text names alone is there."""
    for word in set(re.findall(r"`(\w+\.(?:py|c|h|json))`", read(name))):
        assert glob.glob(os.path.join(TREE, "**", word), recursive=True), word


@pytest.mark.parametrize("name", [*TEXTS, *WORKFLOWS])
def test_targets(name: str) -> None:
    """Each target that a text or a workflow has made is one of the makefiles'."""
    # Only what is marked as code, or is run.
    code = r"```.*?```|`[^`\n]+`" if name.endswith(".md") else r"run: .*"
    text = "\n".join(part for part in re.findall(code, read(name), re.DOTALL if
                                                 name.endswith(".md") else 0)
                     if " install " not in part or name.endswith(".md"))
    assert wanted(text) <= targets()


def test_workflows_matrix() -> None:
    """So is each that the nightly run names in its matrix."""
    lists = re.findall(r"target: \[(.*)\]", read(".github/workflows/nightly.yml"))
    names = {word.split()[0] for one in lists for word in re.findall(r'"([^"]+)"|([\w-]+)', one)
             for word in word if word}
    assert len(lists) == 2 and names <= targets()
