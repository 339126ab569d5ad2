"""Every verdict of `holdfast status`, and the exit status that it leads to."""

from harness import sockdiag
from harness.command import Command
from harness.config import PORT, daemon as daemon_section, rule
from harness.daemon import Daemon
from harness.netns import Netns
from harness.options import held
from harness.sockets import Agent, Listener, Socket
from harness.wait import wait_for

KEYS = {"time": "120s", "interval": "30s", "probes": 4, "window": "350s"}
WELL, NOT_WELL = 0, 1


def verdict(holdfast: Command, sock: Socket, exit_status: int) -> str:
    """Returns the verdict on a socket; checks that `status` ends with this exit status."""
    assert holdfast("status").status == exit_status
    assert holdfast("status", "-J").status == exit_status
    return holdfast.socket(sock.info["cookie"])["verdict"]


def test_held(daemon: Daemon, agent: Agent, listener: Listener, holdfast: Command) -> None:
    """`held`: keepalive is on with the rule's values."""
    daemon.start(rule("all", **KEYS))
    assert verdict(holdfast, agent.connect("127.0.0.1", listener.port), WELL) == "held"


def test_own(daemon: Daemon, agent: Agent, listener: Listener, holdfast: Command) -> None:
    """`own`: the application's own keepalive fires sooner."""
    daemon.start(rule("all", **KEYS))
    sock = agent.connect("127.0.0.1", listener.port, keepalive=1, time=20)
    assert verdict(holdfast, sock, WELL) == "own"


def test_probing(daemon: Daemon, agent: Agent, netns: Netns, listener: Listener,
                 holdfast: Command) -> None:
    """`probing`: probes are unanswered."""
    daemon.start(rule("all", time="1s", interval="20s", probes=5, window="350s"))
    sock = agent.connect("127.0.0.1", listener.port)
    cookie = sock.info["cookie"]
    netns.nft("table inet t {\n chain c {\n type filter hook input priority 0\n"
              f"tcp dport {PORT} drop\n }}\n }}\n")

    def unanswered() -> int:
        diag = sockdiag.find(netns, cookie)
        assert diag
        return diag.unanswered

    wait_for(unanswered, "a probe goes unanswered")
    assert verdict(holdfast, sock, WELL) == "probing"
    shown = holdfast.socket(cookie)
    assert shown["unanswered"] == unanswered() == 1
    assert shown["next_probe"] <= 20


def test_exposed_keepalive_off(daemon: Daemon, agent: Agent, listener: Listener,
                               holdfast: Command) -> None:
    """`exposed`: the application has switched keepalive off while no guard and no daemon were
    there."""
    daemon.start(daemon_section(guard="no") + rule("all", **KEYS))
    sock = agent.connect("127.0.0.1", listener.port)
    fine = agent.connect("127.0.0.1", listener.port)
    daemon.kill()
    sock.change(keepalive=0)
    assert verdict(holdfast, sock, NOT_WELL) == "exposed"
    assert verdict(holdfast, fine, NOT_WELL) == "held"
    shown = holdfast.socket(sock.info["cookie"])
    assert shown["keepalive"] is False
    assert shown["next_probe"] is None


def test_exposed_time_too_long(daemon: Daemon, agent: Agent, netns: Netns, listener: Listener,
                               holdfast: Command) -> None:
    """`exposed`: under `never` an application's own time is not below the window."""
    netns.add_address("10.20.0.8")
    daemon.start(rule("all", override="never", **KEYS))
    beyond = agent.connect("127.0.0.1", listener.port, keepalive=1, time=350)
    within = agent.connect("10.20.0.8", listener.port, keepalive=1, time=349)
    assert beyond.settings == held(350, 30, 4)
    assert verdict(holdfast, beyond, NOT_WELL) == "exposed"
    assert verdict(holdfast, within, NOT_WELL) != "exposed"
    # The exit status is about the sockets that the filter chooses.
    assert holdfast("status", "127.0.0.1").status == NOT_WELL
    assert holdfast("status", "10.20.0.8").status == WELL


def test_closed(daemon: Daemon, agent: Agent, listener: Listener, holdfast: Command,
                netns: Netns) -> None:
    """`closed`: the server has closed the connection, and the application has not."""
    daemon.start(rule("all", **KEYS))
    sock = agent.connect("127.0.0.1", listener.port)
    listener.accept().close()
    cookie = sock.info["cookie"]

    def in_close_wait() -> bool:
        diag = sockdiag.find(netns, cookie)
        return diag is not None and diag.state == sockdiag.CLOSE_WAIT

    wait_for(in_close_wait, "CLOSE_WAIT")
    assert verdict(holdfast, sock, NOT_WELL) == "closed"
    sock.close()
    assert holdfast("status").status == WELL


def test_exempt(daemon: Daemon, agent: Agent, netns: Netns, listener: Listener,
                holdfast: Command) -> None:
    """`exempt`: a rule with `enforce = no` matches, which is no fault."""
    netns.add_address("10.20.99.1")
    daemon.start(rule("all", **KEYS) + rule("lab", "10.20.99.0/24", enforce="no"))
    sock = agent.connect("10.20.99.1", listener.port)
    assert verdict(holdfast, sock, WELL) == "exempt"
    shown = holdfast.socket(sock.info["cookie"])
    assert (shown["rule"], shown["keepalive"]) == ("lab", False)
