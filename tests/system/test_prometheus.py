"""A real Prometheus reads the metrics, and alert rules and dashboard ask for metrics that exist."""

import json
import os
import re
from typing import Any, Iterator

import pytest

from harness.command import Command
from harness.config import daemon as daemon_section, rule
from harness.daemon import Daemon
from harness.metrics import Metrics, promtool
from harness.netns import Netns
from harness.prometheus import NodeExporter, Prometheus
from harness.remote import TESTS_DIR
from harness.sockets import Agent, Listener
from harness.wait import wait_for

PACKAGING = os.path.abspath(os.path.join(TESTS_DIR, "..", "..", "packaging"))
RULES = os.path.join(PACKAGING, "prometheus", "holdfast.rules.yml")
DASHBOARD = os.path.join(PACKAGING, "grafana", "holdfast.json")
RULE = rule("db", time="120s", interval="30s", probes=4, window="350s")
# Metrics that others export and that rules and panels ask for.
FOREIGN = {"up", "node_textfile_mtime_seconds"}


@pytest.fixture
def folder(workdir: str) -> str:
    """The folder that node_exporter reads."""
    path = os.path.join(workdir, "node-exporter")
    os.mkdir(path)
    return path


@pytest.fixture
def prometheus(make_netns, workdir: str, folder: str) -> Iterator[Prometheus]:
    """A Prometheus that scrapes the exporter of the folder, in a namespace of its own."""
    netns: Netns = make_netns()
    exporter = NodeExporter(netns, workdir, folder)
    try:
        server = Prometheus(netns, workdir, RULES)
        try:
            yield server
        finally:
            server.stop()
    finally:
        exporter.stop()
        print(f"--- node_exporter\n{exporter.log}")


def dashboard() -> dict[str, Any]:
    """Returns the parsed dashboard."""
    with open(DASHBOARD, encoding="utf-8") as file:
        return json.load(file)


def panel_expressions() -> list[str]:
    """Returns the panels' expressions, with all variables chosen."""
    found = [target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]]
    return [re.sub(r"\$(instance|rule)\b", ".*", expression).replace("$__rate_interval", "1m")
            for expression in found]


def alert_expressions() -> str:
    """Returns the text of the alert rules without comments and annotations."""
    with open(RULES, encoding="utf-8") as file:
        return re.sub(r"#.*|annotations:\n(?: {10}.*\n)+", "", file.read())


# --- scraped ---

@pytest.mark.waits
def test_scraped(daemon: Daemon, agent: Agent, listener: Listener, folder: str,
                 prometheus: Prometheus) -> None:
    """Prometheus has the number of held sockets, and after a stop of holdfast's metrics only the
    one that says so."""
    held = 'holdfast_sockets{rule="db",verdict="held"}'
    daemon.start(daemon_section(reconcile="1s",
                                metrics_textfile=os.path.join(folder, "holdfast.prom")) + RULE)
    socks = [agent.connect("127.0.0.1", listener.port) for _ in range(3)]
    wait_for(lambda: prometheus.value(held) == 3, "three are held", timeout=20, step=0.2)
    found = prometheus.query(held)
    assert [labels for labels, _ in found] == [
        {"__name__": "holdfast_sockets", "instance": "127.0.0.1:9100", "job": "node",
         "rule": "db", "verdict": "held"}]
    assert prometheus.value("node_textfile_scrape_error") == 0

    socks[0].close()
    for _ in range(3):
        agent.connect("127.0.0.1", listener.port)
    wait_for(lambda: prometheus.value(held) == 5, "five are held", timeout=20, step=0.2)
    assert prometheus.value('holdfast_holds_total{way="connect"}') == 6
    assert prometheus.value('holdfast_ends_total{cause="application"}') == 1

    daemon.stop()
    wait_for(lambda: [labels["__name__"] for labels, _ in prometheus.query(
        '{__name__=~"holdfast_.*"}')] == ["holdfast_attached"], "only one is left",
             timeout=20, step=0.2)
    assert prometheus.value("holdfast_attached") == 0
    assert prometheus.value("up") == 1


@pytest.mark.waits
def test_alert_rules_run(daemon: Daemon, agent: Agent, listener: Listener, folder: str,
                         prometheus: Prometheus) -> None:
    """All alert rules are evaluated without an error, and the exposed socket's begins to fire."""
    daemon.start(daemon_section(reconcile="1s", guard="no",
                                metrics_textfile=os.path.join(folder, "holdfast.prom"))
                 + rule("db", override="never", window="350s"))
    agent.connect("127.0.0.1", listener.port, keepalive=1, time=5000)

    def pending() -> set[str]:
        return {labels["alertname"] for labels, _ in prometheus.query("ALERTS")}

    wait_for(lambda: pending() == {"HoldfastExposed"}, "the alert", timeout=20, step=0.2)
    # The label by which HoldfastTextfileStale finds the file.
    assert prometheus.value('node_textfile_mtime_seconds{file=~"(.*/)?holdfast[.]prom"}')
    group, = prometheus.api("rules")["groups"]
    assert len(group["rules"]) >= 8
    assert {(r["health"], r.get("lastError")) for r in group["rules"]} == {("ok", None)}


