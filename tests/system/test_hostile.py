"""Hostile neighbours: the names that they choose, the messages that they send, the obstacles they
make."""

import os
import struct
import subprocess
import sys
import time
from contextlib import suppress
from typing import Callable

import pytest

from harness import bpf, build
from harness.cgroup import Cgroup
from harness.command import Command, run
from harness.compiler import compile_c
from harness.config import PORT, daemon as daemon_section, rule
from harness.daemon import Daemon
from harness.fuse import StuckFile
from harness.kernel import needs
from harness.netns import Netns, connect_namespaces
from harness.options import UNTOUCHED, held
from harness.process import spawn, stop
from harness.sockets import Agent, Listener
from harness.wait import wait_for

RULE, VALUES = rule("all", time="120s", interval="30s", probes=4), held(120, 30, 4)
BAD_NAME = "\x1b]0;x\x07\n\u202e\u009b\"\\"


def attached(cgroup: Cgroup) -> list[int]:
    """Returns the programs on the control group."""
    return bpf.attached(cgroup.directory, bpf.SOCK_OPS)


@pytest.mark.parametrize("mode, owner", [(0o664, 0), (0o646, 0), (0o644, 65534)])
def test_writable_configuration(daemon: Daemon, cgroup: Cgroup, agent: Agent, listener: Listener,
                                mode: int, owner: int) -> None:
    """A configuration that others can write is refused at a start and a reload; `check` warns of
    it."""
    daemon.configure(RULE)
    os.chmod(daemon.config_file, mode)
    os.chown(daemon.config_file, owner, 0)
    daemon.launch()
    assert daemon.wait() == 78
    line = daemon.log.splitlines()[0]
    assert f"{daemon.config_file}:0: error: " in line and "(ch" in line, daemon.log
    assert not attached(cgroup)

    checked = run(build.HOLDFAST, "check", daemon.config_file)
    assert checked.status == 0
    assert ":0: warning: " in checked.err and "(ch" in checked.err

    os.chmod(daemon.config_file, 0o644)
    os.chown(daemon.config_file, 0, 0)
    daemon.start()
    sock = agent.connect("127.0.0.1", listener.port)
    daemon.configure(RULE.replace("120s", "60s"))
    os.chmod(daemon.config_file, mode)
    os.chown(daemon.config_file, owner, 0)
    daemon.reload()
    assert "not reloaded" in daemon.log
    assert sock.settings == VALUES
    os.chown(daemon.config_file, 0, 0)


@pytest.mark.parametrize("mode, owner, sound", [
    (0o777, 0, False), (0o775, 0, False), (0o755, 65534, False), (0o1777, 65534, False),
    (0o1777, 0, True), (0o755, 0, True)])
