"""Runs the holdfast command."""

import json
import os
import subprocess
from typing import IO, Any, NamedTuple

from . import build, schema


class Result(NamedTuple):
    """The exit status and the output of a run."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The parsed standard output."""
        return json.loads(self.out)


def run(*argv: str, stdout: int | IO[bytes] = subprocess.PIPE) -> Result:
    """Runs a program under test to its end; `stdout` takes its output instead of the result."""
    done = subprocess.run(argv, stdout=stdout, stderr=subprocess.PIPE, timeout=60, check=False,
                          stdin=subprocess.DEVNULL)
    result = Result(done.returncode, (done.stdout or b"").decode(), done.stderr.decode())
    build.check_sanitizers(result.err)
    schema.check_output(list(argv[1:]), result.out)
    return result


class Command:
    """The holdfast command on a pin dir of our own."""

    def __init__(self, pin_dir: str, build_dir: str | None = None) -> None:
        """`build_dir` is the folder of another build."""
        self.pin_dir = pin_dir
        self._program = os.path.join(build_dir, "holdfast") if build_dir else None

    def __call__(self, *arguments: str, stdout: int | IO[bytes] = subprocess.PIPE) -> Result:
        return run(self._program or build.HOLDFAST, "--pin-dir", self.pin_dir, *arguments, stdout=stdout)

    def status(self, *filters: str) -> Any:
        """Returns the parsed `status -J`, whatever its exit status is."""
        result = self("status", "-J", *filters)
        assert result.out, result.err
        return result.json

    def socket(self, cookie: int) -> dict[str, Any]:
        """Returns what `status -J` says of one socket."""
        found = [s for s in self.status()["sockets"] if s["cookie"] == cookie]
        assert len(found) == 1, f"cookie {cookie} is there {len(found)} times"
        return found[0]
