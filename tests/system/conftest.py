"""Fixtures: each test gets namespaces, control groups and a pin dir of its own.

Nothing of the host is changed. What a test made is removed after it, and the
kernel removes all of it with this process (empty control groups excepted).
"""

import itertools
import os
import shutil
import sys
import tempfile
from contextlib import ExitStack
from typing import Callable, Iterator

import pytest

sys.dont_write_bytecode = True

from harness import build, mariadb, mounts, recorder  # pylint: disable=wrong-import-position
from harness.cgroup import Cgroup  # pylint: disable=wrong-import-position
from harness.config import PORT  # pylint: disable=wrong-import-position
from harness.command import Command  # pylint: disable=wrong-import-position
from harness.daemon import Daemon  # pylint: disable=wrong-import-position
from harness.netns import Netns  # pylint: disable=wrong-import-position
from harness.sockets import Agent, Listener  # pylint: disable=wrong-import-position

_numbers = itertools.count(1)


def pytest_sessionstart() -> None:
    """Says at once what is missing."""
    if os.geteuid() != 0:
        pytest.exit("the system tests need root", returncode=2)
    for program in (build.HOLDFASTD, build.HOLDFAST):
        if not os.access(program, os.X_OK):
            pytest.exit(f"{program} is missing: make first, or set HF_BUILD", returncode=2)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What has been recorded over all tests is looked at after all tests."""
    items.sort(key=lambda item: "test_recorded.py" in item.nodeid)


@pytest.fixture(scope="session")
def session_dir() -> Iterator[str]:
    """A folder for all of this run, on mounts that the host doesn't see."""
    mounts.leave_host_mounts()
    directory = tempfile.mkdtemp(prefix="holdfast-test-")
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="session", autouse=True)
def recording(session_dir: str) -> Iterator[recorder.Recorder | OSError | None]:
    """Where it was asked for: what all daemons do, or why that can't be recorded."""
    try:
        made = recorder.Recorder(os.path.join(session_dir, "trace")) if recorder.ASKED else None
    except OSError as error:
        yield error
        return
    yield made
    if made:
        made.stop()


@pytest.fixture(scope="session")
def bpffs(session_dir: str) -> Iterator[str]:
    """A bpffs of our own."""
    directory = os.path.join(session_dir, "bpf")
    mounts.mount("bpf", directory)
    yield directory
    mounts.unmount(directory)


@pytest.fixture(scope="session")
def mariadb_files(session_dir: str) -> str:
    """The folder of a new MariaDB server, to copy."""
    directory = os.path.join(session_dir, "mariadb")
    mariadb.prepare(directory)
    return directory


@pytest.fixture
def workdir(session_dir: str) -> Iterator[str]:
    """A folder for one test."""
    directory = os.path.join(session_dir, f"test-{next(_numbers)}")
    os.mkdir(directory)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def make_cgroup() -> Iterator[Callable[..., Cgroup]]:
    """Makes control groups, by default below the root, removed after the test."""
    with ExitStack() as stack:
        def make(name: str | None = None, parent: Cgroup | None = None) -> Cgroup:
            made = Cgroup(name or f"holdfast-test-{os.getpid()}-{next(_numbers)}", parent)
            stack.callback(made.remove)
            return made

        yield make


@pytest.fixture
def cgroup(make_cgroup: Callable[..., Cgroup]) -> Cgroup:
    """The control group that holdfastd is told to enforce on."""
    return make_cgroup()


@pytest.fixture
def make_netns() -> Iterator[Callable[[], Netns]]:
    """Makes network namespaces, let go of after the test."""
    with ExitStack() as stack:
        def make() -> Netns:
            made = Netns()
            stack.callback(made.close)
            return made

        yield make


@pytest.fixture
def netns(make_netns: Callable[[], Netns]) -> Netns:
    """A network namespace in which only `lo` is there."""
    return make_netns()


@pytest.fixture
def named_netns(session_dir: str) -> Iterator[Netns]:
    """A network namespace as `ip netns add` makes them, its name known to us alone."""
    created = not os.path.isdir("/run/netns")
    mounts.mount("tmpfs", "/run/netns")
    try:
        netns = Netns("holdfast")
        yield netns
        netns.close()
    finally:
        mounts.unmount("/run/netns")
        if created:
            os.rmdir("/run/netns")


@pytest.fixture
def make_agent() -> Iterator[Callable[..., Agent]]:
    """Starts processes that open sockets on order."""
    with ExitStack() as stack:
        def make(netns: Netns | None, cgroup: Cgroup | None, *through: str) -> Agent:
            made = Agent(netns, cgroup, through)
            stack.callback(made.close)
            return made

        yield make


@pytest.fixture
def agent(make_agent: Callable[..., Agent], netns: Netns, cgroup: Cgroup) -> Agent:
    """An application that holdfast looks after."""
    return make_agent(netns, cgroup)


@pytest.fixture
def outsider(make_agent: Callable[..., Agent], netns: Netns) -> Agent:
    """An application in the same namespace, but outside the control group."""
    return make_agent(netns, None)


@pytest.fixture
def listener(outsider: Agent) -> Listener:
    """A server on PORT of every address, outside the control group."""
    return outsider.listen(PORT)


@pytest.fixture
def make_daemon(workdir: str, bpffs: str, cgroup: Cgroup) -> Iterator[Callable[..., Daemon]]:
    """Makes daemons, not started yet, each with a pin dir of its own if not told otherwise."""
    with ExitStack() as stack:
        def make(cgroup: Cgroup = cgroup, pin_dir: str | None = None,
                 netns: Netns | None = None) -> Daemon:
            number = next(_numbers)
            directory = os.path.join(workdir, f"daemon-{number}")
            os.mkdir(directory)
            made = Daemon(directory, cgroup, pin_dir or os.path.join(bpffs, f"pins-{number}"),
                          netns)
            if not pin_dir:
                stack.callback(shutil.rmtree, made.pin_dir, ignore_errors=True)
            stack.callback(made.close)
            # Shown where the test has failed.
            stack.callback(lambda: print(f"--- holdfastd of {made.pin_dir}\n{made.log}"))
            return made

        yield make


@pytest.fixture
def daemon(make_daemon: Callable[..., Daemon]) -> Daemon:
    """A holdfastd, not started yet."""
    return make_daemon()


@pytest.fixture
def holdfast(daemon: Daemon) -> Command:
    """The command, on the daemon's pin dir."""
    return Command(daemon.pin_dir)
