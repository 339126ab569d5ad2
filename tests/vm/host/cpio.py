"""Writes cpio archives in the format of the kernel's initramfs."""

import os
import stat


class Cpio:
    """An archive in the `newc` format; everything in it belongs to root."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._made: set[str] = set()

    def _add(self, name: str, mode: int, data: bytes) -> None:
        number = len(self._made) + 1
        self._made.add(name)
        encoded = name.encode() + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(encoded), 0)
        header = b"070701" + b"".join(b"%08X" % field for field in fields)
        for part in (header + encoded, data):
            self._parts.append(part + b"\0" * (-len(part) % 4))

    def folder(self, name: str) -> None:
        """Adds a folder and its parents."""
        parts = name.split("/")
        for end in range(1, len(parts) + 1):
            path = "/".join(parts[:end])
            if path not in self._made:
                self._add(path, stat.S_IFDIR | 0o755, b"")

    def text(self, name: str, data: bytes, executable: bool = False) -> None:
        """Adds a file with this content."""
        if "/" in name:
            self.folder(os.path.dirname(name))
        self._add(name, stat.S_IFREG | (0o755 if executable else 0o644), data)

    def file(self, name: str, path: str) -> None:
        """Adds a copy of a file of the host."""
        with open(path, "rb") as file:
            self.text(name, file.read(), os.access(path, os.X_OK))

    def tree(self, name: str, directory: str) -> None:
        """Adds copies of all files below a folder, except compiled Python."""
        for parent, folders, files in os.walk(directory):
            folders[:] = sorted(f for f in folders if f != "__pycache__")
            for file in sorted(files):
                path = os.path.join(parent, file)
                self.file(os.path.join(name, os.path.relpath(path, directory)), path)

    def write(self, path: str) -> None:
        """Writes the archive."""
        self._add("TRAILER!!!", 0, b"")
        with open(path, "wb") as file:
            file.write(b"".join(self._parts))
            file.write(b"\0" * (-file.tell() % 512))
