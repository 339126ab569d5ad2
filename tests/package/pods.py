"""Pods of packaging/kubernetes, run by podman with just what their YAML gives them.

Every field has to be known here: one that isn't would be a privilege, or a limit, that the tests
don't have.
"""

import os
from typing import Any

import yaml

import source

DIRECTORY = os.path.join(source.TREE, "packaging", "kubernetes")
# Says nothing about what a container may do.
_OF_THE_CLUSTER = {"automountServiceAccountToken", "dnsPolicy", "priorityClassName", "tolerations",
                   "terminationGracePeriodSeconds", "containers", "initContainers", "volumes"}
_OF_THE_NODE = {"name", "image", "resources", "readinessProbe"}


def documents(name: str) -> list[dict[str, Any]]:
    """All objects of a file."""
    with open(os.path.join(DIRECTORY, name), encoding="utf-8") as file:
        return list(yaml.safe_load_all(file))


def the(kind: str, name: str) -> dict[str, Any]:
    """The only object of a kind in a file."""
    (found,) = [document for document in documents(name) if document["kind"] == kind]
    return found


def _take(fields: dict[str, Any], name: str, known: dict[Any, list[str]]) -> list[str]:
    """The flags for a field's value, each of which has to be known."""
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
    # podman takes its profile by default; nothing here confines by AppArmor.
    if fields.pop("appArmorProfile", None) not in (None, {"type": "Unconfined"}):
        raise ValueError("appArmorProfile: only Unconfined is known")
    if fields or capabilities:
        raise ValueError(f"securityContext: unknown: {fields or capabilities}")
    return flags


def _volume(volume: dict[str, Any], paths: dict[str, str], configuration: str) -> str:
    """Where it is on this host."""
    if "configMap" in volume:
        return configuration
    host_path = dict(volume["hostPath"])
    path = host_path.pop("path")
    if host_path != {"type": "Directory"}:
        raise ValueError(f"hostPath {path}: unknown: {host_path}")
    return paths.get(path, path)


def flags(pod: dict[str, Any], container: dict[str, Any], paths: dict[str, str],
          configuration: str) -> list[str]:
    """podman's flags for one container of a pod. `paths` are host paths to put in others' places,
    and `configuration` is the folder for the ConfigMap."""
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


def command(container: dict[str, Any], image: str) -> list[str]:
    """The image and what it runs."""
    if "command" not in container:
        return [image, *container.get("args", [])]
    program, *arguments = container["command"]
    return [f"--entrypoint={program}", image, *arguments, *container.get("args", [])]


def write_config_map(directory: str, number: int, files: dict[str, str]) -> None:
    """Puts a ConfigMap's files in place as kubelet does: links into a folder that is swapped."""
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
