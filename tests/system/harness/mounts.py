"""File systems in a mount namespace of our own; the host's mounts stay as they are."""

import ctypes
import os
import subprocess

CLONE_NEWNS = 0x00020000


def leave_host_mounts() -> None:
    """Moves into a mount namespace whose mounts don't show on the host."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"unshare: {os.strerror(number)}")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)


def mount(kind: str, directory: str) -> None:
    """Mounts a file system that needs no device."""
    os.makedirs(directory, exist_ok=True)
    subprocess.run(["mount", "-t", kind, kind, directory], check=True)


def unmount(directory: str) -> None:
    """Unmounts a folder and all that is mounted below it."""
    subprocess.run(["umount", "--recursive", directory], check=True)