def test_writable_folder(daemon: Daemon, cgroup: Cgroup, workdir: str, mode: int, owner: int,
                         sound: bool) -> None:
    """A configuration in a folder where others can replace it is refused, unless mounted
    read-only."""
    folder = os.path.join(workdir, "etc")
    os.mkdir(folder)
    daemon.config_file = os.path.join(folder, "holdfast.conf")
    daemon.configure(RULE)
    os.chmod(folder, mode)
    os.chown(folder, owner, 0)
    checked = run(build.HOLDFAST, "check", daemon.config_file)
    assert checked.status == 0
    assert (f"{daemon.config_file}:0: warning: the folder {folder} " in checked.err) is not sound
    if sound:
        daemon.start()
        return
    daemon.launch()
    assert daemon.wait() == 78
    assert f"{daemon.config_file}:0: error: the folder {folder} " in daemon.log.splitlines()[0]
    assert not attached(cgroup)
    subprocess.run(["mount", "--bind", folder, folder], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
        daemon.start()  # like a ConfigMap: nobody can write there
        daemon.stop()
    finally:
        subprocess.run(["umount", folder], check=True)


def test_names(daemon: Daemon, holdfast: Command, make_agent: Callable[..., Agent],
               make_cgroup: Callable[..., Cgroup], cgroup: Cgroup, netns: Netns,
               listener: Listener) -> None:
    """Control characters and quotes in names of processes and control groups are shown escaped."""
    # A control group's name may contain anything but newlines and slashes.
    bad = make_cgroup(BAD_NAME.replace("\n", "") + "\udcff\udc80", cgroup)
    agent = make_agent(netns, bad)
    daemon.start(RULE)
    sock = agent.connect("127.0.0.1", listener.port)
    agent.call("rename", name=BAD_NAME)
    shown = holdfast.socket(sock.info["cookie"])
    for text in (shown["cgroup"], shown["processes"][0]["command"]):
        assert text.isprintable() and "\\x1b" in text, repr(text)
    assert "\\xff\\x80" in shown["cgroup"]
    for options in ((), ("-r",), ("-n", "-o", "+CGROUP"), ("-r", "-o", "CGROUP,PROCESSES")):
        out = holdfast("status", *options).out
        assert out.replace("\n", "").isprintable(), repr(out)
        assert len(out.splitlines()) == (1 if "-n" in options else 2), repr(out)


HOLDER = """
import fcntl, os, sys, time
fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX)
with open("/proc/self/comm", "w") as file:
    file.write("\\x1b[2J of\\tmine")
print("ready", flush=True)
time.sleep(600)
"""


def test_name_of_a_holder(daemon: Daemon) -> None:
    """The name of the process that has the pin dir is escaped in the log."""
    daemon.start(RULE)
    daemon.kill()
    holder = spawn([sys.executable, "-c", HOLDER, daemon.pin_dir], stdout=subprocess.PIPE)
    try:
        assert holder.stdout and holder.stdout.readline() == b"ready\n"
        daemon.launch()
        assert daemon.wait() == 1
        line = next(line for line in daemon.log.splitlines() if "can't start: " in line)
        assert line.isprintable()
        assert f"in use by \\x1b[2J of\\x09mine, process {holder.pid}" in line, line
    finally:
        holder.kill()
        holder.wait()
        assert holder.stdout
        holder.stdout.close()


def test_links(daemon: Daemon, cgroup: Cgroup, bpffs: str) -> None:
    """A symbolic link in place of the pin dir isn't followed."""
    target = os.path.join(bpffs, "target")
    os.mkdir(target)
    os.symlink(target, daemon.pin_dir)
    try:
        daemon.configure(RULE)
        daemon.launch()
        assert daemon.wait() == 1
        assert f"can't start: {daemon.pin_dir}" in daemon.log
        assert not attached(cgroup)
        assert not os.listdir(target)
    finally:
        os.unlink(daemon.pin_dir)
        os.rmdir(target)


def socket_kinds(pid: int) -> set[str]:
    """Returns the kinds of a process's sockets; `other` for those in other namespaces."""
    folder = f"/proc/{pid}/fd"
    inodes = set()
    for fd in os.listdir(folder):
        with suppress(FileNotFoundError):  # closed in the meantime
            target = os.readlink(os.path.join(folder, fd))
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    kinds = {}
    for table, column in (("tcp", 9), ("tcp6", 9), ("udp", 9), ("udp6", 9), ("unix", 6),
                          ("netlink", 9), ("raw", 9), ("packet", 8)):
        with open(f"/proc/{pid}/net/{table}", encoding="utf-8") as file:
            for line in list(file)[1:]:
                fields = line.split()
                if len(fields) > column and fields[column] in inodes:
                    kinds[fields[column]] = table
    return {kinds.get(inode, "other") for inode in inodes}


def test_nothing_listens(daemon: Daemon) -> None:
    """The daemon has no socket that takes connections or datagrams, only netlink sockets."""
    daemon.start(RULE)
    # A pass has a socket in each namespace for a moment.
    wait_for(lambda: socket_kinds(daemon.pid) == {"netlink"}, "it has netlink sockets alone")


FORGE = """
import os, socket, struct, sys
body = struct.pack("=BBBB", 2, 1, 2, 3) + b"\\xff" * 68
messages = [
    struct.pack("=IHHII", 88, 20, 0, 1, 0) + body + struct.pack("=IHHIIi", 20, 3, 0, 1, 0, 0),
    struct.pack("=IHHIIi", 20, 3, 0, 1, 0, 0),                  # the end
    struct.pack("=IHHIIi", 36, 2, 0, 1, 0, -95) + bytes(16),    # an error
    struct.pack("=IHHII", 0x80000000, 20, 0, 1, 0) + bytes(64), # walks off the buffer
]
sender = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 4)
route = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
print("ready", flush=True)
pids = []
while True:
    for message in messages:
        for pid in map(int, sys.argv[1:]):
            try:
                sender.sendto(message, (pid, 0))
            except OSError:
                pass
    try:  # to whoever listens to routes
        attribute = struct.pack("=HHB3xHHi", 8 + 8, 9, 0, 0, 0, 0)
        route.sendto(struct.pack("=IHHII", 28 + 16, 24, 0, 1, 0)
                     + struct.pack("=8BI", 2, 0, 0, 0, 254, 3, 0, 1, 0) + attribute, (0, 1 << 6))
    except OSError:
        pass
"""


def test_forged_answers(daemon: Daemon, holdfast: Command, agent: Agent, netns: Netns,
                        listener: Listener) -> None:
    """Forged netlink messages from root in a container don't keep a connection from being held
    again."""
    daemon.start(RULE + "[daemon]\nreconcile = 1s\nguard = no\n")
    sock = agent.connect("127.0.0.1", listener.port)
    forger = spawn([sys.executable, "-c", FORGE, str(daemon.pid)], netns, stdout=subprocess.PIPE)
    try:
        assert forger.stdout and forger.stdout.readline() == b"ready\n"
        for _ in range(3):
            sock.change(keepalive=0)
            wait_for(lambda: sock.settings == VALUES, "it is held again", 10)
            assert holdfast.socket(sock.info["cookie"])["verdict"] == "held"
    finally:
        stop(forger)
        assert forger.stdout
        forger.stdout.close()
    assert "incomplete" not in daemon.log
    assert "sock_diag" not in daemon.log


def test_flood(make_daemon: Callable[..., Daemon], make_netns: Callable[[], Netns],
               make_agent: Callable[..., Agent], cgroup: Cgroup, workdir: str) -> None:
    """A flood of route events from a container keeps the daemon neither from a reload nor from a
    stop."""
    home, container = make_netns(), make_netns()
    # This gives the container's namespace an id in the daemon's, which then gets its events.
    connect_namespaces(home, "cable", container, "eth0")
    daemon = make_daemon(netns=home)
    daemon.start(RULE)
    agent = make_agent(home, cgroup)
    sock = agent.connect("127.0.0.1", agent.listen(PORT).port)
    flood = spawn([compile_c("flood", workdir), "3"], container, stdout=subprocess.PIPE)
    try:
        assert flood.stdout and flood.stdout.readline() == b"ready\n"
        time.sleep(1)
        daemon.reload(RULE.replace("120s", "60s"))
        assert sock.settings == held(60, 30, 4)
        daemon.stop()
        assert sock.settings == UNTOUCHED
    finally:
        flood.kill()
        flood.wait()
        assert flood.stdout
        flood.stdout.close()


FLEETING = """
import os, socket, sys
held = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
print("ready", flush=True)
while True:
    for _ in range(8):
        if os.fork() == 0:
            copy = held.dup()
            os._exit(0)
    for _ in range(8):
        os.wait()
"""


def test_fleeting_processes(daemon: Daemon, holdfast: Command, netns: Netns, cgroup: Cgroup,
                            listener: Listener) -> None:
    """`status` names the lasting holder while other holders come and go and their PIDs are
    reused."""
    daemon.start(RULE + "[daemon]\nreconcile = 1s\n")
    process = spawn([sys.executable, "-c", FLEETING, str(listener.port)], netns, cgroup,
                    stdout=subprocess.PIPE)
    try:
        assert process.stdout and process.stdout.readline() == b"ready\n"
        end = time.monotonic() + 4
        while time.monotonic() < end:
            result = holdfast("status", "-J")
            assert result.status == 0, result
            for sock in result.json["sockets"]:
                pids = [owner["pid"] for owner in sock["processes"]]
                assert process.pid in pids, pids
    finally:
        stop(process)
        assert process.stdout
        process.stdout.close()
    assert "incomplete" not in daemon.log


def test_vanishing_namespaces(daemon: Daemon, holdfast: Command, agent: Agent,
                              listener: Listener) -> None:
    """Namespaces that come and go all the time keep no other one from being looked after."""
    daemon.start(RULE + "[daemon]\nreconcile = 1s\nguard = no\n")
    sock = agent.connect("127.0.0.1", listener.port)
    churn = spawn(["unshare", "--net", "sh", "-c",
                   "echo ready; while :; do unshare --net true; unshare --net true & wait; done"],
                  stdout=subprocess.PIPE)
    try:
        assert churn.stdout and churn.stdout.readline() == b"ready\n"
        for _ in range(3):
            sock.change(keepalive=0)
            wait_for(lambda: sock.settings == VALUES, "it is held again", 8)
            assert holdfast("status").status == 0
    finally:
        stop(churn)
        assert churn.stdout
        churn.stdout.close()
    assert "incomplete" not in daemon.log
    daemon.stop()
    assert sock.settings == UNTOUCHED


@needs("5.11", "to know a socket's namespace without taking hold of it")
@pytest.mark.waits
@pytest.mark.skipif(build.VALGRIND, reason="valgrind has no pidfd_open(2)")
def test_file_that_does_not_close(daemon: Daemon, agent: Agent, listener: Listener,
                                  make_netns: Callable[[], Netns], workdir: str) -> None:
    """A descriptor that is reused for a file whose close() blocks doesn't block the daemon.

    It was a socket when it was found, and belongs to a stuck file system when it is borrowed and
    closed.
    """
    if not os.path.exists("/dev/fuse"):
        pytest.skip("the kernel has no FUSE, or hasn't loaded it")
    make_netns()  # a namespace without a process, for which all open files are searched
    stuck = StuckFile(os.path.join(workdir, "stuck"))
    opener = "import os, sys, time; print(os.open(sys.argv[1], 0), flush=True); time.sleep(600)"
    holder = spawn([sys.executable, "-c", opener, stuck.path], stdout=subprocess.PIPE, text=True)
    assert holder.stdout
    number = int(holder.stdout.readline())
    found = os.path.join(workdir, "found")
    with open(found, "wb") as file:
        # struct hf_owner of an unknown namespace, three times: the search has to go on after it
        file.write(struct.pack("=QQiI16s", 1 << 40, 1, holder.pid, number, b"") * 3)
    pin = ""
    try:
        daemon.start(daemon_section(reconcile="1s") + RULE, "--verbose")
        pin = os.path.join(daemon.layout, "hf_strays")
        subprocess.run(["mount", "--bind", found, pin], check=True)
        wait_for(lambda: stuck.closing, "it has met the file")
        daemon.reload(RULE.replace("120s", "60s"))
        assert agent.connect("127.0.0.1", listener.port).settings == held(60, 30, 4)
        assert daemon.pid not in stuck.closing
        subprocess.run(["umount", pin], check=True)
        pin = ""
        # The helper that waits in close() has no descriptor of the daemon's: stop and start work.
        daemon.stop()
        daemon.start(RULE)
    finally:
        stuck.close()
        if pin:
            subprocess.run(["umount", pin], check=True)
        stop(holder)
        holder.stdout.close()
