"""`holdfast probe` has every held connection probed now, and leaves all settings as they were."""

import json
import os
import signal
import struct
import subprocess
import time
from typing import Iterator

import pytest

from harness import bpf, build, sockdiag
from harness.capture import Capture
from harness.command import Command, Result
from harness.config import PORT, daemon as daemon_section, rule
from harness.daemon import Daemon
from harness.fault import KERNEL, STOP, Fault
from harness.kernel import needs
from harness.netns import Netns
from harness.options import UNTOUCHED, Settings, held
from harness.process import spawn, state
from harness.sockets import Agent, Listener, Socket
from harness.wait import sleep_until, wait_for

WELL, NOT_WELL, USAGE, NOTHING_ATTACHED = 0, 1, 2, 3
RULE = rule("all", time="120s", interval="30s", probes=4, window="350s")
VALUES = held(120, 30, 4)
DROP = ("table inet t {\n chain c {\n type filter hook input priority 0\n"
        f"tcp dport {PORT} drop\n }}\n }}\n")


@pytest.fixture
def capture(netns: Netns) -> Iterator[Capture]:
    """A capture on `lo`."""
    watching = Capture(netns)
    yield watching
    watching.close()


def probes(capture: Capture, sock: Socket) -> list[float]:
    """Returns when probes were sent on a connection."""
    info = sock.info
    return capture.probes(tuple(info["local"]), tuple(info["peer"]))


def answers(result: Result) -> dict[int, dict]:
    """Returns what `probe -J` says of each socket, by its cookie."""
    return {s["cookie"]: s for s in result.json["sockets"]}


def test_answered(daemon: Daemon, agent: Agent, netns: Netns, listener: Listener,
                  holdfast: Command, capture: Capture) -> None:
    """Each held or `own` connection is probed once, and its answer is reported with its time."""
    netns.add_address("10.20.0.8", "10.20.99.1", "10.20.99.2")
    before = agent.connect("127.0.0.1", PORT)
    daemon.start(RULE + rule("b", "10.20.0.8", time="60s") + rule("lab", "10.20.99.1", enforce="no")
                 + rule("other", "10.20.99.2", port=1))
    after, b = agent.connect("127.0.0.1", PORT), agent.connect("10.20.0.8", PORT)
    own = agent.connect("127.0.0.1", PORT, keepalive=1, time=50, interval=7, probes=2)
    exempt = agent.connect("10.20.99.1", PORT)
    mine = [before, after, b, own]
    values = [s.settings for s in mine]
    assert values == [VALUES, VALUES, held(60, 6, 5), held(50, 7, 2)]
    time.sleep(1.1)

    result = holdfast("probe", "-J")
    assert result.status == WELL, result
    said = answers(result)
    assert set(said) == {s.info["cookie"] for s in mine}
    for sock in mine:
        answer = said[sock.info["cookie"]]
        assert answer["answered"] is True and answer["outcome"] == "answered"
        assert 0 <= answer["ms"] < 500, answer
        assert answer["processes"][0]["pid"] == agent.pid
    assert [s.settings for s in mine] == values
    assert [len(probes(capture, s)) for s in (*mine, exempt)] == [1, 1, 1, 1, 0]
    assert exempt.settings == UNTOUCHED

    # Filters choose as those of `status` do, and the table says the same.
    time.sleep(1.1)
    result = holdfast("probe", "b")
    assert result.status == WELL
    assert result.out.count("answered") == 1 and "10.20.0.8" in result.out
    assert [len(probes(capture, s)) for s in mine] == [1, 1, 2, 1]
    assert set(answers(holdfast("probe", "-J", "127.0.0.0/8", "own"))) == {own.info["cookie"]}
    assert [len(probes(capture, s)) for s in mine] == [1, 1, 2, 2]
    assert [s.settings for s in mine] == values


