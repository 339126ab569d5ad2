"""Helper processes that take orders as JSON lines and answer each with one (see orders.py)."""

import errno
import json
import os
import select
import subprocess
import sys
import time
from typing import Any, Sequence

from . import fork
from .cgroup import Cgroup
from .netns import Netns
from .process import spawn

TESTS_DIR = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class RemoteError(Exception):
    """An exception that was raised in a helper process."""

    def __init__(self, kind: str, text: str, number: int | None) -> None:
        name = f" [{errno.errorcode[number]}]" if number in errno.errorcode else ""
        super().__init__(f"{kind}{name}: {text}")
        self.kind = kind
        self.text = text
        self.errno = number


class Remote:
    """A helper process: one of the harness's modules, in a namespace and a control group."""

    def __init__(self, module: str, netns: Netns | None, cgroup: Cgroup | None,
                 site: bool = True, through: Sequence[str] = ()) -> None:
        """Without `site` only Python's own modules are available, and the process starts sooner.

        `through` is a command that runs it, such as `unshare`.
        """
        self.process: subprocess.Popen | fork.Forked
        if fork.ENABLED and not through:
            self.process = fork.fork_module(module, netns, cgroup)
        else:
            self.process = spawn(
                [*through, sys.executable, "-B", *([] if site else ["-S"]), "-m", module],
                netns, cgroup, cwd=TESTS_DIR, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                bufsize=0)
        self._buffer = b""

    @property
    def pid(self) -> int:
        """The PID of the helper process."""
        return self.process.pid

    def begin(self, do: str, **arguments: Any) -> None:
        """Gives an order; end() waits for the answer."""
        assert self.process.stdin
        line = json.dumps({"do": do, **arguments}) + "\n"
        self.process.stdin.write(line.encode())

    def end(self, timeout: float = 60.0) -> Any:
        """Waits for the answer to the order that begin() gave, and returns it."""
        assert self.process.stdout
        deadline = time.monotonic() + timeout
        while b"\n" not in self._buffer:
            left = max(0.0, deadline - time.monotonic())
            if not select.select([self.process.stdout], [], [], left)[0]:
                raise TimeoutError(f"the helper process gave no answer in {timeout:g} s")
            data = os.read(self.process.stdout.fileno(), 65536)
            if not data:
                raise EOFError(f"the helper process has ended: {self.process.wait()}")
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        answer = json.loads(line)
        if "error" in answer:
            raise RemoteError(answer["error"], answer["text"], answer["errno"])
        return answer["value"]

    def call(self, do: str, **arguments: Any) -> Any:
        """Gives an order and waits for its answer."""
        self.begin(do, **arguments)
        return self.end()

    def close(self) -> None:
        """Kills the process, and with it all of its sockets."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                pipe.close()
