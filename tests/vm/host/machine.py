"""Runs one virtual machine: QEMU without hardware virtualisation.

In virtual time, the guest's time follows the number of instructions run, and jumps to the next
timer whenever the guest is idle. So the machine has no device that answers by itself: the disk is
an NVDIMM, input comes with the initramfs, and output goes over serial lines. The first has what the
kernel and the programs print, the second has the results.
"""

import os
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from types import MappingProxyType
from typing import Callable, Mapping, Sequence

from . import debian, lists
from .cpio import Cpio

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


# Hours pass best at 8 ns an instruction. The system tests need a machine that is fast for its time:
# 1 ns. Virtual time allows only one CPU, so that races between processes are tested in a machine
# with two CPUs and ordinary time. A kernel in lockdown stays so until the next boot.
KINDS = {
    "night": Kind("main", 1024, 900, (*_VIRTUAL, "shift=3,sleep=off")),
    "system": Kind("system", 1024, 5400, (*_VIRTUAL, "shift=0,sleep=off"), ("-m", "not races")),
    "lockdown": Kind("lockdown", 1024, 1200, (*_VIRTUAL, "shift=0,sleep=off")),
    "measure": Kind("measure", 3072, 3600, (*_VIRTUAL, "shift=3,sleep=off")),
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
            prebuilt: Mapping[str, str] = MappingProxyType({})) -> None:
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
        debian.run(["strip", "-o", stripped, program], "strip")
        archive.file(name, stripped)
        os.unlink(stripped)
    archive.tree("hf/tests/guest", os.path.join(lists.DIRECTORY, "guest"))
    if guest:
        archive.tree("hf/tests/guest", guest)  # of two files with one name, the later one counts
    for folder in ("system", "demo"):
        archive.tree(f"hf/tests/{folder}", os.path.join(TESTS, folder))
    archive.tree("hf/packaging", os.path.join(os.path.dirname(TESTS), "packaging"))
    archive.write(path)


def _command(kind: Kind, kernel: str, disk: str, initramfs: str, results: str) -> list[str]:
    size = os.path.getsize(disk)
    # The kernel passes unknown parameters that look like a variable to init's environment.
    append = ("console=ttyS0 panic=-1 quiet cryptomgr.notests tsc=reliable psi=0 mitigations=off "
              "cgroup_disable=memory "
              f"HF_PROGRAM={kind.program}")
    return ["qemu-system-x86_64", *kind.timing, "-cpu", "qemu64",
            "-machine", "q35,nvdimm=on", "-m", f"{kind.memory},slots=2,maxmem=8G",
            "-object", f"memory-backend-file,id=disk,share=off,mem-path={disk},size={size}",
            "-device", "nvdimm,memdev=disk", "-nodefaults", "-no-user-config",
            "-display", "none", "-serial", "stdio", "-serial", f"file:{results}",
            "-monitor", "none", "-no-reboot", "-nic", "none",
            "-kernel", os.path.join(kernel, "vmlinuz"), "-initrd", initramfs, "-append", append]


def run(kernel: str, disk: str, extra: str, cpu: int,
        hear: Callable[[str], None] = lambda line: None, kind: Kind = KINDS["night"],
        arguments: Sequence[str] = ()) -> Ended:
    """Runs a machine to its end on one CPU of the host; `hear` gets each line as it comes."""
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
            for part in (os.path.join(kernel, "initramfs"), extra, words):
                with open(part, "rb") as source:
                    file.write(source.read())
        # QEMU must end when this process is killed.
        with subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *pin,
                 *_command(kind, kernel, disk, initramfs, results)],
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
