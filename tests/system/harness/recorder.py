"""Records what the kernel sees of holdfastd: its system calls and the capabilities that they need.

HF_RECORD=1 (make privileges) records both over all tests of a run, in a tracing instance of our
own, and runs every daemon with the unit's capabilities alone. The kernel filters out what has been
seen already, so that recording costs next to nothing. HF_RECORDED is a folder where each process
that runs tests beside others leaves what it has recorded, for the last one to add up.
"""

import json
import os
import re
import subprocess
import threading
from contextlib import suppress

from . import mounts
from .remote import TESTS_DIR

ASKED = bool(os.environ.get("HF_RECORD"))
FOLDER = os.environ.get("HF_RECORDED")
BESIDE_OTHERS = "PYTEST_XDIST_WORKER" in os.environ
# What the kernel asks of whoever listens to rtnetlink, at the time when somebody causes a message:
# beside other tests' daemons, these are asked, and not the one that it happens to.
ASKED_OF_LISTENERS = {"net_broadcast"}
UNIT = os.path.join(TESTS_DIR, "..", "..", "packaging", "systemd", "holdfast.service")
COMMAND = "holdfastd"

_EVENT = re.compile(r"-(\d+) .*? (sys_enter|cap_capable): (.*)")


def unit_capabilities() -> set[str]:
    """Returns the unit's bounding set: "sys_admin" and so on."""
    with open(UNIT, encoding="utf-8") as file:
        words = re.findall(r"^CapabilityBoundingSet=(.*)$", file.read(), re.MULTILINE)
    return {word.removeprefix("CAP_").lower() for line in words for word in line.split()}


def unit_limits() -> list[str]:
    """Returns a command that runs a program with the unit's capabilities alone, or nothing without
    HF_RECORD."""
    if not ASKED:
        return []
    names = ",".join(f"+{name}" for name in sorted(unit_capabilities()))
    return ["setpriv", f"--bounding-set=-all,{names}", "--inh-caps=-all", "--"]


def _constants(header: str, prefix: str) -> dict[int, str]:
    """Returns the names of a header's constants, by their numbers."""
    out = subprocess.run(["cc", "-E", "-dM", "-include", header, "-x", "c", "/dev/null"],
                         check=True, capture_output=True, text=True).stdout
    found = re.findall(rf"^#define {prefix}(\w+) (\d+)$", out, re.MULTILINE)
    return {int(number): name.lower() for name, number in found}


