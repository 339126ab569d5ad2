"""Runs the pods of packaging/kubernetes by podman, with just what their YAML gives them.

Every field has to be known here: an unknown one would be a privilege or a limit that the tests
lack.
"""

import os
import time
from dataclasses import dataclass
from typing import Any, Callable

import yaml

import source

DIRECTORY = os.path.join(source.TREE, "packaging", "kubernetes")
# Fields that don't affect what a container may do.
_OF_THE_CLUSTER = {"automountServiceAccountToken", "dnsPolicy", "priorityClassName", "tolerations",
                   "affinity", "terminationGracePeriodSeconds", "containers", "initContainers", "volumes"}
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
_OF_THE_NODE = {"name", "image", "resources", *PROBES}
# podman's exit statuses where it could not run the command.
_NOT_RUN = (125, 126, 127)


def documents(name: str) -> list[dict[str, Any]]:
    """Returns all objects of a file."""
    with open(os.path.join(DIRECTORY, name), encoding="utf-8") as file:
        return list(yaml.safe_load_all(file))


def the(kind: str, name: str) -> dict[str, Any]:
    """Returns the only object of a kind in a file."""
    (found,) = [document for document in documents(name) if document["kind"] == kind]
    return found


def _take(fields: dict[str, Any], name: str, known: dict[Any, list[str]]) -> list[str]:
    """Takes a field out of the fields. Returns podman's flags for its value; ValueError where it
    isn't known."""
    value = fields.pop(name)
    if value not in known:
        raise ValueError(f"{name}: {value}: what is that for podman?")
    return known[value]


def _security(context: dict[str, Any]) -> list[str]:
    fields = dict(context)
    flags = _take(fields, "privileged", {False: []})
    flags += _take(fields, "allowPrivilegeEscalation",
                   {False: ["--security-opt=no-new-privileges"]})
    flags += _take(fields, "readOnlyRootFilesystem",
                   {True: ["--read-only", "--read-only-tmpfs=false"]})
    flags.append(f"--user={fields.pop('runAsUser')}:{fields.pop('runAsGroup')}")
    capabilities = dict(fields.pop("capabilities"))
    flags += [f"--cap-drop={name}" for name in capabilities.pop("drop")]
    flags += [f"--cap-add={name}" for name in capabilities.pop("add", [])]
    if fields.pop("seccompProfile") != {"type": "RuntimeDefault"}:
        raise ValueError("seccompProfile: only the runtime's default is known")
    # podman uses its own seccomp profile by default; here AppArmor confines nothing.
    if fields.pop("appArmorProfile", None) not in (None, {"type": "Unconfined"}):
        raise ValueError("appArmorProfile: only Unconfined is known")
    if fields.pop("seLinuxOptions", None) not in (None, {"type": "spc_t"}):
        raise ValueError("seLinuxOptions: only spc_t is known")  # SELinux isn't here
    if fields or capabilities:
        raise ValueError(f"securityContext: unknown: {fields or capabilities}")
    return flags


def _volume(volume: dict[str, Any], paths: dict[str, str], configuration: str) -> str:
    """Returns where a volume is on this host."""
    if "configMap" in volume:
        return configuration
    if "emptyDir" in volume:
        if volume["emptyDir"] != {}:
            raise ValueError(f"emptyDir: unknown: {volume['emptyDir']}")
        return paths[volume["name"]]
    host_path = dict(volume["hostPath"])
    path = host_path.pop("path")
    if host_path != {"type": "Directory"}:
        raise ValueError(f"hostPath {path}: unknown: {host_path}")
    return paths.get(path, path)


