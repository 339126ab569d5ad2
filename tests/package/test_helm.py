"""The Helm chart: what it makes is the manifest, changed as the values say.

helm isn't in Debian: `make chart` fetches it, and runs this.
"""

import copy
import os
import shutil
import subprocess
from typing import Any

import pytest
import yaml

import pods
import source

pytestmark = pytest.mark.skipif(not shutil.which("helm"), reason="helm is missing (make chart)")
NEW, OLD = "1.33.0", "1.29.0"
Objects = dict[str, Any]


def made(*words: str, version: str = NEW) -> Objects:
    """Returns what the chart makes, by kind."""
    out = subprocess.run(["helm", "template", "holdfast", pods.DIRECTORY, "--kube-version", version,
                          *words], check=True, text=True, stdout=subprocess.PIPE).stdout
    return {made["kind"]: made for made in yaml.safe_load_all(out) if made}


def the_manifest() -> Objects:
    """Returns the objects of holdfast.yaml, and the rules of holdfast.conf."""
    with open(os.path.join(pods.DIRECTORY, "holdfast.conf"), encoding="utf-8") as file:
        rules = file.read()
    return {**{document["kind"]: document for document in pods.documents("holdfast.yaml")},
            "ConfigMap": {"apiVersion": "v1", "kind": "ConfigMap",
                          "metadata": {"name": "holdfast", "namespace": "holdfast"},
                          "data": {"holdfast.conf": rules}}}


def without_hash(objects: Objects) -> Objects:
    """Returns the objects with the name of the rules as the manifest has it; it is the same
    wherever it stands."""
    objects = copy.deepcopy(objects)
    name = objects["ConfigMap"]["metadata"]["name"]
    assert name.startswith("holdfast-") and len(name) == len("holdfast-") + 10
    [volume] = [volume for volume in pod(objects)["volumes"] if "configMap" in volume]
    assert volume["configMap"]["name"] == name
    objects["ConfigMap"]["metadata"]["name"] = volume["configMap"]["name"] = "holdfast"
    objects["ConfigMap"]["data"] = {key: f"{text.rstrip()}\n" for key, text in
                                    objects["ConfigMap"]["data"].items()}
    return objects


def pod(objects: Objects) -> Any:
    """Returns the DaemonSet's pod."""
    return objects["DaemonSet"]["spec"]["template"]["spec"]


def test_lint() -> None:
    """helm finds no fault, and the versions are the Makefile's."""
    subprocess.run(["helm", "lint", "--strict", pods.DIRECTORY], check=True,
                   stdout=subprocess.DEVNULL)
    (chart,) = pods.documents("Chart.yaml")
    assert chart["version"] == chart["appVersion"] == source.version()


def test_is_the_manifest() -> None:
    """Without values it is the manifest, with its rules."""
    assert without_hash(made()) == the_manifest()


def test_before_1_30() -> None:
    """Where the field for AppArmor isn't known there is an annotation in its place."""
    objects, expected = without_hash(made(version=OLD)), the_manifest()
    [container] = pod(expected)["containers"]
    del container["securityContext"]["appArmorProfile"]
    expected["DaemonSet"]["spec"]["template"]["metadata"]["annotations"] = {
        f"container.apparmor.security.beta.kubernetes.io/{container['name']}": "unconfined"}
    assert objects == expected


def test_values(workdir: str) -> None:
    """Each value has its place; other rules have another name."""
    path = os.path.join(workdir, "rules.conf")
    with open(path, "w", encoding="utf-8") as file:
        file.write("[rule a]\ndestination = any\n")
    objects = made("--set", "image=registry.example/other:1", "--set-file", f"rules={path}",
                   "--set", "architectures={amd64,arm64}", "--set", "resources.requests.cpu=20m",
                   "--set", "metricsDirectory=/srv/metrics")
    [container] = pod(objects)["containers"]
    assert container["image"] == "registry.example/other:1"
    assert container["resources"]["requests"] == {"cpu": "20m", "memory": "32Mi"}
    rules = objects["ConfigMap"]["data"]["holdfast.conf"]
    assert rules.startswith("[daemon]\nmetrics-textfile = /srv/metrics/holdfast.prom\n")
    assert rules.rstrip().endswith("[rule a]\ndestination = any")
    assert {"name": "metrics", "mountPath": "/srv/metrics"} in container["volumeMounts"]
    assert {"name": "metrics", "hostPath": {"path": "/srv/metrics", "type": "DirectoryOrCreate"}} \
        in pod(objects)["volumes"]
    terms = pod(objects)["affinity"]["nodeAffinity"][
        "requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    [arch] = [expression for expression in terms[0]["matchExpressions"]
              if expression["key"] == "kubernetes.io/arch"]
    assert arch["values"] == ["amd64", "arm64"]
    assert objects["ConfigMap"]["metadata"]["name"] != made()["ConfigMap"]["metadata"]["name"]
