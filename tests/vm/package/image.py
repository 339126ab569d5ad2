"""The root file system of the virtual machine: a Debian with systemd.

The package's dependencies are not installed in it, but fetched, to be served as an archive.
"""

import os
import shlex

from host import debian, lists, rootfs
from host.arch import Arch
from host.cache import entry, hash_of

SIZE = "1G"
DATABASE = "/var/lib/mariadb-of-the-test"
# Units that would wait for devices, terminals and clocks that the machine lacks.
MASKED = ("serial-getty@ttyS0.service", "getty.target", "timers.target", "systemd-udevd.service",
          "systemd-udev-trigger.service", "systemd-timesyncd.service", "e2scrub_reap.service",
          "proc-sys-fs-binfmt_misc.automount")
# The story follows the manual.
_WANTED = ("/usr/share/man/*/holdfast*",)


def dependencies(deb: str) -> list[str]:
    """Returns the names of a package's dependencies."""
    said = debian.run(["dpkg-deb", "--field", deb, "Depends"], f"reading {deb}")
    return sorted(word.split()[0] for word in said.split(",") if word.strip())


def _fetch_again(directory: str, archive: str, suite: str, arch: Arch) -> None:
    """Puts the packages of another architecture in the place of the native ones."""
    names = os.listdir(archive)
    for name in names:
        os.unlink(os.path.join(archive, name))
    work = os.path.join(directory, "apt")
    debian.Archive(work, debian.suites_of(suite), arch.name).fetch(
        [name.split("_")[0] for name in names], archive)
    debian.run(["rm", "-rf", work], "cleaning up")


def _build(directory: str, suite: str, packages: list[str], needed: list[str],
           arch: Arch) -> None:
    root = os.path.join(directory, "native")
    archive = os.path.join(directory, "archive")
    os.makedirs(os.path.join(archive, "partial"))
    fetch = ('APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-get --download-only --yes '
             f"--no-install-recommends -o Dir::Cache::Archives={shlex.quote(archive)} "
             f"install {shlex.join(needed)}")
    wanted = [f"--dpkgopt=path-include={path}" for path in _WANTED]
    rootfs.bootstrap(root, suite, packages, [*wanted, f"--customize-hook={fetch}"])
    for name in os.listdir(archive):
        if not name.endswith(".deb"):
            debian.run(["rm", "-rf", os.path.join(archive, name)], "cleaning up")
    if arch.is_foreign:
        _fetch_again(directory, archive, suite, arch)
    debian.run(["chroot", root, "mariadb-install-db", "--no-defaults", f"--datadir={DATABASE}",
                "--user=root", "--force", "--auth-root-authentication-method=normal",
                "--skip-test-db", "--skip-innodb", "--default-storage-engine=Aria"],
               "mariadb-install-db")
    debian.run(["systemctl", f"--root={root}", "mask", *MASKED], "masking units")
    debian.run(["systemctl", f"--root={root}", "set-default", "multi-user.target"], "systemctl")
    with open(os.path.join(root, "etc/machine-id"), "w", encoding="ascii") as file:
        file.write("0123456789abcdef0123456789abcdef\n")
    rootfs.finish(directory, root, suite, arch, SIZE)


def prepare(cache: str, suite: str, debs: list[str], arch: Arch) -> str:
    """Returns a folder with the root file system (Arch.root), `busybox` and `archive`, from the
    cache or anew; making it needs root."""
    packages = lists.words("package/packages")
    needed = sorted({name for deb in debs for name in dependencies(deb)})
    digest = hash_of(suite, *packages, "needs", *needed, files=(__file__, debian.__file__, rootfs.__file__))
    kind = f"package-{suite}-{arch.name}" if arch.is_foreign else f"package-{suite}"
    return entry(cache, kind, digest, lambda new: _build(new, suite, packages, needed, arch))
