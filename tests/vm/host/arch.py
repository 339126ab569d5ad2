"""The architectures of the virtual machines.

An amd64 machine has its disk as an NVDIMM. QEMU's arm64 machine has that only with firmware, so its
root file system comes with the initramfs.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Arch:
    """An architecture by Debian's name, which is Go's, too."""

    name: str
    tools: str      # prefix of its binutils and compiler
    root: str       # the root file system's file in its folder of the cache
    emulator: tuple[str, ...]
    console: str    # the first serial line's device in /dev
    results: str    # the second one's
    append: str     # more for the kernel's command line

    @property
    def is_foreign(self) -> bool:
        """Whether the programs have to be cross-built."""
        return self.name != NATIVE


NATIVE = "amd64"
ARCHES = {arch.name: arch for arch in (
    Arch("amd64", "", "image",
         ("qemu-system-x86_64", "-machine", "q35,nvdimm=on", "-cpu", "qemu64"),
         "ttyS0", "ttyS1", "tsc=reliable"),
    # With a root= the kernel unpacks an initramfs into a file system without a limit.
    Arch("arm64", "aarch64-linux-gnu-", "root.cpio",
         ("qemu-system-aarch64", "-machine", "virt", "-cpu", "cortex-a72"),
         "ttyAMA0", "ttyS0", "root=/dev/ram0"))}
