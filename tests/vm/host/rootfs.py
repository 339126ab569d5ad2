"""The root file system of the virtual machines: Debian, as an ext4 image."""

import os
import subprocess

from . import debian, lists
from .cache import entry, hash_of

SIZE = "768M"  # of the image, which is sparse
# The guest finds its data under these names.
DATABASE = "/var/lib/holdfast-mariadb"
_UNWANTED = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")
_FOLDERS = ("hf", "proc", "sys", "dev", "run", "tmp")


def library_packages(programs: list[str]) -> list[str]:
    """Returns the packages of the libraries that programs are linked against on this machine."""
    paths = set()
    for program in programs:
        listing = debian.run(["ldd", program], f"reading the libraries of {program}")
        for line in listing.splitlines():
            words = line.split()
            if "=>" in words:
                paths.add(words[words.index("=>") + 1])
    packages = set()
    for path in paths:
        # dpkg knows a file by its name in the package, which may be without /usr.
        names = [path, path.removeprefix("/usr") if path.startswith("/usr/") else "/usr" + path]
        done = subprocess.run(["dpkg-query", "--search", *names], text=True, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        if not done.stdout:
            raise SystemExit(f"{path} belongs to no package: build on Debian, with its libraries")
        packages.add(done.stdout.split(":", 1)[0])
    return sorted(packages)


def _build(directory: str, suite: str, packages: list[str]) -> None:
    root = os.path.join(directory, "root")
    suites = (suite,) if suite == "sid" else (suite, f"{suite}-security")
    options = [f"--aptopt={line}" for line in debian.fetch_settings()]
    options += [f"--dpkgopt=path-exclude={path}" for path in _UNWANTED]
    debian.run(["mmdebstrap", "--mode=root", "--variant=essential", "--format=directory", *options,
                f"--include={','.join(packages)}", suite, root, *debian.sources(suites)],
               "mmdebstrap")
    debian.run(["chroot", root, "mariadb-install-db", "--no-defaults", f"--datadir={DATABASE}",
                "--user=root", "--force", "--auth-root-authentication-method=normal",
                "--skip-test-db", "--skip-innodb", "--default-storage-engine=Aria"],
               "mariadb-install-db")
    for name in _FOLDERS:
        os.makedirs(os.path.join(root, name), exist_ok=True)
    debian.run(["cp", os.path.join(root, "bin", "busybox"), directory], "copying busybox")
    debian.run(["mke2fs", "-q", "-t", "ext4", "-O", "^has_journal,^metadata_csum", "-m", "0",
                "-E", "lazy_itable_init=1,root_owner=0:0", "-d", root,
                os.path.join(directory, "image"), SIZE], "mke2fs")
    debian.run(["rm", "-rf", "--one-file-system", root], "cleaning up")


def prepare(cache: str, programs: list[str]) -> str:
    """Returns a folder with `image` and `busybox`, from the cache or anew; making it needs root."""
    suite = os.environ.get("HF_VM_SUITE") or debian.host_suite()
    packages = sorted({*lists.words("guest-packages"), *library_packages(programs)})
    digest = hash_of(suite, *packages, files=(__file__, debian.__file__))
    return entry(cache, "rootfs", digest, lambda new: _build(new, suite, packages))
