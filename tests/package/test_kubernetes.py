"""The Kubernetes manifests: each is consistent, and they agree where they have to."""

import os
import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml

import pods
import source
from harness import build

FILES = ["holdfast.yaml", "release.yaml"]


def spec(name: str) -> dict[str, Any]:
    """Returns the pod of a file's DaemonSet."""
    return pods.the("DaemonSet", name)["spec"]["template"]["spec"]


def kustomization() -> dict[str, Any]:
    """Returns what kustomize is told."""
    (found,) = pods.documents("kustomization.yaml")
    return found


def privileged(name: str) -> dict[str, Any]:
    """Returns the container that has the capabilities."""
    pod = spec(name)
    (found,) = [container for container in pod.get("initContainers", []) + pod["containers"]
                if "add" in container["securityContext"]["capabilities"]]
    return found


@pytest.mark.parametrize("name", FILES)
def test_daemon_set(name: str) -> None:
    """The DaemonSet selects its own pods, and all its objects are in one namespace."""
    daemon_set = pods.the("DaemonSet", name)
    template = daemon_set["spec"]["template"]
    assert daemon_set["spec"]["selector"]["matchLabels"] == template["metadata"]["labels"]
    assert daemon_set["apiVersion"] == "apps/v1"
    assert {document["metadata"].get("namespace", "holdfast")
            for document in pods.documents(name)} == {"holdfast"}
    # AppArmor's annotation beside its field is refused by some versions.
    assert "annotations" not in template["metadata"]


@pytest.mark.parametrize("name", FILES)
def test_volumes(name: str) -> None:
    """Each volume is mounted, and each mount has its volume."""
    pod = spec(name)
    mounted = {mount["name"] for container in pod.get("initContainers", []) + pod["containers"]
               for mount in container.get("volumeMounts", [])}
    assert mounted == {volume["name"] for volume in pod["volumes"]}
    maps = {volume["configMap"]["name"] for volume in pod["volumes"] if "configMap" in volume}
    assert maps <= {made["name"] for made in kustomization()["configMapGenerator"]}


@pytest.mark.parametrize("name", FILES)
def test_image(name: str) -> None:
    """The images are those of this version."""
    pod = spec(name)
    tags = {container["image"] for container in pod.get("initContainers", []) + pod["containers"]}
    assert tags == {f"registry.example/holdfast:{source.version()}"}


def test_no_more_than_the_unit_has() -> None:
    """The container has the unit's capabilities, no others, and isn't privileged."""
    with open(os.path.join(source.TREE, "packaging/systemd/holdfast.service"),
              encoding="utf-8") as file:
        match = re.search(r"^CapabilityBoundingSet=(.*)$", file.read(), re.MULTILINE)
    assert match
    context = privileged("holdfast.yaml")["securityContext"]
    assert {f"CAP_{name}" for name in context["capabilities"]["add"]} == set(match[1].split())
    assert context["capabilities"]["drop"] == ["ALL"]
    assert context["privileged"] is False and context["allowPrivilegeEscalation"] is False


def test_release_is_alike() -> None:
    """The release container has exactly the daemon's privileges and mounts."""
    daemon, release = privileged("holdfast.yaml"), privileged("release.yaml")
    assert daemon["securityContext"] == release["securityContext"]
    for key in ("hostPID", "hostNetwork", "automountServiceAccountToken", "tolerations",
                "affinity"):
        assert spec("holdfast.yaml")[key] == spec("release.yaml")[key]
    assert [mount for mount in daemon["volumeMounts"] if mount["name"] != "rules"] == \
        [mount for mount in release["volumeMounts"] if mount["name"] != "outcome"]


