"""A host on which rules are rolled out, with configuration and pins at their usual places.

Both exist in our mount namespace only. The daemon enforces on one control group.
"""

import os
import subprocess

from harness import build, mounts
from harness.cgroup import Cgroup
from harness.process import spawn, stop
from harness.wait import wait_for

DROPINS = "/etc/holdfast/holdfast.conf.d"
PIN_DIR = "/sys/fs/bpf/holdfast"


class Host:
    """A host with a running holdfastd, and with holdfast in the path."""

    def __init__(self, directory: str, cgroup: Cgroup) -> None:
        self.directory = directory
        self._etc, self._work = (os.path.join(directory, name) for name in ("etc", "etc-work"))
        for name in (self._etc, self._work):
            os.mkdir(name)
        subprocess.run(["mount", "-t", "overlay", "overlay", "/etc", "-o",
                        f"lowerdir=/etc,upperdir={self._etc},workdir={self._work}"], check=True)
        mounts.mount("bpf", "/sys/fs/bpf")
        os.makedirs(DROPINS)
        self.environment = {**os.environ,
                            "PATH": f"{os.path.dirname(build.HOLDFAST)}:{os.environ['PATH']}"}
        self._log = os.path.join(directory, "holdfastd.log")
        with open(self._log, "wb") as log:
            self._daemon = spawn([build.HOLDFASTD, "--cgroup", cgroup.directory],
                                 stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for(lambda: "ready: " in self.log, "the daemon is ready", timeout=20)

    @property
    def log(self) -> str:
        """What the daemon has logged."""
        with open(self._log, encoding="utf-8") as file:
            return file.read()

    def run(self, *argv: str, **environment: str) -> tuple[int, str]:
        """Runs a program in the folder of this test. Returns its exit status and output."""
        done = subprocess.run(argv, cwd=self.directory, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              env={**self.environment, **environment}, check=False)
        return done.returncode, done.stdout

    def files(self) -> dict[str, str]:
        """Returns the drop-in files of the configuration with their text."""
        found = {}
        for name in os.listdir(DROPINS):
            with open(os.path.join(DROPINS, name), encoding="utf-8") as file:
                found[name] = file.read()
        return found

    def close(self) -> None:
        """Stops the daemon and unmounts its places."""
        stop(self._daemon)
        for directory in ("/sys/fs/bpf", "/etc"):
            mounts.unmount(directory)
