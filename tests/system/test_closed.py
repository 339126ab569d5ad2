"""Held sockets that aren't connected any more, and whose descriptor the application still has."""

import os
import pathlib
import time
from typing import Callable

import pytest

from harness import build, compiler
from harness.cgroup import Cgroup
from harness.command import Command
from harness.config import PORT, daemon as daemon_section, rule
from harness.daemon import Daemon
from harness.kernel import needs, require_closed
from harness.netns import Netns
from harness.options import UNTOUCHED, Settings, held
from harness.sockets import Agent, Listener, Socket
from harness.wait import wait_for

KEYS = {"time": "120s", "interval": "30s", "probes": 4}
HELD = held(120, 30, 4)
OWN = Settings(1, 7000, 70, 7)
SLOW = daemon_section(reconcile="600s")
ELSEWHERE = "192.0.2.0/24"

Close = Callable[..., Socket]


@pytest.fixture(name="close", params=["disconnected", "reset"])
def fixture_close(request: pytest.FixtureRequest, agent: Agent, listener: Listener) -> Close:
    """Makes a held socket, with settings of its own if wanted, that is closed."""
    def make(**own: int) -> Socket:
        sock = agent.connect("127.0.0.1", listener.port, **own)
        peer = listener.accept()
        assert sock.settings == HELD
        if request.param == "disconnected":
            sock.disconnect()
        else:
            sock.send("x")
            peer.close()  # with data unread: a reset
        return sock
    return make


@pytest.mark.parametrize("own", [UNTOUCHED, OWN], ids=["unset", "set"])
def test_stop(daemon: Daemon, close: Close, own: Settings) -> None:
    """A stop gives them back, with what was asked for since, and a connection that is made with
    one later has the application's settings."""
    daemon.start(SLOW + rule("all", **KEYS))
    sock = close(**({} if own == UNTOUCHED else own._asdict()))
    sock.change(interval=71)
    daemon.stop()
    assert sock.settings == own._replace(interval=71)
    assert "1 connection given back" in daemon.log
    assert "could not be reached" not in daemon.log


def test_release(daemon: Daemon, close: Close, holdfast: Command) -> None:
    """`holdfast release` gives them back."""
    daemon.start(SLOW + rule("all", **KEYS))
    sock = close()
    daemon.kill()
    result = holdfast("release")
    assert result.status == 0 and "1 connection given back" in result.out, result
    assert sock.settings == UNTOUCHED


def test_reload(daemon: Daemon, close: Close, listener: Listener) -> None:
    """A reload gives them back if no rule would hold them where they were connected, and leaves
    them alone otherwise."""
    daemon.start(SLOW + rule("all", **KEYS))
    sock = close()
    daemon.reload(SLOW + rule("other", "127.0.0.0/8", **{**KEYS, "time": "60s"}))
    assert sock.settings == HELD
    daemon.reload(SLOW + rule("all", **KEYS) + rule("lab", "127.0.0.0/8", enforce="no"))
    assert sock.settings == UNTOUCHED
    assert "1 connection no longer matched, given back as it had been" in daemon.log
    daemon.reload(SLOW + rule("all", **KEYS))
    sock.disconnect()
    sock.connect_again("127.0.0.1", listener.port)
    assert sock.settings == HELD
    daemon.stop()
    assert sock.settings == UNTOUCHED


def test_other_destination(daemon: Daemon, close: Close) -> None:
    """A reload gives them back if their rule goes elsewhere, or to another port."""
    daemon.start(SLOW + rule("all", **KEYS))
    socks = [close()]
    daemon.reload(SLOW + rule("all", ELSEWHERE, **KEYS))
    assert socks[0].settings == UNTOUCHED
    daemon.reload(SLOW + rule("all", **KEYS))
    socks.append(close())
    daemon.reload(SLOW + rule("all", port=PORT + 1, **KEYS))
    assert [sock.settings for sock in socks] == [UNTOUCHED] * 2


def test_accepted(daemon: Daemon, agent: Agent, outsider: Agent) -> None:
    """The same goes for a server's: the rule names the local port."""
    config = SLOW + rule("all", side="server", **KEYS)
    daemon.start(config)
    listening = agent.listen(PORT)
    outsider.connect("127.0.0.1", PORT)
    sock = listening.accept()
    assert sock.settings == HELD
    sock.disconnect()
    daemon.reload(config)
    assert sock.settings == HELD
    daemon.reload(config.replace(str(PORT), str(PORT + 1)))
    assert sock.settings == UNTOUCHED


def test_held_by_a_pass(daemon: Daemon, agent: Agent, listener: Listener) -> None:
    """The same goes for one that was open before the start."""
    sock = agent.connect("127.0.0.1", listener.port)
    daemon.start(SLOW + rule("all", **KEYS))
    assert sock.settings == HELD
    sock.disconnect()
    daemon.reload(SLOW + rule("all", **{**KEYS, "time": "60s"}))
    assert sock.settings == HELD
    daemon.reload(SLOW + rule("all", ELSEWHERE, **KEYS))
    assert sock.settings == UNTOUCHED


