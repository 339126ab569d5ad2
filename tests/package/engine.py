"""podman and buildah with a storage of their own, in our mount namespace; nothing stays behind."""

import glob
import os
import subprocess
from contextlib import suppress

import source

# The base of the image, in place of one from a registry, so that nothing is fetched.
BASE = "localhost/holdfast-base"
IMAGE = "localhost/holdfast"
# Limits that podman can set where it runs without CAP_SYS_RESOURCE, and so can't raise any.
_LIMITS = ["--ulimit=nofile=20000:20000", "--ulimit=nproc=20000:20000"]


class Engine:
    """Makes images and runs containers."""

    def __init__(self, directory: str) -> None:
        self._storage = ["--root", os.path.join(directory, "storage"),
                         "--runroot", os.path.join(directory, "run"),
                         "--storage-driver=overlay"]
        self._podman = ["podman", *self._storage, "--tmpdir", os.path.join(directory, "tmp"),
                        "--runtime=runc", "--cgroup-manager=cgroupfs", "--events-backend=none"]
        self._running: dict[str, subprocess.Popen[str]] = {}
        self._cgroups = set(self._parents())

    @staticmethod
    def _parents() -> list[str]:
        return glob.glob("/sys/fs/cgroup/libpod_parent") + glob.glob(
            "/sys/fs/cgroup/*/libpod_parent")

    def podman(self, *arguments: str, status: int = 0) -> str:
        """Runs podman to its end. Returns its output."""
        done = subprocess.run([*self._podman, *arguments], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=120, check=False)
        assert done.returncode == status, (done.returncode, done.stdout)
        return done.stdout

    def execute(self, name: str, command: list[str], timeout: float,
                *options: str) -> tuple[int, str]:
        """Runs a command in a container. Returns exit status and output; TimeoutError."""
        try:
            done = subprocess.run([*self._podman, "exec", *options, name, *command],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, timeout=timeout,
                                  check=False)
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(f"{command}: {error}") from error
        return done.returncode, done.stdout

    def build(self, deb_build: str, archive: str) -> str:
        """Runs `make image` with the package in deb_build/deb, on a base that is in no registry."""
        self.podman("import", archive, BASE)
        return subprocess.run(
            ["make", "-C", source.TREE, f"BUILD={deb_build}", "image", f"BASE={BASE}",
             f"IMAGE={IMAGE}", f"BUILDAH=buildah {' '.join(self._storage)}"],
            env={**source.environment(), "BUILDAH_ISOLATION": "chroot"}, check=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout

    def size(self) -> int:
        """Returns the size of the image in bytes."""
        return int(self.podman("image", "inspect", "--format", "{{.Size}}", IMAGE))

    def run(self, name: str, arguments: list[str], log: str) -> None:
        """Starts a container in the background; arguments are its flags, image and command."""
        with open(log, "w", encoding="utf-8") as file:
            self._running[name] = subprocess.Popen(
                [*self._podman, "run", "--rm", "--name", name, *_LIMITS, *arguments],
                stdin=subprocess.PIPE, stdout=file, stderr=file, text=True)

    def finish(self, arguments: list[str]) -> tuple[int, str]:
        """Runs a container to its end. Returns its exit status and output."""
        done = subprocess.run([*self._podman, "run", "--rm", *_LIMITS, *arguments],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=120, check=False)
        return done.returncode, done.stdout

    def running(self, name: str) -> bool:
        """Whether a container still runs."""
        return name in self._running and self._running[name].poll() is None

    def stop(self, name: str, seconds: int = 10) -> int:
        """Stops a container as kubelet does, killing it where it takes longer. Returns its exit
        status."""
        self.podman("stop", f"--time={seconds}", name)
        return self._running.pop(name).wait(30)

    def close(self) -> None:
        """Removes all containers, and the control groups that podman has made."""
        with suppress(AssertionError, subprocess.TimeoutExpired):
            self.podman("rm", "--all", "--force", "--time=0")
        for process in self._running.values():
            process.kill()
            process.wait()
        for parent in set(self._parents()) - self._cgroups:
            for directory, _, _ in os.walk(parent, topdown=False):
                with suppress(OSError):
                    os.rmdir(directory)
