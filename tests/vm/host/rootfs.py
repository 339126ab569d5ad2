"""The root file systems of the virtual machines: Debian, as an ext4 image or a cpio archive."""

import glob
import os
import shutil
import subprocess
from typing import Sequence

from . import debian, lists
from .arch import ARCHES, NATIVE, Arch
from .cache import entry, hash_of

SIZE = "768M"
_DPKG = "var/lib/dpkg"
_OF_THE_ARCH = ("dev", _DPKG, "var/lib/apt", "var/cache/apt")
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


def bootstrap(root: str, suite: str, packages: list[str], options: Sequence[str] = (),
              arch: Arch = ARCHES[NATIVE], variant: str = "essential") -> None:
    """Makes a root file system of a Debian release; `options` are mmdebstrap's."""
    options = [*(f"--aptopt={line}" for line in debian.fetch_settings()),
               *(f"--dpkgopt=path-exclude={path}" for path in _UNWANTED), *options]
    debian.run(["mmdebstrap", "--mode=root", f"--variant={variant}", "--format=directory",
                f"--architectures={arch.name}", *options, f"--include={','.join(packages)}", suite,
                root, *debian.sources(debian.suites_of(suite), arch.name)], "mmdebstrap")


def _packaged(root: str) -> set[str]:
    """Returns the paths of all files that belong to a package installed in a root."""
    found = set()
    info = os.path.join(root, _DPKG, "info")
    for name in os.listdir(info):
        if name.endswith(".list"):
            with open(os.path.join(info, name), encoding="utf-8") as file:
                found |= {os.path.realpath(os.path.dirname(root + line.rstrip("\n"))) + "/" +
                          os.path.basename(line.rstrip("\n")) for line in file}
    return found


def _copy_database(native: str, root: str, arch: Arch) -> None:
    """Copies dpkg's database: the same packages are installed, of another architecture."""
    triplet = arch.tools.removesuffix("-")
    shutil.copytree(os.path.join(native, _DPKG), os.path.join(root, _DPKG), dirs_exist_ok=True,
                    symlinks=True)
    info = os.path.join(root, _DPKG, "info")
    for name in os.listdir(info):
        os.rename(os.path.join(info, name),
                  os.path.join(info, name.replace(f":{NATIVE}.", f":{arch.name}.")))
    for path in (os.path.join(root, _DPKG, "status"), *glob.glob(os.path.join(info, "*.list"))):
        with open(path, encoding="utf-8") as file:
            text = file.read()
        with open(path, "w", encoding="utf-8") as file:
            file.write(text.replace(f"Architecture: {NATIVE}\n", f"Architecture: {arch.name}\n")
                       .replace("x86_64-linux-gnu", triplet))


def make_foreign(root: str, native: str, suite: str, arch: Arch) -> None:
    """Makes a root with the packages of a native one, for an architecture whose programs don't run
    on this machine: what configuring the packages makes (users, alternatives, a database) is taken
    from the native root."""
    packages = debian.run(["dpkg-query", f"--admindir={native}/{_DPKG}", "--show",
                           "--showformat=${Package}\\n"], "listing packages").split()
    bootstrap(root, suite, packages, arch=arch, variant="extract")
    packaged = _packaged(native)
    for parent, folders, files in os.walk(native):
        there = os.path.join(root, os.path.relpath(parent, native))
        folders[:] = [name for name in folders if name != "__pycache__" and
                      os.path.relpath(os.path.join(parent, name), native) not in _OF_THE_ARCH]
        for name in folders:
            os.makedirs(os.path.join(there, name), exist_ok=True)
        for name in (*files, *(f for f in folders if os.path.islink(os.path.join(parent, f)))):
            path, target = os.path.join(parent, name), os.path.join(there, name)
            if path in packaged or name == "ld.so.cache":
                continue
            if os.path.isdir(target) and not os.path.islink(target):
                continue
            if os.path.lexists(target):
                os.unlink(target)  # settings of mmdebstrap's
            shutil.copy2(path, target, follow_symlinks=False)
    _copy_database(native, root, arch)


def _write_image(root: str, path: str, size: str) -> None:
    debian.run(["mke2fs", "-q", "-t", "ext4", "-O", "^has_journal,^metadata_csum", "-m", "0",
                "-E", "lazy_itable_init=1,root_owner=0:0", "-d", root, path, size], "mke2fs")


def _write_cpio(root: str, path: str) -> None:
    """Writes the root as the folder `root` of an initramfs."""
    parent, name = os.path.split(root)
    with open(path, "wb") as file, subprocess.Popen(
            ["find", name, "-print0"], cwd=parent, stdout=subprocess.PIPE) as find:
        subprocess.run(["cpio", "--null", "--create", "--quiet", "--format=newc"], cwd=parent,
                       stdin=find.stdout, stdout=file, check=True)


def _build(directory: str, suite: str, packages: list[str], arch: Arch) -> None:
    root = os.path.join(directory, "native")
    bootstrap(root, suite, packages)
    debian.run(["chroot", root, "mariadb-install-db", "--no-defaults", f"--datadir={DATABASE}",
                "--user=root", "--force", "--auth-root-authentication-method=normal",
                "--skip-test-db", "--skip-innodb", "--default-storage-engine=Aria"],
               "mariadb-install-db")
    finish(directory, root, suite, arch, SIZE)


def finish(directory: str, native: str, suite: str, arch: Arch, size: str) -> None:
    """Makes a folder's root file system (Arch.root) and `busybox` of a native root, which it
    removes. `size` is that of an image, which is sparse."""
    root = os.path.join(directory, "root")  # the name of it in an initramfs
    if arch.is_foreign:
        make_foreign(root, native, suite, arch)
    else:
        os.rename(native, root)
    for name in _FOLDERS:
        os.makedirs(os.path.join(root, name), exist_ok=True)
    debian.run(["cp", os.path.join(root, "bin", "busybox"), directory], "copying busybox")
    if arch.root == "image":
        _write_image(root, os.path.join(directory, arch.root), size)
    else:
        _write_cpio(root, os.path.join(directory, arch.root))
    debian.run(["rm", "-rf", "--one-file-system", root, native], "cleaning up")


def prepare(cache: str, programs: list[str], name: str = NATIVE) -> str:
    """Returns a folder with the root file system of an architecture (Arch.root) and `busybox`, from
    the cache or anew; making it needs root. `programs` are native ones: the libraries' packages
    have the same names everywhere."""
    arch = ARCHES[name]
    suite = os.environ.get("HF_VM_SUITE") or debian.host_suite()
    packages = sorted({*lists.words("guest-packages"), *library_packages(programs)})
    digest = hash_of(suite, *packages, files=(__file__, debian.__file__))
    kind = f"rootfs-{name}" if arch.is_foreign else "rootfs"
    return entry(cache, kind, digest, lambda new: _build(new, suite, packages, arch))