def test_silent(daemon: Daemon, agent: Agent, netns: Netns, listener: Listener,
                holdfast: Command, capture: Capture) -> None:
    """A connection without an answer is `silent`, the exit status is 1, and no setting has
    changed."""
    netns.add_address("10.20.0.8")
    netns.nft(DROP.replace("tcp dport", "ip daddr 10.20.0.8 ct state established tcp dport"))
    daemon.start(RULE)
    lost, well = agent.connect("10.20.0.8", PORT), agent.connect("127.0.0.1", PORT)
    time.sleep(1.1)
    result = holdfast("probe", "-J", "--wait", "1")
    assert result.status == NOT_WELL, result
    said = answers(result)
    assert (said[lost.info["cookie"]]["outcome"], said[lost.info["cookie"]]["ms"]) == (
        "silent", None)
    assert said[well.info["cookie"]]["outcome"] == "answered"
    assert [s.settings for s in (lost, well)] == [VALUES] * 2
    assert len(probes(capture, lost)) >= 1
    table = holdfast("probe", "-w", "1")
    assert table.status == NOT_WELL
    assert table.out.count("silent") == 1 and table.out.count("answered") == 1


def test_busy_connection(daemon: Daemon, agent: Agent, listener: Listener, holdfast: Command,
                         capture: Capture) -> None:
    """A connection that hasn't idled for a second is probed as soon as it has."""
    daemon.start(RULE)
    sock = agent.connect("127.0.0.1", PORT)
    server = listener.accept()
    time.sleep(0.5)
    sock.send("question")
    assert server.receive() == "question"
    sent = time.monotonic()
    result = holdfast("probe", "-J")
    assert result.status == WELL, result
    answer = answers(result)[sock.info["cookie"]]
    assert answer["answered"] is True
    assert 0 <= answer["ms"] < 500, answer
    moments = probes(capture, sock)
    assert len(moments) == 1
    assert 0.8 <= moments[0] - sent <= 1.5
    assert sock.settings == VALUES


def test_nothing_to_probe(daemon: Daemon, agent: Agent, listener: Listener,
                          holdfast: Command) -> None:
    """Having nothing to probe succeeds; nothing attached is status 3, a wrong filter or option
    2."""
    assert holdfast("probe").status == NOTHING_ATTACHED
    daemon.start(rule("elsewhere", "192.0.2.0/24"))
    sock = agent.connect("127.0.0.1", PORT)
    assert holdfast("probe").status == WELL
    result = holdfast("probe", "-J")
    assert result.status == WELL and result.json == {"sockets": []}
    for arguments in (["no-such-rule"], ["-w", "0"], ["-w", "x"], ["-w", "301"],
                      ["-w", "4294967297"], ["-w", "18446744073709551617"], ["10.0.0.1/8"]):
        assert holdfast("probe", *arguments).status == USAGE
    assert sock.settings == UNTOUCHED


def test_without_the_daemon(daemon: Daemon, agent: Agent, listener: Listener, holdfast: Command,
                            capture: Capture) -> None:
    """The probe needs no daemon."""
    daemon.start(RULE)
    sock = agent.connect("127.0.0.1", PORT)
    daemon.kill()
    time.sleep(1.1)
    result = holdfast("probe")
    assert result.status == WELL and "the daemon is gone" in result.err
    assert len(probes(capture, sock)) == 1
    assert sock.settings == VALUES
    assert "the daemon is gone" in holdfast("explain", f"127.0.0.1:{PORT}").err


def launch(daemon: Daemon) -> subprocess.Popen:
    """Runs `holdfast probe` in a process group of its own, as a shell does."""
    return spawn([build.HOLDFAST, "--pin-dir", daemon.pin_dir, "probe", "--wait", "3"],
                 stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                 start_new_session=True)


@pytest.mark.parametrize("number, moments", [
    (signal.SIGKILL, (0.0, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.2, None, None)),
    (signal.SIGINT, (0.02, None)), (signal.SIGTERM, (0.02, None))])
