"""apt, systemd, the journal and the holdfast command, as an administrator uses them."""

import json
import os
import subprocess
import time
from typing import Any

UNIT = "holdfast.service"
CONFIG = "/etc/holdfast/holdfast.conf"
DROPINS = "/etc/holdfast/holdfast.conf.d"
PIN_DIR = "/sys/fs/bpf/holdfast"


def run(*argv: str, status: int | None = 0, **more: Any) -> str:
    """Runs a program. Returns all its output."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False, **more)
    if status is not None and done.returncode != status:
        raise AssertionError(f"{' '.join(argv)}: exit status {done.returncode}\n{done.stdout}")
    return done.stdout


def apt(*arguments: str) -> None:
    """Installs or removes packages; edited configuration files stay as they are."""
    run("apt-get", "-y", "-q", "-o", "Dpkg::Options::=--force-confold", *arguments)


def show(name: str) -> str:
    """Returns a property of the unit."""
    return run("systemctl", "show", "--value", "-p", name, UNIT).strip()


def main_pid() -> int:
    """Returns the daemon's PID."""
    pid = int(show("MainPID"))
    assert pid, run("systemctl", "status", UNIT, status=None)
    return pid


def wait_for_daemon(other_than: int = 0, timeout: float = 60) -> int:
    """Waits until the unit runs with another PID than that. Returns the new one."""
    deadline = time.monotonic() + timeout
    while True:
        pid = int(show("MainPID"))
        if pid not in (0, other_than) and show("ActiveState") == "active":
            return pid
        assert time.monotonic() < deadline, run("systemctl", "status", UNIT, status=None)
        time.sleep(0.2)


def journal() -> str:
    """Returns what the daemon has logged."""
    return run("journalctl", "-u", UNIT, "-o", "cat", "--no-pager")


def status(*filters: str) -> Any:
    """Returns the parsed `holdfast status -J`."""
    done = subprocess.run(["holdfast", "status", "-J", *filters], capture_output=True, text=True,
                          check=False)
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


def verdicts() -> dict[str, str]:
    """Returns the verdicts by local address and port."""
    return {f"{row['local']}:{row['local_port']}": row["verdict"] for row in status()["sockets"]}


def write(path: str, text: str) -> None:
    """Writes a file with this text."""
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def read(path: str) -> str:
    """Returns a file's text."""
    with open(path, encoding="utf-8") as file:
        return file.read()


def left() -> list[str]:
    """Returns all paths on disk, under /run and among the pins that contain `holdfast`, except
    logs."""
    found = []
    for top in ("/etc", "/usr", "/var", "/run", "/sys/fs/bpf", "/root"):
        for parent, folders, files in os.walk(top):
            found += [os.path.join(parent, name) for name in folders + files
                      if "holdfast" in name]
    logs = ("/var/log/", "/var/lib/apt/", "/var/cache/apt/", "/etc/apt/")
    return sorted(path for path in found if not path.startswith(logs))
