"""A copy of the source tree that mutants are made in; the tree itself is never touched."""

import fcntl
import os
import shutil
import subprocess
from contextlib import contextmanager, suppress
from typing import Iterator

# The optimisation of the tests' other builds, which is faster to build than a release's.
FLAGS = ["CFLAGS=-O1 -g"]
BUILD_TIMEOUT = 600


class DoesNotBuild(Exception):
    """Raised where make fails; has the output of make."""


def tracked(tree: str) -> list[str]:
    """Returns all files of a work tree that are, or could be, committed."""
    done = subprocess.run(["git", "-C", tree, "ls-files", "-z", "-co", "--exclude-standard"],
                          stdout=subprocess.PIPE, check=True)
    names = (name.decode() for name in done.stdout.split(b"\0") if name)
    return [name for name in names if os.path.lexists(os.path.join(tree, name))]


def changed_since(tree: str, revision: str) -> set[str]:
    """Returns the files of a work tree that differ from a revision."""
    done = subprocess.run(["git", "-C", tree, "diff", "--name-only", revision],
                          stdout=subprocess.PIPE, text=True, check=True)
    return set(done.stdout.splitlines())


def _same(a: str, b: str) -> bool:
    if os.path.islink(a) or os.path.islink(b) or not os.path.exists(b):
        return False
    if os.stat(a).st_mode != os.stat(b).st_mode:
        return False
    with open(a, "rb") as one, open(b, "rb") as other:
        return one.read() == other.read()


class Copy:
    """A copy of a tree. Unchanged files aren't written again, so that make has little to build."""

    def __init__(self, tree: str, directory: str) -> None:
        self.directory = directory
        os.makedirs(directory, exist_ok=True)
        self._lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # BlockingIOError: in use
        try:
            self._sync(tree)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Copy":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Releases the copy for another run."""
        os.close(self._lock)

    @property
    def build_dir(self) -> str:
        """The folder of the copy's programs."""
        return os.path.join(self.directory, "build")

    def path(self, name: str) -> str:
        """Returns the path of a file in the copy."""
        return os.path.join(self.directory, name)

    def _sync(self, tree: str) -> None:
        wanted = set(tracked(tree))
        for name in wanted:
            source, target = os.path.join(tree, name), self.path(name)
            if not _same(source, target):
                os.makedirs(os.path.dirname(target), exist_ok=True)
                with suppress(FileNotFoundError):
                    os.unlink(target)
                shutil.copy(source, target, follow_symlinks=False)
        for folder, folders, names in os.walk(self.directory):
            if folder == self.directory:
                folders[:] = [name for name in folders if name != "build"]
            for name in names:
                path = os.path.join(folder, name)
                if os.path.relpath(path, self.directory) not in wanted:
                    os.unlink(path)

    @contextmanager
    def changed(self, name: str, text: str) -> Iterator[None]:
        """Has a file with this text for the length of the `with` block."""
        before = self.read(name)
        try:
            self._write(name, text)
            yield
        finally:
            self._write(name, before)

    def read(self, name: str) -> str:
        """Returns the text of a file in the copy."""
        with open(self.path(name), encoding="utf-8") as file:
            return file.read()

    def _write(self, name: str, text: str) -> None:
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)

    def build(self, *targets: str) -> None:
        """Builds targets with make; DoesNotBuild where that fails."""
        # The options of the make that runs this must not reach the other one.
        environment = {key: value for key, value in os.environ.items()
                       if not key.startswith(("MAKE", "MFLAGS"))}
        jobs = len(os.sched_getaffinity(0))
        made = subprocess.run(
            ["make", "--no-print-directory", f"-j{jobs}", "-C", self.directory, "BUILD=build",
             "SANITIZE=0", *FLAGS, *targets],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment,
            timeout=BUILD_TIMEOUT, check=False)
        if made.returncode != 0:
            raise DoesNotBuild(made.stdout)
