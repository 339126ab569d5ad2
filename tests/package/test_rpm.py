"""The RPM: clean, complete, and installed, upgraded and removed in a root of its own.

Debian's rpm builds and installs it, so that the scriptlets are those of
packaging/rpm/macros.debian, which stands in for Fedora's macros.
"""

import glob
import os
import re
import subprocess

import pytest

import source

NAME_VERSION = f"holdfast-{source.version()}"
# Each with type and permissions as shown by ls.
CONTENTS = f"""
    drwxr-xr-x /etc/holdfast
    -rw-r--r-- /etc/holdfast/holdfast.conf
    drwxr-xr-x /etc/holdfast/holdfast.conf.d
    -rwxr-xr-x /usr/bin/holdfast
    -rwxr-xr-x /usr/sbin/holdfastd
    -rw-r--r-- /usr/lib/systemd/system/holdfast.service
    -rw-r--r-- /usr/share/bash-completion/completions/holdfast
    lrwxrwxrwx /usr/share/bash-completion/completions/holdfastd
    drwxr-xr-x /usr/share/doc/{NAME_VERSION}
    -rw-r--r-- /usr/share/doc/{NAME_VERSION}/NEWS.md
    -rw-r--r-- /usr/share/doc/{NAME_VERSION}/README.md
    -rw-r--r-- /usr/share/fish/vendor_completions.d/holdfast.fish
    lrwxrwxrwx /usr/share/fish/vendor_completions.d/holdfastd.fish
    drwxr-xr-x /usr/share/holdfast
    drwxr-xr-x /usr/share/holdfast/grafana
    -rw-r--r-- /usr/share/holdfast/grafana/holdfast.json
    drwxr-xr-x /usr/share/holdfast/kubernetes
    -rw-r--r-- /usr/share/holdfast/kubernetes/Chart.yaml
    -rw-r--r-- /usr/share/holdfast/kubernetes/holdfast.conf
    -rw-r--r-- /usr/share/holdfast/kubernetes/holdfast.yaml
    -rw-r--r-- /usr/share/holdfast/kubernetes/kustomization.yaml
    -rw-r--r-- /usr/share/holdfast/kubernetes/metrics.yaml
    -rw-r--r-- /usr/share/holdfast/kubernetes/release.yaml
    drwxr-xr-x /usr/share/holdfast/kubernetes/templates
    -rw-r--r-- /usr/share/holdfast/kubernetes/templates/holdfast.yaml
    -rw-r--r-- /usr/share/holdfast/kubernetes/values.yaml
    drwxr-xr-x /usr/share/holdfast/prometheus
    -rw-r--r-- /usr/share/holdfast/prometheus/holdfast.rules.yml
    drwxr-xr-x /usr/share/holdfast/schema
    -rw-r--r-- /usr/share/holdfast/schema/check.schema.json
    -rw-r--r-- /usr/share/holdfast/schema/common.schema.json
    -rw-r--r-- /usr/share/holdfast/schema/explain.schema.json
    -rw-r--r-- /usr/share/holdfast/schema/measure.schema.json
    -rw-r--r-- /usr/share/holdfast/schema/preview.schema.json
    -rw-r--r-- /usr/share/holdfast/schema/probe.schema.json
    -rw-r--r-- /usr/share/holdfast/schema/status.schema.json
    drwxr-xr-x /usr/share/licenses/{NAME_VERSION}
    -rw-r--r-- /usr/share/licenses/{NAME_VERSION}/LICENSE
    -rw-r--r-- /usr/share/man/man5/holdfast.conf.5.gz
    -rw-r--r-- /usr/share/man/man8/holdfast.8.gz
    -rw-r--r-- /usr/share/man/man8/holdfastd.8.gz
    -rw-r--r-- /usr/share/man/zh_CN/man5/holdfast.conf.5.gz
    -rw-r--r-- /usr/share/man/zh_CN/man8/holdfast.8.gz
    -rw-r--r-- /usr/share/man/zh_CN/man8/holdfastd.8.gz
    -rw-r--r-- /usr/share/zsh/site-functions/_holdfast
"""
CONFIG = "etc/holdfast/holdfast.conf"
# Programs that log their calls, in place of those that the scriptlets run.
NOTES = """#!/bin/sh
echo "${0##*/} $*" >> /calls
"""


