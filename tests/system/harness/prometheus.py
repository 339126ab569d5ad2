"""A Prometheus and a node_exporter on the loopback of a network namespace."""

import http.client
import json
import os
import shutil
import subprocess
import urllib.parse
from typing import Any

import pytest

from .netns import Netns
from .process import spawn, stop
from .wait import wait_for

EXPORTER, SERVER = 9100, 9090

_CONFIG = """
global:
  scrape_interval: 1s
  evaluation_interval: 1s
rule_files:
  - {rules}
scrape_configs:
  - job_name: node
    static_configs:
      - targets: ["127.0.0.1:{port}"]
"""


class _Service:
    """An HTTP server on one port of the namespace's loopback."""

    def __init__(self, netns: Netns, port: int, log: str, argv: list[str]) -> None:
        if not shutil.which(argv[0]):
            pytest.skip(f"{argv[0]} is not installed (a package of the same name)")
        self._netns = netns
        self._port = port
        self._log = log
        with open(log, "wb") as file:
            self._process = spawn(argv, netns, stdin=subprocess.DEVNULL, stdout=file, stderr=file)

    def get(self, path: str) -> tuple[int, str]:
        """Returns HTTP status and body of a path."""
        with self._netns.entered():
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
            try:
                connection.request("GET", path)
                answer = connection.getresponse()
                return answer.status, answer.read().decode()
            finally:
                connection.close()

    def wait(self, path: str) -> None:
        """Waits until the server answers a path with status 200."""
        def answers() -> bool:
            assert self._process.poll() is None, f"it has ended:\n{self.log}"
            try:
                return self.get(path)[0] == 200
            except OSError:
                return False

        wait_for(answers, f"an answer from port {self._port}", timeout=30, step=0.1)

    @property
    def log(self) -> str:
        """What the server has written to standard error."""
        with open(self._log, encoding="utf-8", errors="replace") as file:
            return file.read()

    def stop(self) -> None:
        """Stops the server."""
        stop(self._process, 10)


class NodeExporter(_Service):
    """Exports the *.prom files of a folder, and nothing else."""

    def __init__(self, netns: Netns, directory: str, folder: str) -> None:
        super().__init__(netns, EXPORTER, os.path.join(directory, "node_exporter.log"), [
            "prometheus-node-exporter", "--collector.disable-defaults", "--collector.textfile",
            f"--collector.textfile.directory={folder}",
            f"--web.listen-address=127.0.0.1:{EXPORTER}"])
        self.wait("/metrics")


class Prometheus(_Service):
    """Scrapes the exporter every second, and evaluates a file of rules."""

    def __init__(self, netns: Netns, directory: str, rules: str) -> None:
        config = os.path.join(directory, "prometheus.yml")
        with open(config, "w", encoding="utf-8") as file:
            file.write(_CONFIG.format(rules=rules, port=EXPORTER))
        super().__init__(netns, SERVER, os.path.join(directory, "prometheus.log"), [
            "prometheus", f"--config.file={config}",
            f"--storage.tsdb.path={os.path.join(directory, 'tsdb')}",
            f"--web.listen-address=127.0.0.1:{SERVER}", "--log.level=warn"])
        self.wait("/-/ready")

    def api(self, path: str) -> Any:
        """Returns the data of an answer of /api/v1/."""
        status, body = self.get(f"/api/v1/{path}")
        assert status == 200, body
        answer = json.loads(body)
        assert answer["status"] == "success" and not answer.get("warnings"), body
        return answer["data"]

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Returns the series of an expression and their current values."""
        data = self.api("query?" + urllib.parse.urlencode({"query": expression}))
        assert data["resultType"] == "vector"
        return [(series["metric"], float(series["value"][1])) for series in data["result"]]

    def value(self, expression: str) -> float | None:
        """Returns the value of an expression's only series; None where it has none."""
        found = self.query(expression)
        assert len(found) <= 1, found
        return found[0][1] if found else None