def test_interrupted(daemon: Daemon, agent: Agent, listener: Listener, number: int,
                     moments: tuple[float | None, ...]) -> None:
    """The probe's settings are taken back at whatever moment it, or its process group, is killed.

    At the moment None the probe's time shows on a socket.
    """
    daemon.start(RULE)
    socks = [agent.connect("127.0.0.1", PORT) for _ in range(6)]
    socks.append(agent.connect("127.0.0.1", PORT, keepalive=1, time=50, interval=7, probes=2))
    values = [VALUES] * 6 + [held(50, 7, 2)]

    def now() -> list[Settings]:
        return [s.settings for s in socks]

    for nth, moment in enumerate(moments):
        for sock in socks:  # the probe waits for connections that haven't idled for a second
            sock.send("x")
        process = launch(daemon)
        if moment is None:
            wait_for(lambda: socks[0].settings.time == 1, "it is under way", step=0.001)
        else:
            sleep_until(time.monotonic() + moment)
        if nth % 2:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        assert process.wait(10) in (-number, WELL)
        wait_for(lambda: now() == values, f"the values are back: {now()}", timeout=2)
    # The probe's time wasn't taken for the application's either.
    daemon.stop()
    assert now() == [UNTOUCHED] * 6 + values[6:]


def targets(daemon: Daemon) -> list[bytes]:
    """Returns the cookies of the sockets that are to be probed."""
    fd = bpf.get(os.path.join(daemon.layout, "hf_targets"))
    try:
        return bpf.keys(fd, 8)
    finally:
        os.close(fd)


@needs("5.15", "to have the kernel find what is to be probed")
@pytest.mark.skipif(build.SANITIZED, reason="a sanitizer wants to be preloaded first")
def test_no_target_is_left(daemon: Daemon, agent: Agent, listener: Listener, workdir: str,
                           monkeypatch: pytest.MonkeyPatch) -> None:
    """A killed probe leaves no targets in the map, which would be probed again later."""
    daemon.start(RULE)
    socks = [agent.connect("127.0.0.1", PORT) for _ in range(6)]
    wanted = {struct.pack("=Q", sock.info["cookie"]) for sock in socks}
    fault = Fault(workdir, daemon.pin_dir)
    fault.set_in(monkeypatch)
    fault.order(1, KERNEL | STOP)
    process = launch(daemon)

    def stopped() -> bool:
        return fault.count > 0 and state(process.pid) == "T"

    # The targets are in the map for less than a millisecond, so the daemon is stopped at each call
    # until they are there.
    while True:
        wait_for(stopped, "it is stopped at its next call", step=0.0005)
        if set(targets(daemon)) == wanted:
            break
        fault.order(1, KERNEL | STOP)
        process.send_signal(signal.SIGCONT)
    process.kill()
    assert process.wait(10) == -signal.SIGKILL
    wait_for(lambda: [s.settings for s in socks] == [VALUES] * 6, "the values are back")
    wait_for(lambda: not targets(daemon), "none is left", timeout=5)


def test_being_probed(daemon: Daemon, agent: Agent, netns: Netns, listener: Listener,
                      holdfast: Command, capture: Capture) -> None:
    """A connection that is being probed already isn't probed more often, and not given up on
    sooner."""
    daemon.start(rule("all", time="2s", interval="60s", probes=3, window="350s"))
    sock = agent.connect("127.0.0.1", PORT)
    netns.nft(DROP)
    wait_for(lambda: unanswered(netns, sock), "its first probe goes unanswered")
    for _ in range(4):
        result = holdfast("probe", "-J", "-w", "1")
        assert (result.status, answers(result)[sock.info["cookie"]]["outcome"]) == (
            NOT_WELL, "silent")
    assert unanswered(netns, sock) == 1 and len(probes(capture, sock)) == 1
    assert (sock.settings, sock.error) == (held(2, 60, 3), 0)


def unanswered(netns: Netns, sock: Socket) -> int:
    """Returns how many unanswered probes a socket has."""
    diag = sockdiag.find(netns, sock.info["cookie"])
    assert diag, "it has been given up on"
    return diag.unanswered


def test_among_many_namespaces(daemon: Daemon, agent: Agent, listener: Listener,
                               holdfast: Command) -> None:
    """An answer that arrives while other namespaces are still being visited counts."""
    containers = [spawn(["unshare", "--net", "sleep", "60"]) for _ in range(40)]
    try:
        daemon.start(RULE)
        socks = [agent.connect("127.0.0.1", PORT) for _ in range(50)]
        time.sleep(1.1)
        result = holdfast("probe", "-J", "-w", "1")
    finally:
        for process in containers:
            process.kill()
            process.wait()
    outcomes = [s["outcome"] for s in result.json["sockets"]]
    assert outcomes == ["answered"] * len(socks)
    assert result.status == WELL