class Recorder:
    """Records until it is stopped."""

    def __init__(self, directory: str) -> None:
        """Mounts tracefs on the folder. OSError where the kernel lacks the events (before 6.14)."""
        self.system_calls: set[str] = set()
        self.granted: set[str] = set()        # used before capabilities are dropped
        self.granted_after: set[str] = set()  # used afterwards
        self.refused: set[str] = set()
        self._calls = _constants("sys/syscall.h", "__NR_")
        self._capabilities = _constants("linux/capability.h", "CAP_")
        self._capget = next(n for n, name in self._calls.items() if name == "capget")
        self._capset = next(n for n, name in self._calls.items() if name == "capset")
        self._dropped: set[int] = set()  # PIDs that have dropped capabilities
        self._directory = directory
        self._seen_calls: set[int] = set()
        try:
            mounts.mount("tracefs", directory)
        except subprocess.CalledProcessError as error:
            raise OSError(f"tracefs can't be mounted: {error}") from None
        self._forget_others(os.path.join(directory, "instances"))
        self._place = os.path.join(directory, "instances", f"{COMMAND}-{os.getpid()}")
        os.mkdir(self._place)
        try:
            # Trace only this process's descendants, not other daemons of the machine.
            self._write("options/event-fork", "1")
            self._write("set_event_pid", str(os.getpid()))
            self._filter_calls()
            self._filter_capabilities()
            for event in ("raw_syscalls/sys_enter", "capability/cap_capable"):
                self._write(f"events/{event}/enable", "1")
        except OSError:
            os.rmdir(self._place)
            mounts.unmount(directory)
            raise
        self._pipe = os.open(os.path.join(self._place, "trace_pipe"), os.O_RDONLY | os.O_NONBLOCK)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @staticmethod
    def _forget_others(instances: str) -> None:
        """Removes the tracing instances of runs that were killed."""
        for name in os.listdir(instances):
            pid = name.removeprefix(f"{COMMAND}-")
            if name != pid and not os.path.exists(f"/proc/{pid}"):
                with suppress(FileNotFoundError):  # a run beside this one was faster
                    os.rmdir(os.path.join(instances, name))

    def _write(self, name: str, text: str) -> None:
        with open(os.path.join(self._place, name), "w", encoding="ascii") as file:
            file.write(text)

    def _filter(self, event: str, field: str, seen: set[int]) -> None:
        rest = "".join(f" && {field} != {number}" for number in sorted(seen))
        self._write(f"events/{event}/filter", f'comm == "{COMMAND}"{rest}')

    def _filter_calls(self) -> None:
        self._filter("raw_syscalls/sys_enter", "id",
                     self._seen_calls - {self._capget, self._capset})

    def _filter_capabilities(self) -> None:
        """Filters out the capabilities that were seen both before and after the drop."""
        numbers = {name: number for number, name in self._capabilities.items()}
        self._filter("capability/cap_capable", "cap",
                     {numbers[name] for name in self.granted & self.granted_after})

    def _run(self) -> None:
        rest = b""
        while True:
            ending = self._stop.wait(0.05)
            try:
                while block := os.read(self._pipe, 1 << 16):
                    *lines, rest = (rest + block).split(b"\n")
                    for line in lines:
                        self._take(line.decode(errors="replace"))
            except BlockingIOError:
                pass
            if ending:
                return

    def _take(self, line: str) -> None:
        match = _EVENT.search(line)
        if not match:
            return
        pid, kind, detail = int(match[1]), match[2], match[3]
        if kind == "sys_enter":
            self._take_call(pid, int(re.match(r"NR (\d+)", detail)[1]))
        else:
            fields = dict(re.findall(r"(cap|ret) (-?\d+)", detail))
            self._take_capability(pid, self._capabilities[int(fields["cap"])],
                                  int(fields["ret"]) == 0)

    def _take_call(self, pid: int, number: int) -> None:
        if number == self._capget:
            self._dropped.discard(pid)  # a new daemon begins with capget(); its PID may be reused
        elif number == self._capset:
            self._dropped.add(pid)
        if number not in self._seen_calls:
            self._seen_calls.add(number)
            self.system_calls.add(self._calls.get(number, str(number)))
            self._filter_calls()

    def _take_capability(self, pid: int, name: str, granted: bool) -> None:
        into = (self.refused if not granted else
                self.granted_after if pid in self._dropped else self.granted)
        if name not in into:
            into.add(name)
            self._filter_capabilities()

    def stop(self) -> None:
        """Stops recording; all events up to now have been taken in then."""
        if self._stop.is_set():
            return
        self._stop.set()
        self._thread.join()
        os.close(self._pipe)
        for event in ("raw_syscalls/sys_enter", "capability/cap_capable"):
            self._write(f"events/{event}/enable", "0")
        os.rmdir(self._place)
        mounts.unmount(self._directory)
        if FOLDER and BESIDE_OTHERS:
            self._leave(FOLDER)

    @property
    def _sets(self) -> dict[str, set[str]]:
        return {"system_calls": self.system_calls, "granted": self.granted,
                "granted_after": self.granted_after, "refused": self.refused}

    def _leave(self, folder: str) -> None:
        os.makedirs(folder, exist_ok=True)
        self.granted_after -= ASKED_OF_LISTENERS  # seen by the tests one by one
        with open(os.path.join(folder, f"{os.getpid()}.json"), "w", encoding="ascii") as file:
            json.dump({key: sorted(names) for key, names in self._sets.items()}, file)

    def add_others(self) -> None:
        """Adds what the processes that ran tests side by side have left."""
        for name in os.listdir(FOLDER) if FOLDER and os.path.isdir(FOLDER) else []:
            with open(os.path.join(FOLDER, name), encoding="ascii") as file:
                left = json.load(file)
            for key, names in self._sets.items():
                names.update(left[key])
