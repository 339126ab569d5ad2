"""Fetches kernels from Debian's archive, and packs their modules into a small initramfs."""

import os
import shutil
import subprocess

from . import debian, lists
from .cache import entry, hash_of
from .cpio import Cpio

INIT = os.path.join(lists.DIRECTORY, "guest", "init")


def _modules(tree: str) -> dict[str, str]:
    """Returns the paths of all modules below a folder, by the kernel's names for them."""
    return {name.split(".ko", 1)[0].replace("-", "_"): os.path.join(parent, name)
            for parent, _, names in os.walk(tree) for name in names if ".ko" in name}


def _in_order(wanted: list[str], modules: dict[str, str]) -> list[str]:
    """Returns the modules and all that they depend on, in loading order; built-in ones are left
    out."""
    order: list[str] = []

    def visit(name: str) -> None:
        if name in modules and name not in order:
            needs = debian.run(["modinfo", "--field", "depends", modules[name]], "modinfo")
            for needed in needs.strip().split(","):
                visit(needed.replace("-", "_"))
            order.append(name)

    for name in wanted:
        visit(name)
    return order


def _content(path: str) -> bytes:
    """Returns a module's content, decompressed: not every kernel decompresses modules itself."""
    tool = {".xz": "xz", ".gz": "gzip", ".zst": "zstd"}.get(os.path.splitext(path)[1])
    if tool:
        return subprocess.run([tool, "-dc", path], check=True, stdout=subprocess.PIPE).stdout
    with open(path, "rb") as file:
        return file.read()


def _build(directory: str, kernel: lists.Kernel) -> None:
    work = os.path.join(directory, "work")
    archive = debian.Archive(os.path.join(work, "apt"), kernel.suites, kernel.arch.name)
    packages = archive.parts(archive.newest(kernel.pattern))
    tree = os.path.join(work, "tree")
    archive.unpack(packages, tree)

    images = [os.path.join(parent, name) for parent, _, names in os.walk(tree)
              for name in names if name.startswith("vmlinuz")]
    if len(images) != 1:
        raise SystemExit(f"{', '.join(packages)}: {len(images)} kernels in there, not one")
    shutil.copyfile(images[0], os.path.join(directory, "vmlinuz"))
    modules = _modules(tree)
    archive_file = Cpio()
    wanted = lists.modules(kernel.arch.name)
    needed_by: dict[str, list[set[str]]] = {}
    for name, programs in wanted.items():
        for needed in _in_order([name], modules):
            needed_by.setdefault(needed, []).append(programs)
    order = []
    for name in _in_order(list(wanted), modules):
        archive_file.text(f"modules/{name}.ko", _content(modules[name]))
        some = [] if set() in needed_by[name] else sorted(set().union(*needed_by[name]))
        order.append(f"{name} {','.join(some)}".strip())
    archive_file.text("modules/order", ("\n".join(order) + "\n").encode())
    archive_file.file("init", INIT)
    for name in ("proc", "sys", "dev", "root"):
        archive_file.folder(name)
    archive_file.write(os.path.join(directory, "initramfs"))
    with open(os.path.join(directory, "packages"), "w", encoding="ascii") as file:
        file.write("\n".join(packages) + "\n")
    shutil.rmtree(work)


def prepare(cache: str, kernel: lists.Kernel) -> str:
    """Returns a folder with `vmlinuz`, `initramfs` and `packages`, from the cache or anew."""
    digest = hash_of(repr(kernel), *lists.lines("modules"),
                     files=(__file__, debian.__file__, INIT))
    return entry(cache, f"kernel-{kernel.name}", digest, lambda new: _build(new, kernel))
