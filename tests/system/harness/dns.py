"""A DNS server of our own, and the files by which programs find it.

The server is dnsmasq, with a file like /etc/hosts as its zone.
"""

import os
import signal
import subprocess

from .netns import Netns
from .process import spawn, stop
from .wait import wait_for

ZONE = "holdfast.test"


class Server:
    """A server on one address of a namespace that answers for the names of ZONE; no other name
    exists.

    `alias` is an alias (CNAME) of `db`.
    """

    def __init__(self, netns: Netns, directory: str, address: str = "127.0.0.53",
                 ttl: int = 1) -> None:
        self.address = address
        self._netns = netns
        self._ttl = ttl
        self._hosts = os.path.join(directory, "zone")
        self._log = os.path.join(directory, "dnsmasq.log")
        self._process: subprocess.Popen | None = None
        self.answer()
        self.start()

    def start(self) -> None:
        """Starts the server."""
        self._process = spawn(
            ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=",
             "--user=root", "--no-resolv", "--no-hosts", f"--addn-hosts={self._hosts}",
             f"--local-ttl={self._ttl}", f"--local=/{ZONE}/",
             f"--cname=alias.{ZONE},db.{ZONE}", "--bind-interfaces",
             f"--listen-address={self.address}", "--log-queries", f"--log-facility={self._log}"],
            self._netns, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            wait_for(self._ready, "dnsmasq answers")
        except BaseException:
            self.stop()
            raise

    def _ready(self) -> bool:
        assert self._process
        if self._process.poll() is not None:
            raise RuntimeError(f"dnsmasq has ended:\n{self._text()}")
        return bool(self._netns.run("ss", "-Hnlu", f"src {self.address}:53"))

    def _text(self) -> str:
        if not os.path.exists(self._log):
            return ""
        with open(self._log, encoding="utf-8", errors="replace") as file:
            return file.read()

    def asked(self, name: str) -> int:
        """Returns how often it was asked for addresses of a name; IPv4 and IPv6 count
        separately."""
        return self._text().count(f"] {name} from ")

    def answer(self, **names: str | list[str]) -> None:
        """Gives these names of ZONE these addresses from now on, and all other names none."""
        with open(self._hosts, "w", encoding="ascii") as file:
            for name, addresses in names.items():
                for address in [addresses] if isinstance(addresses, str) else addresses:
                    file.write(f"{address} {name}.{ZONE}\n")
        if self._process:
            # dnsmasq reads the file again only on this signal.
            reads = self._text().count(f"read {self._hosts}")
            self._process.send_signal(signal.SIGHUP)
            wait_for(lambda: self._text().count(f"read {self._hosts}") > reads,
                     "dnsmasq has read its names")

    def freeze(self) -> None:
        """Stops answering from now on, without closing the socket."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Answers again, questions that came meanwhile included."""
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """Ends the server, so that the kernel refuses questions."""
        if self._process:
            self.thaw()
            stop(self._process)
            self._process = None


class Files:
    """/etc/resolv.conf and /etc/hosts as this process, and all that it starts, sees them.

    They are mounted over the host's files in the mount namespace of the tests.
    """

    def __init__(self, directory: str, server: str) -> None:
        self._paths = {f"/etc/{name}": os.path.join(directory, name)
                       for name in ("resolv.conf", "hosts")}
        self._mounted: list[str] = []
        self.resolve_with(server)
        self.write_hosts()
        try:
            for place, path in self._paths.items():
                subprocess.run(["mount", "--bind", path, place], check=True)
                self._mounted.append(place)
        except BaseException:
            self.close()
            raise

    def resolve_with(self, server: str) -> None:
        """Makes this the only name server, and ZONE the domain to search."""
        self._write("/etc/resolv.conf", f"nameserver {server}\nsearch {ZONE}\n")

    def write_hosts(self, *lines: str, as_old: bool = False) -> None:
        """Writes /etc/hosts: localhost and these lines. With as_old the file keeps its times."""
        before = os.stat(self._paths["/etc/hosts"]) if as_old else None
        self._write("/etc/hosts", "\n".join(["127.0.0.1 localhost", *lines]) + "\n")
        if before:
            os.utime(self._paths["/etc/hosts"], ns=(before.st_atime_ns, before.st_mtime_ns))

    def _write(self, place: str, text: str) -> None:
        # Written in place, because a new file would not be the one that is mounted.
        with open(self._paths[place], "w", encoding="ascii") as file:
            file.write(text)

    def close(self) -> None:
        """Unmounts the files."""
        while self._mounted:
            subprocess.run(["umount", self._mounted.pop()], check=True)