def package(rpm_dir: str, name: str = "holdfast") -> str:
    """Returns the path of a package."""
    (path,) = glob.glob(os.path.join(rpm_dir, "RPMS", "*", f"{name}-[0-9]*.rpm"))
    return path


def query(path: str, *options: str) -> str:
    """Returns what rpm says of a package."""
    return subprocess.run(["rpm", "-qp", *options, path], check=True, capture_output=True,
                          text=True).stdout


class Root:
    """A root file system with a shell and hardly anything else."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        for folder in ("bin", "usr/bin", "usr/sbin", "var/lib/rpm", "run/systemd/system", "tmp"):
            os.makedirs(self.path(folder))
        subprocess.run(["cp", "/bin/busybox", self.path("bin/busybox")], check=True)
        os.symlink("busybox", self.path("bin/sh"))
        self.fake("usr/bin/systemctl")

    def path(self, name: str) -> str:
        """Returns a path's place outside of the root."""
        return os.path.join(self.directory, name)

    def fake(self, name: str, status: int = 0) -> None:
        """Writes a program that only logs its calls."""
        with open(self.path(name), "w", encoding="ascii") as file:
            file.write(f"{NOTES}exit {status}\n")
        os.chmod(self.path(name), 0o755)

    def read(self, name: str) -> str:
        """Returns a file's text."""
        with open(self.path(name), encoding="utf-8") as file:
            return file.read()

    def write(self, name: str, text: str) -> None:
        """Writes a file's text."""
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)

    def rpm(self, *arguments: str, status: int = 0) -> str:
        """Runs rpm on this root, which ends with that status. Returns its output."""
        done = subprocess.run(
            ["rpm", "--root", self.directory, "--dbpath", "/var/lib/rpm", "--nodeps",
             "--nosignature", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, check=False)
        assert done.returncode == status, done.stdout
        return done.stdout

    def calls(self) -> list[str]:
        """Returns what scriptlets have called since the last time."""
        if not os.path.exists(self.path("calls")):
            return []
        calls = self.read("calls").splitlines()
        os.unlink(self.path("calls"))
        return calls

    def ours(self) -> list[str]:
        """Returns every file and folder whose path contains `holdfast`."""
        found = [os.path.relpath(os.path.join(parent, name), self.directory)
                 for parent, folders, files in os.walk(self.directory)
                 for name in folders + files]
        return sorted(name for name in found if "holdfast" in name)


@pytest.fixture(name="root")
def _root(workdir: str) -> Root:
    """An empty root."""
    return Root(os.path.join(workdir, "root"))


def test_rpmlint(rpm_dir: str) -> None:
    """rpmlint finds no errors by Fedora's conventions."""
    packages = [*glob.glob(os.path.join(rpm_dir, "RPMS", "*", "*.rpm")),
                *glob.glob(os.path.join(rpm_dir, "SRPMS", "*.rpm"))]
    directory = os.path.join(source.TREE, "packaging/rpm")
    done = subprocess.run(
        ["rpmlint", "--config", os.path.join(directory, "rpmlint.toml"), *packages,
         os.path.join(directory, "holdfast.spec")], capture_output=True, text=True, check=False)
    print(done.stdout, done.stderr)
    assert done.returncode == 0
    assert " 0 errors" in done.stdout and ": E: " not in done.stdout


def test_contents(rpm_dir: str) -> None:
    """The package has exactly these files, all root's, apart from build-ids."""
    rows = [line.split() for line in query(package(rpm_dir), "-lv").splitlines()]
    found = {(row[0], row[8]) for row in rows if "/.build-id" not in row[8]}
    assert found == {tuple(line.split()) for line in CONTENTS.strip().splitlines()}
    assert {(row[2], row[3]) for row in rows} == {("root", "root")}


def test_configuration(rpm_dir: str) -> None:
    """The configuration is %config(noreplace), and no other file is."""
    flags = query(package(rpm_dir), "--qf", "[%{FILEFLAGS:fflags} %{FILENAMES}\n]").splitlines()
    assert [line for line in flags if "c" in line.split()[0] and len(line.split()) > 1] == [
        f"cn /{CONFIG}"]


def test_debuginfo(rpm_dir: str) -> None:
    """Symbols and source are in packages of their own."""
    (symbols,) = {path for path in query(package(rpm_dir, "holdfast-debuginfo"), "-l").split()
                  if re.search(r"/usr/sbin/holdfastd-.*\.debug$", path)}
    assert symbols.startswith("/usr/lib/debug/")
    sources = query(package(rpm_dir, "holdfast-debugsource"), "-l")
    assert re.search(r"^/usr/src/debug/\S+/daemon/holdfastd\.c$", sources, re.MULTILINE)


def test_requires(rpm_dir: str) -> None:
    """The package requires systemd for its scriptlets, and its libraries by their sonames."""
    requires = query(package(rpm_dir), "--requires").splitlines()
    assert "systemd" in requires
    assert any(line.startswith("libbpf.so.1") for line in requires)


def test_description(rpm_dir: str) -> None:
    """The description names the oldest kernel of README.md."""
    said = query(package(rpm_dir), "--qf", "%{DESCRIPTION}")
    assert f"Linux {source.least_kernel()} or later" in said


def test_release_that_fails(root: Root, rpm_dir: str) -> None:
    """The package isn't removed where `holdfast release` fails, which alone can make good."""
    root.rpm("-i", package(rpm_dir))
    os.makedirs(root.path("sys/fs/bpf/holdfast"))
    root.fake("usr/bin/holdfast", 4)
    assert "is still in force" in root.rpm("-e", "holdfast", status=1)
    assert root.ours()
    os.rmdir(root.path("sys/fs/bpf/holdfast"))
    root.rpm("-e", "holdfast")
    assert not root.ours()


def test_life(root: Root, rpm_dir: str, earlier_rpm_dir: str) -> None:
    """Installation, upgrade with an edited configuration, and removal run the right scriptlets."""
    root.rpm("-i", package(earlier_rpm_dir))
    # The distribution's presets decide whether it is enabled; nothing is started.
    assert root.calls() == ["systemctl --no-reload preset holdfast.service"]

    edited = root.read(CONFIG).replace("window = auto", "window = 350s")
    root.write(CONFIG, edited)
    root.rpm("-U", package(rpm_dir))
    # A restart leaves every held socket held; nothing is stopped first.
    assert root.calls() == ["systemctl daemon-reload", "systemctl try-restart holdfast.service"]
    assert root.read(CONFIG) == edited
    with open(os.path.join(source.TREE, "packaging/holdfast.conf"), encoding="utf-8") as file:
        assert root.read(f"{CONFIG}.rpmnew") == file.read()

    # The scriptlet sees the pins that a crash has left.
    os.makedirs(root.path("sys/fs/bpf/holdfast"))
    root.fake("usr/bin/holdfast")
    root.rpm("-e", "holdfast")
    assert root.calls() == ["systemctl --no-reload disable --now holdfast.service",
                            "holdfast release", "systemctl daemon-reload"]
    os.rmdir(root.path("sys/fs/bpf/holdfast"))
    # The administrator's files stay, under other names.
    assert root.ours() == ["etc/holdfast", f"{CONFIG}.rpmnew", f"{CONFIG}.rpmsave"]


def test_removal_leaves_nothing(root: Root, rpm_dir: str) -> None:
    """Removal leaves no file where none was changed, and releases nothing where nothing is
    attached."""
    root.rpm("-i", package(rpm_dir))
    assert root.ours()
    root.calls()
    root.fake("usr/bin/holdfast")
    root.rpm("-e", "holdfast")
    assert not root.ours()
    assert "holdfast release" not in root.calls()


def test_upgrade_takes_a_new_default(root: Root, rpm_dir: str, earlier_rpm_dir: str) -> None:
    """An upgrade replaces a default configuration that was never edited."""
    root.rpm("-i", package(earlier_rpm_dir))
    assert source.LESS in root.read(CONFIG)
    root.rpm("-U", package(rpm_dir))
    assert source.LESS not in root.read(CONFIG)
    assert [name for name in root.ours() if name.startswith(CONFIG)] == [
        CONFIG, "etc/holdfast/holdfast.conf.d"]
