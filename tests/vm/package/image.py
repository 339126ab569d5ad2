"""The root file system of the virtual machine: a Debian with systemd, as an ext4 image.

The package's dependencies are not installed in it, but fetched, to be served as an archive.
"""

import os
import shlex

from host import debian, lists
from host.cache import entry, hash_of

SIZE = "1G"  # of the image, which is sparse
DATABASE = "/var/lib/mariadb-of-the-test"
# Units that would wait for devices, terminals and clocks that the machine lacks.
MASKED = ("serial-getty@ttyS0.service", "getty.target", "timers.target", "systemd-udevd.service",
          "systemd-udev-trigger.service", "systemd-timesyncd.service", "e2scrub_reap.service",
          "proc-sys-fs-binfmt_misc.automount")
_UNWANTED = ("/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/info/*", "/usr/share/man/*")
# The story follows the manual.
_WANTED = ("/usr/share/man/*/holdfast*",)
_FOLDERS = ("hf", "proc", "sys", "dev", "run", "tmp")


def dependencies(deb: str) -> list[str]:
    """Returns the names of a package's dependencies."""
    said = debian.run(["dpkg-deb", "--field", deb, "Depends"], f"reading {deb}")
    return sorted(word.split()[0] for word in said.split(",") if word.strip())


def _build(directory: str, suite: str, packages: list[str], needed: list[str]) -> None:
    root = os.path.join(directory, "root")
    suites = (suite,) if suite == "sid" else (suite, f"{suite}-security")
    options = [f"--aptopt={line}" for line in debian.fetch_settings()]
    options += [f"--dpkgopt=path-exclude={path}" for path in _UNWANTED]
    options += [f"--dpkgopt=path-include={path}" for path in _WANTED]
    archive = os.path.join(directory, "archive")
    os.makedirs(os.path.join(archive, "partial"))
    fetch = ('APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-get --download-only --yes '
             f"--no-install-recommends -o Dir::Cache::Archives={shlex.quote(archive)} "
             f"install {shlex.join(needed)}")
    debian.run(["mmdebstrap", "--mode=root", "--variant=essential", "--format=directory", *options,
                f"--include={','.join(packages)}", f"--customize-hook={fetch}", suite, root,
                *debian.sources(suites)], "mmdebstrap")
    for name in os.listdir(archive):
        if not name.endswith(".deb"):
            debian.run(["rm", "-rf", os.path.join(archive, name)], "cleaning up")
    debian.run(["chroot", root, "mariadb-install-db", "--no-defaults", f"--datadir={DATABASE}",
                "--user=root", "--force", "--auth-root-authentication-method=normal",
                "--skip-test-db", "--skip-innodb", "--default-storage-engine=Aria"],
               "mariadb-install-db")
    debian.run(["systemctl", f"--root={root}", "mask", *MASKED], "masking units")
    debian.run(["systemctl", f"--root={root}", "set-default", "multi-user.target"], "systemctl")
    with open(os.path.join(root, "etc/machine-id"), "w", encoding="ascii") as file:
        file.write("0123456789abcdef0123456789abcdef\n")
    for name in _FOLDERS:
        os.makedirs(os.path.join(root, name), exist_ok=True)
    debian.run(["cp", os.path.join(root, "bin", "busybox"), directory], "copying busybox")
    debian.run(["mke2fs", "-q", "-t", "ext4", "-O", "^has_journal,^metadata_csum", "-m", "0",
                "-E", "lazy_itable_init=1,root_owner=0:0", "-d", root,
                os.path.join(directory, "image"), SIZE], "mke2fs")
    debian.run(["rm", "-rf", "--one-file-system", root], "cleaning up")


def prepare(cache: str, suite: str, deb: str) -> str:
    """Returns a folder with `image`, `busybox` and `archive`, from the cache or anew; making it
    needs root."""
    packages = lists.words("package/packages")
    needed = dependencies(deb)
    digest = hash_of(suite, *packages, "needs", *needed, files=(__file__, debian.__file__))
    return entry(cache, f"package-{suite}", digest,
                 lambda new: _build(new, suite, packages, needed))