def test_closed_meanwhile(daemon: Daemon, agent: Agent, listener: Listener, netns: Netns) -> None:
    """A connection that its application closes during the probe is `gone`, not `silent`."""
    daemon.start(RULE)
    socks = [agent.connect("127.0.0.1", listener.port) for _ in range(2)]
    netns.nft(DROP)
    process = spawn([build.HOLDFAST, "--pin-dir", daemon.pin_dir, "probe", "-J", "-w", "3"],
                    stdout=subprocess.PIPE)
    wait_for(lambda: socks[0].settings.time == 1, "it is under way", step=0.001)
    socks[1].close()
    out, _ = process.communicate(timeout=20)
    assert process.returncode == NOT_WELL
    assert sorted(s["outcome"] for s in json.loads(out)["sockets"]) == ["gone", "silent"]


def children(pid: int) -> list[int]:
    """Returns the processes that a process has started."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(word) for word in file.read().split()]


def talk(sock: Socket, peer: Socket) -> None:
    """Has data go in both directions: the connection hasn't idled now."""
    for sender, receiver in ((sock, peer), (peer, sock)):
        sender.send("x")
        receiver.receive()


def test_while_passes_are_made(daemon: Daemon, agent: Agent, listener: Listener,
                               holdfast: Command) -> None:
    """A pass leaves connections alone that are being probed, and blames no application for it."""
    daemon.start(daemon_section(reconcile="1s") + RULE)
    sock = agent.connect("127.0.0.1", listener.port)
    peer = listener.accept()
    for _ in range(4):
        time.sleep(0.3)
        talk(sock, peer)
        result = holdfast("probe", "-w", "4")
        assert result.status == WELL, result
    assert sock.settings == held(120, 30, 4)
    assert "held again" not in daemon.log


def test_two_commands(daemon: Daemon, agent: Agent, listener: Listener, netns: Netns) -> None:
    """The end of one command's probes leaves another's alone, and status says `held` meanwhile."""
    netns.add_address("10.20.0.8", "10.20.0.9")
    daemon.start(rule("idle", "10.20.0.8") + rule("busy", "10.20.0.9"))
    agent.connect("10.20.0.8", listener.port)
    listener.accept()
    busy = agent.connect("10.20.0.9", listener.port)
    peer = listener.accept()
    time.sleep(1.5)
    talk(busy, peer)
    holdfast = Command(daemon.pin_dir)
    command = [build.HOLDFAST, "--pin-dir", daemon.pin_dir, "probe", "-w", "4"]
    with spawn([*command, "busy"], stdout=subprocess.PIPE) as first:
        wait_for(lambda: busy.settings.time == 1, "the probe has begun")
        [shown] = holdfast.status("busy")["sockets"]
        assert shown["verdict"] == "held"
        assert holdfast("probe", "-w", "4", "idle").status == WELL
        assert first.wait(10) == WELL
    assert busy.settings == held(200, 20, 5)


def test_pass_after_a_probe(daemon: Daemon, agent: Agent, listener: Listener) -> None:
    """A probe that nobody ends is over after a moment: the next pass puts the time back, and
    blames no application."""
    daemon.start(daemon_section(reconcile="1s") + RULE)
    sock = agent.connect("127.0.0.1", listener.port)
    talk(sock, listener.accept())
    command = [build.HOLDFAST, "--pin-dir", daemon.pin_dir, "probe"]
    with spawn(command, stdout=subprocess.PIPE) as process:
        wait_for(lambda: sock.settings.time == 1, "the probe has begun")
        for pid in [process.pid, *children(process.pid)]:
            os.kill(pid, signal.SIGKILL)
    wait_for(lambda: sock.settings == held(120, 30, 4), "the values are back", timeout=5)
    time.sleep(1.2)  # a pass
    assert "held again" not in daemon.log