def test_rules(workdir: str) -> None:
    """`holdfast check` finds no fault in the rules, with and without metrics."""
    with open(os.path.join(pods.DIRECTORY, "holdfast.conf"), encoding="utf-8") as file:
        rules = file.read()
    with open(os.path.join(pods.DIRECTORY, "kustomization.yaml"), encoding="utf-8") as file:
        lines = re.findall(r"^#   (\[daemon\]|metrics-textfile = .*)$", file.read(), re.MULTILINE)
    metrics = "\n".join(lines) + "\n"
    (patched,) = pods.the("DaemonSet", "metrics.yaml")["spec"]["template"]["spec"]["containers"]
    (mount,) = patched["volumeMounts"]
    assert os.path.dirname(metrics.split()[-1]) == mount["mountPath"]
    for text in (rules, metrics + rules):
        path = os.path.join(workdir, "holdfast.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        done = subprocess.run([build.HOLDFAST, "check", path], capture_output=True, text=True,
                              check=False)
        assert (done.returncode, done.stderr) == (0, "")


def test_kustomization() -> None:
    """It names files that are there, and all of them, but for what is applied by itself."""
    made = kustomization()
    (rules,) = made["configMapGenerator"]
    named = {*made["resources"], *rules["files"], "metrics.yaml", "kustomization.yaml"}
    chart = {"Chart.yaml", "values.yaml", "templates"}
    assert named | chart | {"release.yaml"} == set(os.listdir(pods.DIRECTORY))


@pytest.mark.parametrize("metrics", [False, True])
def test_kubectl(workdir: str, metrics: bool) -> None:
    """kubectl makes of it what it says: rules whose name changes as they do, and a patch."""
    if not shutil.which("kubectl"):
        pytest.skip("kubectl is missing (package kubernetes-client)")
    directory = os.path.join(workdir, "kubernetes")
    shutil.copytree(pods.DIRECTORY, directory)
    if metrics:
        path = os.path.join(directory, "kustomization.yaml")
        with open(path, encoding="utf-8") as file:
            text = re.sub(r"^#(patches:|  - path:)", r"\1", file.read(), flags=re.MULTILINE)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    names = []
    for line in ("", "\n# another revision\n"):
        with open(os.path.join(directory, "holdfast.conf"), "a", encoding="utf-8") as file:
            file.write(line)
        out = subprocess.run(["kubectl", "kustomize", directory], check=True, text=True,
                             stdout=subprocess.PIPE).stdout
        objects = {made["kind"]: made for made in yaml.safe_load_all(out)}
        assert set(objects) == {"Namespace", "ResourceQuota", "ConfigMap", "DaemonSet"}
        pod = objects["DaemonSet"]["spec"]["template"]["spec"]
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        names.append(objects["ConfigMap"]["metadata"]["name"])
        assert volumes["rules"]["configMap"]["name"] == names[-1]
        assert ("metrics" in volumes) == metrics
        mounts = {mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
        assert mounts == set(volumes)
    assert names[0] != names[1]


def test_quota() -> None:
    """Where a quota is wanted for the pods' priority, there is one for that."""
    (scope,) = pods.the("ResourceQuota", "holdfast.yaml")["spec"]["scopeSelector"]["matchExpressions"]
    assert scope["values"] == [spec("holdfast.yaml")["priorityClassName"]]


def test_roll_out() -> None:
    """An update replaces one node's pod at a time, and the probes ask the pod's own daemon."""
    daemon_set = pods.the("DaemonSet", "holdfast.yaml")["spec"]
    assert daemon_set["updateStrategy"]["rollingUpdate"] == {"maxUnavailable": 1}
    assert daemon_set["minReadySeconds"] >= 10
    probes = [pods.Probe.of(privileged("holdfast.yaml"), name) for name in pods.PROBES]
    assert {tuple(probe.command) for probe in probes} == {("holdfast", "status", "--daemon")}
    startup, _, liveness = probes
    # The kubelet must not kill a daemon that looks at many sockets at its start, or one that is
    # slow to answer under a moment's load.
    assert startup.period * startup.failures >= 300
    assert liveness.failures >= 3
