"""One virtual machine: QEMU without hardware virtualisation, in virtual time.

Guest time follows the number of instructions run, and jumps to the next timer whenever the
guest is idle. So there is no device in it that answers by itself: the disk is an NVDIMM, what
goes in comes with the initramfs, and what comes out goes over the serial line.
"""

import os
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from typing import Callable

from . import debian, lists
from .cpio import Cpio

LIMIT = 180  # seconds on the wall
TESTS = os.path.dirname(lists.DIRECTORY)


@dataclass
class Ended:
    """What is left of a virtual machine."""

    output: str
    seconds: float
    fault: str | None  # why it did not end well, if so


def payload(path: str, build: str, busybox: str, guest: str | None = None) -> None:
    """Writes what goes into the machines beside disk and kernel: the programs and the cases.

    The files of the folder `guest` lie over those of the cases: with a main.py of its own, the
    machines play another story.
    """
    archive = Cpio()
    archive.file("bin/busybox", busybox)
    for name in ("holdfastd", "holdfast"):
        stripped = f"{path}.{name}"
        debian.run(["strip", "-o", stripped, os.path.join(build, name)], "strip")
        archive.file(f"hf/build/{name}", stripped)
        os.unlink(stripped)
    archive.tree("hf/guest", os.path.join(lists.DIRECTORY, "guest"))
    if guest:
        archive.tree("hf/guest", guest)  # of two files with one name, the kernel takes the later
    archive.tree("hf/system/harness", os.path.join(TESTS, "system", "harness"))
    archive.write(path)


def _command(kernel: str, disk: str, initramfs: str) -> list[str]:
    size = os.path.getsize(disk)
    append = "console=ttyS0 panic=-1 quiet cryptomgr.notests tsc=reliable psi=0 mitigations=off"
    return ["qemu-system-x86_64", "-accel", "tcg", "-cpu", "qemu64",
            "-icount", "shift=3,sleep=off", "-rtc", "clock=vm",
            "-machine", "q35,nvdimm=on", "-m", "512,slots=2,maxmem=8G",
            "-object", f"memory-backend-file,id=disk,share=off,mem-path={disk},size={size}",
            "-device", "nvdimm,memdev=disk", "-nodefaults", "-no-user-config",
            "-display", "none", "-serial", "stdio", "-monitor", "none", "-no-reboot",
            "-nic", "none", "-kernel", os.path.join(kernel, "vmlinuz"), "-initrd", initramfs,
            "-append", append]


def run(kernel: str, disk: str, extra: str, cpu: int,
        hear: Callable[[str], None] = lambda line: None) -> Ended:
    """Runs a machine to its end on one CPU of the host; `hear` gets each line as it comes."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="holdfast-vm-") as directory:
        initramfs = os.path.join(directory, "initramfs")
        with open(initramfs, "wb") as file:
            for part in (os.path.join(kernel, "initramfs"), extra):
                with open(part, "rb") as source:
                    file.write(source.read())
        # Where this process is killed, QEMU must not run on.
        with subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", "taskset", "--cpu-list", str(cpu),
                 *_command(kernel, disk, initramfs)],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                encoding="utf-8", errors="replace") as process:
            limit = threading.Timer(LIMIT, process.kill)
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
    fault = None
    if not in_time:
        fault = f"it took longer than {LIMIT} s"
    elif process.returncode != 0:
        fault = f"QEMU exited with {process.returncode}"
    return Ended("".join(lines), time.monotonic() - start, fault)