def test_narrower(make_daemon: Callable[..., Daemon], make_cgroup: Callable[..., Cgroup],
                  make_agent: Callable[..., Agent], netns: Netns, listener: Listener) -> None:
    """A start on a narrower control group gives back those outside it, and no others."""
    wide = make_cgroup()
    narrow = make_cgroup("narrow", wide)
    agents = [make_agent(netns, wide), make_agent(netns, narrow)]
    daemon = make_daemon(wide)
    daemon.start(SLOW + rule("all", **KEYS))
    outside, inside = [agent.connect("127.0.0.1", listener.port) for agent in agents]
    for sock in (outside, inside):
        sock.disconnect()
    daemon.kill()
    daemon.cgroup = narrow
    daemon.start(SLOW + rule("all", **KEYS))
    assert (outside.settings, inside.settings) == (UNTOUCHED, HELD)
    outside.connect_again("127.0.0.1", listener.port)
    assert outside.settings == UNTOUCHED
    inside.connect_again("127.0.0.1", listener.port)
    assert inside.settings == HELD
    daemon.stop()
    assert inside.settings == UNTOUCHED


def test_out_of_reach(daemon: Daemon, agent: Agent, close: Close) -> None:
    """One that no process has open, since it is on its way to another, is told, and given back by
    a pass once it can be reached."""
    daemon.start(daemon_section(reconcile="1s") + rule("all", **KEYS))
    require_closed(daemon.layout, unopened=True)
    agent.park(close())
    daemon.reload(daemon_section(reconcile="1s") + rule("all", ELSEWHERE, **KEYS))
    said = "1 closed connection no longer matched and could not be reached"
    assert said in daemon.log
    time.sleep(1.5)  # for another pass, which doesn't tell it again
    sock, = agent.unpark()
    wait_for(lambda: sock.settings == UNTOUCHED, "a pass gives it back")
    assert daemon.log.count(said) == 1


def test_out_of_reach_at_the_stop(daemon: Daemon, agent: Agent, close: Close) -> None:
    """A stop tells of one that no process has open."""
    daemon.start(SLOW + rule("all", **KEYS))
    require_closed(daemon.layout, unopened=True)
    agent.park(close())
    daemon.stop()
    assert "1 connection could not be reached and may keep the rules' values" in daemon.log
    sock, = agent.unpark()
    assert sock.settings == HELD


@pytest.fixture(name="use_variant")
def fixture_use_variant(tmp_path: pathlib.Path,
                        monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Has the test start another build of holdfastd."""
    def use(name: str) -> None:
        made = compiler.variant(name, build.DIRECTORY, str(tmp_path / name))
        monkeypatch.setattr(build, "HOLDFASTD", os.path.join(made, "holdfastd"))
    return use


@needs("5.15", "to choose between what older kernels can do")
def test_out_of_reach_without_iterators_over_maps(
        daemon: Daemon, agent: Agent, close: Close, use_variant: Callable[[str], None]) -> None:
    """Where the kernel refuses these, one that no process has open isn't known of."""
    use_variant("level0")
    daemon.start(SLOW + rule("all", **KEYS))
    agent.park(close())
    daemon.stop()
    assert "could not be reached" not in daemon.log
    sock, = agent.unpark()
    assert sock.settings == HELD


@needs("5.15", "to choose between what older kernels can do")
def test_cannot_be_found(daemon: Daemon, close: Close, holdfast: Command,
                         use_variant: Callable[[str], None]) -> None:
    """Where nothing finds such sockets, the log and `status` say so from the start."""
    use_variant("hardened")
    daemon.start(SLOW + rule("all", **KEYS))
    said = "disconnected ones keep the rules' values"
    assert said in daemon.log and said in holdfast("status").err
    assert said in holdfast.status()["enforcement"]["limits"]
    sock = close()
    daemon.stop()
    assert sock.settings == HELD


def test_closed_by_the_application(daemon: Daemon, close: Close) -> None:
    """One whose descriptor is closed, too, is no concern of a stop."""
    daemon.start(SLOW + rule("all", **KEYS))
    close().close()
    daemon.stop()
    assert "0 connections given back" in daemon.log
    assert "could not be reached" not in daemon.log


def test_reset_before_accept(daemon: Daemon, agent: Agent, outsider: Agent, netns: Netns) -> None:
    """Nor is one that the peer has reset before the application accepts it."""
    daemon.start(SLOW + rule("all", side="server", **KEYS))
    agent.listen(PORT)
    outsider.connect("127.0.0.1", PORT)
    netns.run("ss", "-K", "state", "established", f"sport = :{PORT}")
    daemon.stop()
    assert "0 connections given back" in daemon.log
    assert "could not be reached" not in daemon.log
