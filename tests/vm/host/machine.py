"""Runs one virtual machine: QEMU without hardware virtualisation.

In virtual time, the guest's time follows the number of instructions run, and jumps to the next
timer whenever the guest is idle. So the machine has no device that answers by itself: the disk is
an NVDIMM, input comes with the initramfs, and output goes over serial lines. The first has what the
kernel and the programs print, the second has the results. An architecture whose machine knows no
NVDIMM has its root file system in the initramfs (arch.py).
"""

import os
import shutil
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from types import MappingProxyType
from typing import Callable, Mapping, Sequence

from . import debian, lists
from .arch import ARCHES, NATIVE, Arch
from .cpio import Cpio
from .lists import Kernel

TESTS = os.path.dirname(lists.DIRECTORY)


_VIRTUAL = ("-accel", "tcg", "-rtc", "clock=vm", "-icount")


@dataclass(frozen=True)
class Kind:
    """A kind of machine: the guest's program, and how time passes in it."""

    program: str                     # of guest/, without .py
    memory: int                      # in MiB
    limit: int                       # seconds on the wall
    timing: tuple[str, ...]
    arguments: tuple[str, ...] = ()  # for the program
    pinned: bool = True              # to one CPU of the host


# Hours pass best at 8 ns an instruction, unless dozens of clients start at once: while they do, a
# machine so slow sends probes seconds late. The system tests need a machine that is fast for its time:
# 1 ns. Virtual time allows only one CPU, so that races between processes are tested in a machine
# with two CPUs and ordinary time. A kernel in lockdown stays so until the next boot.
KINDS = {
    "night": Kind("main", 1024, 900, (*_VIRTUAL, "shift=3,sleep=off")),
    "system": Kind("system", 1024, 5400, (*_VIRTUAL, "shift=0,sleep=off"), ("-m", "not races")),
    "lockdown": Kind("lockdown", 1024, 1200, (*_VIRTUAL, "shift=0,sleep=off")),
    "measure": Kind("measure", 3072, 3600, (*_VIRTUAL, "shift=1,sleep=off")),
    "windows": Kind("windows", 3072, 3600, (*_VIRTUAL, "shift=3,sleep=off")),
    "season": Kind("season", 1024, 7200, (*_VIRTUAL, "shift=3,sleep=off")),
    "hour": Kind("hour", 3072, 2400, (*_VIRTUAL, "shift=0,sleep=off")),
    "races": Kind("system", 1024, 1200, ("-accel", "tcg,thread=multi", "-smp", "2"),
                  ("-m", "races"), pinned=False),
}


@dataclass
class Ended:
    """What a virtual machine has left."""

    output: str
    results: str
    seconds: float
    fault: str | None  # why it did not end well, or None


def payload(path: str, build: str, busybox: str, guest: str | None = None,
            prebuilt: Mapping[str, str] = MappingProxyType({}),
            arch: Arch = ARCHES[NATIVE]) -> None:
    """Writes the machines' payload, besides disk and kernel: the programs and the tests.

    /hf/tests has the guest's programs beside the system tests. The files of the folder `guest`
    replace those of the same name: with another main.py the machines play another story.
    /hf/prebuilt has the prebuilt programs.
    """
    archive = Cpio()
    archive.file("bin/busybox", busybox)
    programs = {f"hf/build/{name}": os.path.join(build, name) for name in ("holdfastd", "holdfast")}
    programs |= {f"hf/prebuilt/{name}": program for name, program in prebuilt.items()}
    for name, program in programs.items():
        stripped = f"{path}.stripped"
        debian.run([f"{arch.tools}strip", "-o", stripped, program], "strip")
        archive.file(name, stripped)
        os.unlink(stripped)
    archive.tree("hf/tests/guest", os.path.join(lists.DIRECTORY, "guest"))
    if guest:
        archive.tree("hf/tests/guest", guest)  # of two files with one name, the later one counts
    for folder in ("system", "demo"):
        archive.tree(f"hf/tests/{folder}", os.path.join(TESTS, folder))
    archive.tree("hf/packaging", os.path.join(os.path.dirname(TESTS), "packaging"))
    archive.write(path)


