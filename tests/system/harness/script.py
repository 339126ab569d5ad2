"""Short Python programs that run in a namespace and a control group, and print JSON."""

import json
import subprocess
import sys
from typing import Any

from .cgroup import Cgroup
from .netns import Netns
from .process import spawn
from .remote import TESTS_DIR


def run(source: str, *arguments: object, netns: Netns | None = None,
        cgroup: Cgroup | None = None, timeout: float = 30) -> Any:
    """Runs a Python program and returns the JSON that it prints; it can import from `harness`."""
    process = spawn([sys.executable, "-B", "-S", "-c", source, *map(str, arguments)], netns, cgroup,
                    cwd=TESTS_DIR, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE, text=True)
    try:
        out, err = process.communicate(timeout=timeout)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, err
    return json.loads(out)
