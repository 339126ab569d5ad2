"""Network namespaces that exist for as long as somebody holds them open.

A namespace has no name and no mount, only a descriptor in this process. So nothing stays behind,
however the process ends.
"""

import ctypes
import os
import subprocess
import threading
from contextlib import contextmanager
from typing import Iterator

HAS_IPV6 = os.path.exists("/proc/net/if_inet6")

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare_net() -> None:
    """Gives the calling thread a new network namespace."""
    _check(_libc.unshare(CLONE_NEWNET), "unshare")


def setns_net(fd: int) -> None:
    """Moves the calling thread into the network namespace behind a descriptor."""
    _check(_libc.setns(fd, CLONE_NEWNET), "setns")


def own_namespace() -> int:
    """Opens the calling thread's network namespace and returns its descriptor."""
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


class Netns:
    """A network namespace of our own, its loopback device up."""

    def __init__(self, name: str | None = None) -> None:
        """With a name, the namespace is made by `ip netns add` and stays until /run/netns goes."""
        self._fd = -1
        if name:
            subprocess.run(["ip", "netns", "add", name], check=True)
            self._fd = os.open(f"/run/netns/{name}", os.O_RDONLY | os.O_CLOEXEC)
        else:
            thread = threading.Thread(target=self._make)
            thread.start()
            thread.join()
            if self._fd < 0:
                raise OSError("no network namespace could be made")
        self.ip("link set lo up")
        if HAS_IPV6:
            # Without DAD a link's own address can be used at once; with it, that takes seconds.
            self.sysctl("ipv6/conf/default/accept_dad", 0)

    def _make(self) -> None:
        unshare_net()
        self._fd = own_namespace()

    @property
    def path(self) -> str:
        """A path by which other processes can open the namespace."""
        return f"/proc/{os.getpid()}/fd/{self._fd}"

    @property
    def inode(self) -> int:
        """The inode number that `lsns` and /proc/PID/ns/net show."""
        return os.fstat(self._fd).st_ino

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Has the calling thread in this namespace for the length of the `with` block."""
        back = own_namespace()
        try:
            setns_net(self._fd)
            yield
        finally:
            setns_net(back)
            os.close(back)

    def run(self, *argv: str, stdin: str | None = None) -> str:
        """Runs a program in this namespace to its end and returns its output."""
        done = subprocess.run(
            ["nsenter", f"--net={self.path}", "--", *argv],
            input=stdin, capture_output=True, text=True, timeout=30, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(argv)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def ip(self, *commands: str) -> None:
        """Runs `ip` commands in one batch."""
        self.run("ip", "-batch", "-", stdin="\n".join(commands) + "\n")

    def nft(self, ruleset: str) -> None:
        """Loads nftables rules."""
        self.run("nft", "-f", "-", stdin=ruleset)

    def sysctl(self, name: str, value: object) -> None:
        """Sets a sysctl of this namespace, named as a file below /proc/sys/net/."""
        with self.entered(), open(f"/proc/sys/net/{name}", "w", encoding="ascii") as file:
            file.write(str(value))

    def read_sysctl(self, name: str) -> str:
        """Returns a sysctl of this namespace, named as a file below /proc/sys/net/."""
        with self.entered(), open(f"/proc/sys/net/{name}", encoding="ascii") as file:
            return file.read().strip()

    def add_address(self, *addresses: str, device: str = "lo") -> None:
        """Adds addresses that are usable at once (`/32` or `/128` where no length is given)."""
        self.ip(*(f"address add {a} dev {device}{' nodad' if ':' in a else ''}"
                  for a in addresses))

    def close(self) -> None:
        """Closes the descriptor; the namespace ends with the last process and socket in it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def connect_namespaces(a: Netns, a_device: str, b: Netns, b_device: str) -> None:
    """Connects two namespaces by a veth pair, and brings both ends up."""
    a.ip(f"link add {a_device} type veth peer name {b_device} netns {b.path}",
         f"link set {a_device} up")
    b.ip(f"link set {b_device} up")