def flags(pod: dict[str, Any], container: dict[str, Any], paths: dict[str, str],
          configuration: str) -> list[str]:
    """Returns podman's flags for one container of a pod. `paths` replaces host paths, and has the
    pod's own folders by the names of their volumes; `configuration` is the folder for the
    ConfigMap."""
    spec = dict(pod)
    made = _take(spec, "hostPID", {True: ["--pid=host"]})
    made += _take(spec, "hostNetwork", {True: ["--network=host"]})
    if set(spec) - _OF_THE_CLUSTER:
        raise ValueError(f"unknown: {set(spec) - _OF_THE_CLUSTER}")
    fields = {key: value for key, value in container.items() if key not in _OF_THE_NODE}
    made += _security(fields.pop("securityContext"))
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    for mount in fields.pop("volumeMounts", []):
        fault = set(mount) - {"name", "mountPath", "readOnly"}
        if fault:
            raise ValueError(f"volumeMounts: unknown: {fault}")
        place = _volume(volumes[mount["name"]], paths, configuration)
        made.append(f"--volume={place}:{mount['mountPath']}"
                    + (":ro" if mount.get("readOnly") else ""))
    fields.pop("args", None)
    fields.pop("command", None)
    if fields:
        raise ValueError(f"unknown: {fields}")
    return made


@dataclass(frozen=True)
class Probe:
    """A probe by which kubelet finds out how a container does."""

    command: list[str]
    period: float
    timeout: float
    failures: int

    @classmethod
    def of(cls, container: dict[str, Any], name: str) -> "Probe":
        """Returns a container's probe, with Kubernetes' defaults for what it leaves out."""
        fields = dict(container[name])
        execute = dict(fields.pop("exec"))
        made = cls(execute.pop("command"), fields.pop("periodSeconds", 10),
                   fields.pop("timeoutSeconds", 1), fields.pop("failureThreshold", 3))
        if fields or execute:
            raise ValueError(f"{name}: unknown: {fields or execute}")
        return made


# Runs a command in a container and returns exit status and output; TimeoutError.
Execute = Callable[[list[str], float], tuple[int, str]]


class Kubelet:
    """Probes one container as kubelet does. Its user says when the container starts."""

    def __init__(self, container: dict[str, Any], execute: Execute) -> None:
        self.startup, self.readiness, self.liveness = (
            Probe.of(container, name) if name in container else None for name in PROBES)
        self._execute = execute
        self.said: list[str] = []

    def succeeds(self, probe: Probe | None) -> bool:
        """Makes a probe once and returns whether it succeeds; a missing probe always does."""
        if not probe:
            return True
        try:
            status, said = self._execute(probe.command, probe.timeout)
        except TimeoutError:
            status, said = 1, "it takes too long"
        # kubelet counts these as failures, but here they mean that the manifest is wrong.
        assert status not in _NOT_RUN, (probe, said)
        self.said.append(said)
        return status == 0

    def started(self) -> bool:
        """Waits until the startup probe succeeds. Returns False where kubelet would end the
        container."""
        probe = self.startup
        for number in range(probe.failures if probe else 1):
            if number and probe:
                time.sleep(probe.period)
            if self.succeeds(probe):
                return True
        return False

    def ready(self) -> bool:
        """Whether the readiness probe succeeds at this moment; only after started()."""
        return self.succeeds(self.readiness)

    def lives(self) -> bool:
        """Whether the container is alive: False where as many liveness probes as kubelet allows
        fail in a row."""
        return any(self.succeeds(self.liveness)
                   for _ in range(self.liveness.failures if self.liveness else 1))


def command(container: dict[str, Any], image: str) -> list[str]:
    """Returns the image and the command that a container runs."""
    if "command" not in container:
        return [image, *container.get("args", [])]
    program, *arguments = container["command"]
    return [f"--entrypoint={program}", image, *arguments, *container.get("args", [])]


def write_config_map(directory: str, number: int, files: dict[str, str]) -> None:
    """Puts a ConfigMap's files in place as kubelet does: as links into a folder that is swapped."""
    version = f"..version-{number}"
    os.makedirs(os.path.join(directory, version))
    for name, text in files.items():
        with open(os.path.join(directory, version, name), "w", encoding="utf-8") as file:
            file.write(text)
        link = os.path.join(directory, name)
        if not os.path.islink(link):
            os.symlink(os.path.join("..data", name), link)
    staged = os.path.join(directory, "..data_tmp")
    os.symlink(version, staged)
    os.rename(staged, os.path.join(directory, "..data"))
