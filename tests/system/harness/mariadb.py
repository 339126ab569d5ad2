"""A MariaDB server in a namespace and a folder of our own."""

import os
import shutil
import subprocess
from typing import Sequence

from .netns import Netns
from .process import spawn, stop
from .wait import wait_for

USER, PASSWORD = "app", "secret"
_ENGINE = ["--skip-innodb", "--default-storage-engine=Aria"]


def prepare(directory: str) -> None:
    """Fills a folder with the system tables of a new server, for Server to copy."""
    subprocess.run(
        ["mariadb-install-db", "--no-defaults", f"--datadir={directory}", "--user=root",
         "--auth-root-authentication-method=normal", "--skip-test-db", *_ENGINE],
        check=True, capture_output=True, timeout=60)


class Server:
    """mariadbd with one user (USER, PASSWORD), on every address of a namespace."""

    def __init__(self, netns: Netns, prepared: str, directory: str, port: int,
                 options: Sequence[str] = ()) -> None:
        self.port = port
        data = os.path.join(directory, "data")
        shutil.copytree(prepared, data)
        init = os.path.join(directory, "init.sql")
        with open(init, "w", encoding="ascii") as file:
            file.write(f"CREATE USER {USER}@'%' IDENTIFIED BY '{PASSWORD}';\n"
                       f"GRANT ALL ON *.* TO {USER}@'%';\n")
        self.log = os.path.join(directory, "mariadb.log")
        with open(self.log, "wb") as log:
            self._process = spawn(
                ["mariadbd", "--no-defaults", f"--datadir={data}", "--user=root", *_ENGINE,
                 "--bind-address=*", f"--port={port}", f"--socket={directory}/socket",
                 f"--pid-file={directory}/pid", f"--init-file={init}", "--skip-networking=0",
                 "--skip-name-resolve", "--skip-log-bin", "--performance-schema=off", *options],
                netns, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            wait_for(self._ready, "MariaDB takes connections", timeout=30)
        except BaseException:
            self.close()
            raise

    def _ready(self) -> bool:
        with open(self.log, encoding="utf-8", errors="replace") as file:
            text = file.read()
        if self._process.poll() is not None:
            raise RuntimeError(f"mariadbd has ended:\n{text}")
        return "ready for connections" in text

    def close(self) -> None:
        """Ends the server."""
        stop(self._process)
