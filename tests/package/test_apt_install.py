"""packaging/apt-install: no package starts a service, and nothing is left behind."""

import os
import signal
import subprocess
import time

import pytest

from harness.wait import wait_for

APT_INSTALL = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", "packaging",
                                           "apt-install"))
# With a folder of the test's own in place of /usr/sbin, which others don't see.
_ALONE = 'mount --bind "$0" /usr/sbin && exec "$@"'
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
ADMINISTRATORS = "#!/bin/sh\nexit 0\n"


def _heed_signals() -> None:
    """A shell can't trap what was ignored when it began, as in a job in the background."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)


class Install:
    """Runs it with another apt-get, which notes the policy that it finds."""

    def __init__(self, directory: str) -> None:
        self._sbin, tools = os.path.join(directory, "sbin"), os.path.join(directory, "bin")
        os.mkdir(self._sbin)
        os.mkdir(tools)
        self.policy = os.path.join(self._sbin, "policy-rc.d")
        self._found, self._directory = os.path.join(directory, "found"), directory
        self.waits = os.path.join(directory, "waits")
        with open(os.path.join(tools, "apt-get"), "w", encoding="ascii") as file:
            file.write(f"#!/bin/sh\ncat /usr/sbin/policy-rc.d > {self._found}\n"
                       f"[ ! -e {self.waits} ] || exec sleep 30\n")
        os.chmod(os.path.join(tools, "apt-get"), 0o755)
        self._environment = {**os.environ, "PATH": f"{tools}:/usr/bin:/bin",
                             "TMPDIR": directory}

    def start(self) -> subprocess.Popen:
        """Starts it, in a process group of its own."""
        return subprocess.Popen(  # pylint: disable=consider-using-with
            ["unshare", "--mount", "sh", "-c", _ALONE, self._sbin, APT_INSTALL, "some-package"],
            env=self._environment, stdin=subprocess.DEVNULL, start_new_session=True,
            preexec_fn=_heed_signals)

    def run(self) -> int:
        """Runs it to its end. Returns its exit status."""
        return self.start().wait(30)

    @property
    def found(self) -> str:
        """The policy that apt-get has found; '' before it has run."""
        if not os.path.exists(self._found):
            return ""
        with open(self._found, encoding="ascii") as file:
            return file.read()

    def left(self) -> list[str]:
        """What it has left: the policy, and temporary files."""
        return [name for name in os.listdir(self._directory)
                if name.startswith("tmp.")] + os.listdir(self._sbin)


@pytest.fixture(name="install")
def _install(workdir: str) -> Install:
    return Install(workdir)


def test_no_service_starts(install: Install) -> None:
    """While packages are installed, a policy forbids to start services; then it goes."""
    assert install.run() == 0
    assert "exit 101" in install.found
    assert install.left() == []


@pytest.mark.parametrize("number", SIGNALS)
def test_interrupted(install: Install, number: signal.Signals) -> None:
    """Ctrl-C, as all other signals, leaves nothing behind."""
    with open(install.waits, "wb"):
        pass
    process = install.start()
    wait_for(lambda: install.found, "apt-get runs")
    time.sleep(0.1)
    os.killpg(process.pid, number)
    assert process.wait(30) in (128 + number, -number)
    assert install.left() == []


def test_killed_before(install: Install) -> None:
    """What a run left that was killed isn't taken for the administrator's."""
    with open(install.waits, "wb"):
        pass
    process = install.start()
    wait_for(lambda: install.found, "apt-get runs")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(30)
    assert os.path.exists(install.policy)
    os.unlink(install.waits)
    assert install.run() == 0
    assert not os.path.exists(install.policy)


def test_administrators(install: Install) -> None:
    """A policy of the administrator's stays in force, and stays."""
    with open(install.policy, "w", encoding="ascii") as file:
        file.write(ADMINISTRATORS)
    os.chmod(install.policy, 0o755)
    assert install.run() == 0
    assert install.found == ADMINISTRATORS
    with open(install.policy, encoding="ascii") as file:
        assert file.read() == ADMINISTRATORS
