"""The source tree, and copies of it that pass for another version."""

import os
import re
import shutil
import subprocess

TREE = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
# A number for this source that is less than its own.
LESS = "0.9.9"
# The release before this one, and the commit that was it.
EARLIER = "0.1.0"
EARLIER_COMMIT = "95d0d8574bc4885f167e5b10f493dabf3370be61"
_PARTS = ("Makefile", "LICENSE", "README.md", "bpf", "daemon", "tests", "packaging")


def version() -> str:
    """Returns the version in the Makefile."""
    with open(os.path.join(TREE, "Makefile"), encoding="utf-8") as file:
        match = re.search(r"^VERSION := (\S+)$", file.read(), re.MULTILINE)
    assert match
    return match[1]


def environment() -> dict[str, str]:
    """Returns an environment for a separate make, without the options of the make that runs the
    tests."""
    return {key: value for key, value in os.environ.items()
            if not key.startswith(("MAKE", "MFLAGS", "HF_"))
            and key not in ("BUILD", "CC", "CFLAGS", "SANITIZE", "VERSION")}


def _edit(path: str, old: str, new: str) -> None:
    with open(path, encoding="utf-8") as file:
        text = file.read()
    assert old in text, path
    with open(path, "w", encoding="utf-8") as file:
        file.write(text.replace(old, new))


def copy_as(directory: str, other: str) -> None:
    """Copies the source as another version, with one line more in its default configuration."""
    os.makedirs(directory)
    for name in _PARTS:
        path, target = os.path.join(TREE, name), os.path.join(directory, name)
        if os.path.isdir(path):
            shutil.copytree(path, target, symlinks=True,
                            ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(path, target)
    now = version()
    if other == now:
        return
    _edit(os.path.join(directory, "Makefile"), f"VERSION := {now}", f"VERSION := {other}")
    _edit(os.path.join(directory, "packaging/debian/changelog"), f"({now})", f"({other})")
    _edit(os.path.join(directory, "packaging/rpm/holdfast.spec"), now, other)
    with open(os.path.join(directory, "packaging/holdfast.conf"), "a", encoding="utf-8") as file:
        file.write(f"\n# As version {other} had it.\n")


def earlier(directory: str) -> str | None:
    """Puts the source of the release before this one into a folder. Returns None, or why it can't be
    had, and then there is no folder."""
    git = ["git", "-c", "safe.directory=*", "-C", TREE, "archive", EARLIER_COMMIT]
    done = subprocess.run(git, check=False, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode:
        return f"the commit of {EARLIER} isn't there: {done.stderr.decode().strip()}"
    os.makedirs(directory)
    subprocess.run(["tar", "-xC", directory], check=True, input=done.stdout)
    return None


def least_kernel() -> str:
    """Returns the oldest kernel that README.md names as supported."""
    with open(os.path.join(TREE, "README.md"), encoding="utf-8") as file:
        found = re.search(r"\*\*Kernels below (\d+\.\d+)\*\*", file.read())
    assert found
    return found[1]
