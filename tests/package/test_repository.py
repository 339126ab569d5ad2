"""`make repository`: apt installs from it what its key has signed, and nothing else."""

import glob
import os
import subprocess
from typing import Iterator

import pytest

import gnupg
import source

KEY = "maintainer@holdfast.invalid"


class Apt:
    """apt with a state of its own, which knows one repository."""

    def __init__(self, directory: str, line: str) -> None:
        self._root = os.path.join(directory, "apt")
        for name in ("state/lists/partial", "cache/archives/partial", "etc/sources.list.d"):
            os.makedirs(os.path.join(self._root, name))
        with open(os.path.join(self._root, "status"), "w", encoding="ascii"):
            pass
        with open(os.path.join(self._root, "etc/sources.list"), "w", encoding="utf-8") as file:
            file.write(line + "\n")

    def __call__(self, *arguments: str, cwd: str | None = None) -> subprocess.CompletedProcess[str]:
        """Runs apt-get; its errors and warnings are part of its output."""
        settings = {"Dir::State": "state", "Dir::State::status": "status", "Dir::Cache": "cache",
                    "Dir::Etc": "etc"}
        options = [f"-o{name}={self._root}/{value}" for name, value in settings.items()]
        return subprocess.run(["apt-get", *options, "-oAPT::Sandbox::User=root",
                               "-oAPT::Update::Error-Mode=any", *arguments], cwd=cwd, check=False,
                              text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def make(directory: str, debs: list[str], *words: str, home: str) -> str:
    """Runs `make repository`. Returns its folder."""
    subprocess.run(["make", "-C", source.TREE, f"BUILD={directory}", "RELEASE=bookworm",
                    f"DEBS={' '.join(debs)}", *words, "repository"], check=True,
                   env={**source.environment(), "GNUPGHOME": home}, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    return os.path.join(directory, "repository")


@pytest.fixture(name="home", scope="module")
def _home(session_dir: str) -> Iterator[str]:
    """A folder of gpg's with a key that signs."""
    with gnupg.key(os.path.join(session_dir, "gnupg-repository"), KEY) as home:
        yield home


@pytest.fixture(name="debs", scope="module")
def _debs(deb_dir: str) -> list[str]:
    """The packages that go into it."""
    return sorted(glob.glob(os.path.join(deb_dir, "holdfast*.deb")))


@pytest.fixture(name="made")
def _made(workdir: str, debs: list[str], home: str) -> str:
    """A signed repository."""
    return make(os.path.join(workdir, "build"), debs, f"KEY={KEY}", home=home)


def line(made: str, signed: bool = True) -> str:
    """Returns what `make repository` says to write."""
    option = f"signed-by={made}/holdfast.asc" if signed else "trusted=yes"
    return f"deb [{option}] file:{made} bookworm main"


def test_signed(workdir: str, made: str, debs: list[str]) -> None:
    """With the key, apt knows the packages, and what it fetches are the same bytes."""
    apt = Apt(workdir, line(made))
    done = apt("update")
    assert done.returncode == 0, done.stdout
    done = apt("download", "holdfast", cwd=workdir)
    assert done.returncode == 0, done.stdout
    (deb,) = [path for path in debs if "dbgsym" not in path]
    with open(deb, "rb") as file, open(os.path.join(workdir, os.path.basename(deb)), "rb") as copy:
        assert copy.read() == file.read()


@pytest.mark.parametrize("change", ["packages", "release", "key"])
def test_another_hand(workdir: str, made: str, change: str) -> None:
    """What somebody else has changed or signed is refused."""
    if change == "packages":
        (path,) = glob.glob(f"{made}/dists/bookworm/main/binary-*/Packages")
        os.unlink(f"{path}.gz")
    elif change == "release":
        path = f"{made}/dists/bookworm/InRelease"
    if change == "key":
        with gnupg.key(os.path.join(workdir, "other"), "other@holdfast.invalid") as other, \
                open(f"{made}/holdfast.asc", "wb") as file:
            subprocess.run(["gpg", "--armor", "--export"], check=True, stdout=file,
                           env={**os.environ, "GNUPGHOME": other})
    else:
        with open(path, encoding="utf-8") as text:
            changed = text.read().replace("holdfast", "holdfest")
        with open(path, "w", encoding="utf-8") as text:
            text.write(changed)
    done = Apt(workdir, line(made))("update")
    assert done.returncode != 0, done.stdout


def test_unsigned(workdir: str, debs: list[str], home: str) -> None:
    """Without a key nothing is signed, and apt has to be told to trust it."""
    made = make(os.path.join(workdir, "build"), debs, home=home)
    assert sorted(os.listdir(f"{made}/dists/bookworm")) == ["Release", "main"]
    done = Apt(workdir, line(made, signed=False))("update")
    assert done.returncode == 0, done.stdout


def test_releases(workdir: str, made: str, debs: list[str], home: str) -> None:
    """Packages for another release stand beside those that are there."""
    make(os.path.join(workdir, "build"), debs, f"KEY={KEY}", "RELEASE=trixie", home=home)
    assert sorted(os.listdir(f"{made}/dists")) == ["bookworm", "trixie"]
    done = Apt(workdir, line(made))("update")
    assert done.returncode == 0, done.stdout


def test_no_package(workdir: str) -> None:
    """Without a package it says which command makes one."""
    done = subprocess.run(["make", "-C", source.TREE, f"BUILD={workdir}/build", "DEBS=",
                           "repository"], check=False, text=True, env=source.environment(),
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode != 0 and "make deb first" in done.stdout
    assert not os.path.exists(f"{workdir}/build/repository")
