"""Fixtures: the packages, each built once, and what the system tests have.

Everything happens in folders, namespaces and mounts of our own.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from typing import Iterator

import pytest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "system"), os.path.join(HERE, "..", "vm")]

import source  # pylint: disable=wrong-import-position
from harness import mounts  # pylint: disable=wrong-import-position


@pytest.fixture(scope="session")
def session_dir() -> Iterator[str]:
    """A folder for the whole run, on mounts that the host doesn't see."""
    mounts.leave_host_mounts()
    directory = tempfile.mkdtemp(prefix="holdfast-package-")
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def workdir(session_dir: str) -> Iterator[str]:
    """A folder for one test."""
    with tempfile.TemporaryDirectory(dir=session_dir) as directory:
        yield directory


@pytest.fixture(scope="session")
def alone() -> list[str]:
    """A command that runs another one without network, and without the running kernel's BTF."""
    hide = ("set -e; mount -t tmpfs tmpfs /sys/kernel/btf; "
            "! test -e /sys/kernel/btf/vmlinux; ! ip route get 192.0.2.1 2> /dev/null; exec \"$@\"")
    return ["unshare", "--net", "--mount", "sh", "-c", hide, "sh"]


def _build(target: str, tree: str, build: str, alone: list[str]) -> str:
    done = subprocess.run([*alone, "make", "-C", tree, f"BUILD={build}", target],
                          env=source.environment(), stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, done.stdout
    return os.path.join(build, target)


@pytest.fixture(scope="session")
def deb_dir(session_dir: str, alone: list[str]) -> str:
    """The folder that `make deb` has filled."""
    return _build("deb", source.TREE, os.path.join(session_dir, "build"), alone)


@pytest.fixture(scope="session")
def rpm_dir(session_dir: str, alone: list[str]) -> str:
    """The folder that `make rpm` has filled."""
    return _build("rpm", source.TREE, os.path.join(session_dir, "build"), alone)


@pytest.fixture(scope="session")
def earlier_rpm_dir(session_dir: str, alone: list[str]) -> str:
    """The folder of an RPM of an earlier version, with another default configuration."""
    tree = os.path.join(session_dir, "earlier")
    source.copy_as(tree, source.LESS)
    return _build("rpm", tree, os.path.join(session_dir, "build-earlier"), alone)