def _disk(kind: Kind, root: str) -> list[str]:
    size = os.path.getsize(root)
    return ["-m", f"{kind.memory},slots=2,maxmem=8G",
            "-object", f"memory-backend-file,id=disk,share=off,mem-path={root},size={size}",
            "-device", "nvdimm,memdev=disk", "-serial", "stdio"]


def _no_disk(kind: Kind, root: str) -> list[str]:
    # Unpacked, while the archive is still there; and the second line is a card.
    memory = kind.memory + 2 * os.path.getsize(root) // (1 << 20) + 128
    return ["-m", str(memory), "-serial", "stdio", "-device", "pci-serial,chardev=results"]


def _command(kind: Kind, kernel: Kernel, folder: str, root: str, initramfs: str,
             results: str) -> list[str]:
    arch = kernel.arch
    has_disk = arch.root == "image"
    # The kernel passes unknown parameters that look like a variable to init's environment.
    append = (f"console={arch.console} panic=-1 quiet cryptomgr.notests psi=0 mitigations=off "
              f"cgroup_disable=memory {arch.append} HF_PROGRAM={kind.program} "
              f"HF_CONSOLE={arch.console} HF_RESULTS={arch.results}")
    return [*kernel.emulator, *kind.timing, "-nodefaults", "-no-user-config",
            *(_disk if has_disk else _no_disk)(kind, root), "-display", "none",
            "-chardev", f"file,id=results,path={results}",
            *(["-serial", "chardev:results"] if has_disk else []),
            "-monitor", "none", "-no-reboot", "-nic", "none",
            "-kernel", os.path.join(folder, "vmlinuz"), "-initrd", initramfs, "-append", append]


def run(kernel: Kernel, folder: str, root: str, extra: str, cpu: int,
        hear: Callable[[str], None] = lambda line: None, kind: Kind = KINDS["night"],
        arguments: Sequence[str] = ()) -> Ended:
    """Runs a machine to its end on one CPU of the host; `hear` gets each line as it comes.

    `folder` has the kernel, `root` is the root file system of its architecture.
    """
    pin = ("taskset", "--cpu-list", str(cpu)) if kind.pinned else ()
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="holdfast-vm-") as directory:
        initramfs = os.path.join(directory, "initramfs")
        results = os.path.join(directory, "results")
        words = os.path.join(directory, "arguments")
        archive = Cpio()
        archive.text("hf/arguments",
                     "".join(f"{word}\n" for word in (*kind.arguments, *arguments)).encode())
        archive.write(words)
        with open(initramfs, "wb") as file:
            for part in (*([] if kernel.arch.root == "image" else [root]),
                         os.path.join(folder, "initramfs"), extra, words):
                with open(part, "rb") as source:
                    shutil.copyfileobj(source, file)
        # QEMU must end when this process is killed.
        with subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *pin,
                 *_command(kind, kernel, folder, root, initramfs, results)],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                encoding="utf-8", errors="replace") as process:
            limit = threading.Timer(kind.limit, process.kill)
            limit.start()
            lines = []
            try:
                assert process.stdout
                for line in process.stdout:
                    lines.append(line)
                    hear(line.rstrip("\n"))
                process.wait()
            except BaseException:
                process.kill()
                raise
            finally:
                in_time = limit.is_alive()
                limit.cancel()
        told = ""
        if os.path.exists(results):
            with open(results, encoding="utf-8", errors="replace") as file:
                told = file.read()
    fault = None
    if not in_time:
        fault = f"it took longer than {kind.limit} s"
    elif process.returncode != 0:
        fault = f"QEMU exited with {process.returncode}"
    return Ended("".join(lines), told, time.monotonic() - start, fault)
