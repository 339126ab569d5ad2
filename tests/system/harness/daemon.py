"""Runs holdfastd."""

import os
import queue
import signal
import socket
import subprocess
import threading
import time
from typing import Sequence

from . import build, recorder
from .cgroup import Cgroup
from .netns import Netns
from .pins import layout
from .process import spawn

START_TIMEOUT = 60.0


class Daemon:
    """A holdfastd on a control group and a pin dir of our own."""

    def __init__(self, directory: str, cgroup: Cgroup, pin_dir: str,
                 netns: Netns | None = None) -> None:
        self.config_file = os.path.join(directory, "holdfast.conf")
        self.pin_dir = pin_dir
        self.build_dir: str | None = None  # the folder of another build
        self.cgroup = cgroup
        self._netns = netns
        self._log_file = os.path.join(directory, "holdfastd.log")
        self._notify_file = os.path.join(directory, "notify")
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(self._notify_file)
        # The reader thread reads all the time, as a service manager does: once ten messages are
        # unread (net.unix.max_dgram_qlen), the next one would block the daemon.
        self._said: queue.Queue[list[str]] = queue.Queue()
        self.told: list[list[str]] = []  # all messages over all starts, one list each
        self._reader = threading.Thread(target=self._read_notify, daemon=True)
        self._reader.start()
        self.process: subprocess.Popen | None = None

    @property
    def layout(self) -> str:
        """The folder of its pins; never the temporary one that a killed start has left beside
        it."""
        return layout(self.pin_dir)

    @property
    def pid(self) -> int:
        """The PID of the running daemon."""
        assert self.process
        return self.process.pid

    @property
    def log(self) -> str:
        """All that it has written to standard error, over all starts."""
        if not os.path.exists(self._log_file):
            return ""
        with open(self._log_file, encoding="utf-8", errors="replace") as file:
            return file.read()

    def configure(self, config: str) -> None:
        """Writes the configuration file."""
        with open(self.config_file, "w", encoding="utf-8") as file:
            file.write(config)

    def remove_configuration(self) -> None:
        """Removes the configuration file."""
        os.unlink(self.config_file)

    def launch(self, *arguments: str, through: Sequence[str] = ()) -> None:
        """Starts it without waiting; `through` is a command that runs it."""
        assert not self.running
        environment = {**os.environ, "NOTIFY_SOCKET": self._notify_file}
        program = (os.path.join(self.build_dir, "holdfastd") if self.build_dir
                   else build.HOLDFASTD)
        with open(self._log_file, "ab") as log:
            self.process = spawn(
                [*through, *recorder.unit_limits(), program, "--cgroup", self.cgroup.directory, "--pin-dir", self.pin_dir,
                 "--config", self.config_file, *arguments],
                self._netns, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)

    def start(self, config: str | None = None, *arguments: str) -> float:
        """Starts it and waits until it is ready. Returns that moment (time.monotonic())."""
        if config is not None:
            self.configure(config)
        self.launch(*arguments)
        self._await("READY=1")
        return time.monotonic()

    def wait_told(self, what: str) -> None:
        """Waits until it has told the service manager this."""
        self._await(what)

    def wait_ready(self) -> None:
        """Waits until it is ready; AssertionError where it ends before that."""
        self._await("READY=1")

    def reload(self, config: str | None = None) -> None:
        """Writes a new configuration, sends SIGHUP, and waits until the reload is over."""
        if config is not None:
            self.configure(config)
        self.send_signal(signal.SIGHUP)
        self._await("RELOADING=1")
        self._await("READY=1")

    def _read_notify(self) -> None:
        while message := self._notify.recv(4096):
            self.told.append(message.decode().split("\n"))
            self._said.put(self.told[-1])

    def _await(self, wanted: str) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            try:
                if wanted in self._said.get(timeout=0.05):
                    return
            except queue.Empty:
                if not self.running:
                    raise AssertionError(
                        f"holdfastd has ended before {wanted}:\n{self.log}") from None
                if time.monotonic() > deadline:
                    raise AssertionError(
                        f"holdfastd does not say {wanted}:\n{self.log}") from None

    @property
    def running(self) -> bool:
        """Whether the process runs."""
        return self.process is not None and self.process.poll() is None

    def send_signal(self, number: int) -> None:
        """Sends the daemon a signal."""
        assert self.process
        self.process.send_signal(number)

    def wait(self) -> int:
        """Waits for the daemon's end and returns its exit status."""
        assert self.process
        status = self.process.wait(START_TIMEOUT)
        self.process = None
        self._end_of_notify()
        self._reader = threading.Thread(target=self._read_notify, daemon=True)
        self._reader.start()
        self._said = queue.Queue()
        return status

    def _end_of_notify(self) -> None:
        """Ends the reader by an empty message, once it has read all that the daemon sent."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.sendto(b"", self._notify_file)
        self._reader.join()

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Ends it by a signal and checks that its exit status is 0."""
        self.send_signal(number)
        status = self.wait()
        assert status == 0, f"holdfastd has ended with {status}:\n{self.log}"

    def kill(self) -> None:
        """Kills it with SIGKILL."""
        self.send_signal(signal.SIGKILL)
        self.wait()

    def close(self) -> None:
        """Stops it if it runs; AssertionError where it has ended by itself or a sanitizer reported
        something."""
        try:
            if self.process:
                status = self.process.poll()
                assert status is None, f"holdfastd ended by itself with {status}:\n{self.log}"
                self.stop()
        finally:
            if self.process:
                self.process.kill()
                self.process.wait()
            self._end_of_notify()
            self._notify.close()
        build.check_sanitizers(self.log)
