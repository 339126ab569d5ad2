"""A file on a FUSE file system whose close() returns only when the test allows it."""

import ctypes
import os
import select
import stat
import struct
import threading

_HEADER = struct.Struct("=IIQQIIII")  # struct fuse_in_header
_GETATTR, _OPEN, _RELEASE, _FLUSH, _INIT = 3, 14, 18, 25, 26
_VERSION = 7, 31
_libc = ctypes.CDLL(None, use_errno=True)


class StuckFile:
    """A file that can be opened; whoever closes a descriptor of it waits until this object's
    close()."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.closing: list[int] = []  # PIDs of the processes that wait
        with open(path, "xb"):
            pass
        self._device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        options = f"fd={self._device},rootmode={stat.S_IFREG:o},user_id=0,group_id=0"
        if _libc.mount(b"fuse", path.encode(), b"fuse", 0, options.encode()) != 0:
            number = ctypes.get_errno()
            os.close(self._device)
            raise OSError(number, f"mounting {path}: {os.strerror(number)}")
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while not self._ends.is_set():
            if not select.select([self._device], [], [], 0.05)[0]:
                continue
            request = os.read(self._device, 1 << 17)
            _, code, unique, _, _, _, pid, _ = _HEADER.unpack_from(request)
            if code == _FLUSH:
                self.closing.append(pid)
                continue
            answer = self._answer(code)
            if answer is None:
                answer, error = b"", -38  # ENOSYS
            else:
                error = 0
            os.write(self._device, struct.pack("=IiQ", 16 + len(answer), error, unique) + answer)

    def _answer(self, code: int) -> bytes | None:
        if code == _INIT:
            return struct.pack("=IIIIHHIIHHI", *_VERSION, 0, 0, 0, 0, 4096, 1, 0, 0, 0).ljust(64, b"\0")
        if code == _GETATTR:
            return struct.pack("=QII", 0, 0, 0) + struct.pack(
                "=QQQQQQ10I", 1, 0, 0, 0, 0, 0, 0, 0, 0, stat.S_IFREG | 0o600, 1, 0, 0, 0, 512, 0)
        if code == _OPEN:
            return bytes(16)
        return b"" if code == _RELEASE else None

    def close(self) -> None:
        """Lets all waiting processes go on, and unmounts the file."""
        self._ends.set()
        self._thread.join()
        os.close(self._device)
        _libc.umount2(self.path.encode(), 2)  # MNT_DETACH
