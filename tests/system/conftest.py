"""Fixtures: each test gets namespaces, control groups and a pin dir of its own.

Nothing of the host is changed. Each test's objects are removed after it, and the kernel removes all
of them with this process, except empty control groups.
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
_crashes: list[object] = []


def pytest_sessionstart() -> None:
    """Fails at once where something that the tests need is missing."""
    if os.geteuid() != 0:
        pytest.exit("the system tests need root", returncode=2)
    for program in (build.HOLDFASTD, build.HOLDFAST):
        if not os.access(program, os.X_OK):
            pytest.exit(f"{program} is missing: make first, or set HF_BUILD", returncode=2)


@pytest.hookimpl(trylast=True)  # after others have been deselected
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Moves the tests that look at the record of the whole run to the end, and to the beginning
    those that wait the longest, so that nobody waits for the last of them alone."""
    items.sort(key=lambda item: "test_recorded.py" in item.nodeid)
    markers = [(item, item.get_closest_marker("waits")) for item in items]
    first = [item for item, waits in markers if waits and waits.kwargs.get("first")]
    others = [item for item in items if item not in first]
    for number, item in enumerate(first):
        others.insert(3 * number, item)  # pytest-xdist hands out a few at a time
    items[:] = others


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(error: object) -> None:
    """Called when a process that runs tests beside others has ended, by pytest-xdist, for which a
    crash between tests is no failure."""
    if error:
        _crashes.append(error)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fails the run where such a process has crashed."""
    if _crashes and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def session_dir() -> Iterator[str]:
    """A folder for the whole run, on mounts that the host doesn't see."""
    mounts.leave_host_mounts()
    directory = tempfile.mkdtemp(prefix="holdfast-test-")
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="session", autouse=True)
def recording(session_dir: str) -> Iterator[recorder.Recorder | OSError | None]:
    """The recorder of all daemons where HF_RECORD asks for it, or the reason why the kernel can't
    record."""
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
    """A bpffs that the host doesn't see."""
    directory = os.path.join(session_dir, "bpf")
    mounts.mount("bpf", directory)
    yield directory
    mounts.unmount(directory)


@pytest.fixture(scope="session")
def mariadb_files(session_dir: str) -> str:
    """A folder with the files of a new MariaDB server, to copy."""
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
    """Makes control groups, by default below the root, and removes them after the test."""
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
    """Makes network namespaces, and closes them after the test."""
    with ExitStack() as stack:
        def make() -> Netns:
            made = Netns()
            stack.callback(made.close)
            return made

        yield make


@pytest.fixture
def netns(make_netns: Callable[[], Netns]) -> Netns:
    """A network namespace with `lo` alone."""
    return make_netns()


@pytest.fixture
def named_netns(session_dir: str) -> Iterator[Netns]:
    """A network namespace made by `ip netns add`; its name doesn't show on the host."""
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
    """An application inside the control group that holdfast enforces on."""
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
    """Makes daemons without starting them, by default with a pin dir of their own."""
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
            # pytest shows this where the test has failed.
            stack.callback(lambda: print(f"--- holdfastd of {made.pin_dir}\n{made.log}"))
            return made

        yield make


@pytest.fixture
def daemon(make_daemon: Callable[..., Daemon]) -> Daemon:
    """A holdfastd that isn't started yet."""
    return make_daemon()


@pytest.fixture
def holdfast(daemon: Daemon) -> Command:
    """The holdfast command on the daemon's pin dir."""
    return Command(daemon.pin_dir)