@pytest.mark.waits
def test_panels_have_data(daemon: Daemon, agent: Agent, listener: Listener, folder: str,
                          prometheus: Prometheus) -> None:
    """Each panel's expression gives series, except that those about faults give none."""
    daemon.start(daemon_section(reconcile="1s",
                                metrics_textfile=os.path.join(folder, "holdfast.prom")) + RULE)
    agent.connect("127.0.0.1", listener.port)
    wait_for(lambda: (prometheus.value("max(rate(holdfast_reconcile_duration_seconds_count[1m]))")
                      or 0) > 0, "two scrapes with a pass between", timeout=20, step=0.2)
    for expression in panel_expressions():
        faults = re.search(r"(== 0|> 0|> 300)", expression)
        assert bool(prometheus.query(expression)) != bool(faults), expression


# --- rules and dashboard ---

def test_rules_are_sound() -> None:
    """promtool finds no fault in the alert rules."""
    status, said = promtool("check", "rules", RULES)
    assert status == 0 and "SUCCESS" in said, said


def test_rules_fire_when_they_should() -> None:
    """Every alert fires when it should, with its text, and none does where all is well."""
    tests = os.path.join(TESTS_DIR, "holdfast.rules.test.yml")
    status, said = promtool("test", "rules", tests)
    assert status == 0, said
    with open(RULES, encoding="utf-8") as rules, open(tests, encoding="utf-8") as cases:
        alerts = set(re.findall(r"- alert: (\w+)", rules.read()))
        tried = re.findall(r"alertname: (\w+)\n.*\n( +exp_alerts:)?", cases.read())
    assert alerts
    # Each alert has a moment at which it fires, and one at which it doesn't yet.
    assert {name for name, fires in tried if fires} == alerts
    assert {name for name, fires in tried if not fires} == alerts


@pytest.mark.parametrize("source", ["dashboard", "rules"])
def test_names(daemon: Daemon, holdfast: Command, source: str) -> None:
    """Every metric and label value that rules or dashboard ask for is one that holdfast exports."""
    daemon.start(RULE)
    metrics = Metrics(holdfast("metrics").out)
    text = "\n".join(panel_expressions()) if source == "dashboard" else alert_expressions()
    histograms = {f"{name}_{part}" for name, kind in metrics.types.items() if kind == "histogram"
                  for part in ("bucket", "sum", "count")}
    asked = set(re.findall(r"\b(?:holdfast|node)_\w+|\bup\b", text))
    assert len(asked) >= 8
    assert asked <= metrics.types.keys() | histograms | FOREIGN
    told = set(re.findall(r'(\w+)="(\w+)"', metrics.text))
    values = {(label, value) for label, words in
              re.findall(r'\b(verdict|cause|way|outcome|action)(?:=~|!=|=)"([^"]*)"', text)
              for value in words.split("|")}
    assert values and values <= told


def test_variables() -> None:
    """The dashboard has one data source that all panels use, and variables for hosts and rules."""
    board = dashboard()
    variables = {variable["name"]: variable for variable in board["templating"]["list"]}
    assert [name for name, variable in variables.items() if variable["type"] == "datasource"] \
        == ["datasource"]
    assert set(variables) == {"datasource", "instance", "rule"}
    with open(DASHBOARD, encoding="utf-8") as file:
        text = file.read()
    sources = re.findall(r'"uid": "([^"]*)"', text)
    assert sources[0] == board["uid"] and set(sources[1:]) == {"${datasource}"}
    used = set(re.findall(r"\$\{?(\w+)", text)) - {"__rate_interval", "__all"}
    assert used == set(variables)


def test_panels() -> None:
    """No panels overlap, and each has a title, a description and expressions with names of their
    own."""
    taken: set[tuple[int, int]] = set()
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) \
        == len(panels)
    for panel in panels:
        place = panel["gridPos"]
        assert 0 <= place["x"] and place["x"] + place["w"] <= 24, panel["title"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                 for y in range(place["y"], place["y"] + place["h"])}
        assert cells and not cells & taken, panel["title"]
        taken |= cells
        assert panel["description"].endswith(".")
        names = [target["refId"] for target in panel["targets"]]
        assert names and len(set(names)) == len(names)
    # Every row of the grid is full.
    assert len(taken) == 24 * (1 + max(y for _, y in taken))
