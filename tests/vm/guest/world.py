"""The network: clients as in containers of their own, two firewalls, and one database server.

    control, advised,           ┐
    held, lone, upgraded        ┴─ firewall (forgets after 3600 s) ──┐
                                                                     ├── server
    short-control, short-held   ── firewall (forgets sooner) ────────┘
"""

from harness.capture import Capture
from harness.netns import Netns, connect_namespaces

import count

PORT = 3306
HOUR = 3600  # seconds that the first firewall remembers an idle connection
SERVER = {"inet": "10.77.0.2", "inet6": "fd77::2", "impatient": "10.77.0.4", "short": "10.78.0.2",
          "prompt": "10.77.0.5"}

# The firewall forgets idle flows and then drops their packets silently, as it does for cut ones.
_RULES = f"""
table inet firewall {{
    {count.SETS}
    set cut {{ typeof ip saddr . tcp sport; }}
    chain forward {{
        type filter hook forward priority 0; policy drop;
        {count.RULES}
        ip saddr . tcp sport @cut drop
        ip daddr . tcp dport @cut drop
        ct state established,related accept
        tcp flags & (fin | syn | rst | ack) == syn ct state new accept
    }}
}}
"""


class Firewall(Netns):
    """A stateful firewall, the clients behind it, and captures of what it sees of them."""

    def __init__(self, number: int, window: int, server: Netns) -> None:
        super().__init__()
        self._net = 77 + number
        self.captures: dict[str, Capture] = {}
        self.sysctl("ipv4/ip_forward", 1)
        self.sysctl("ipv6/conf/all/forwarding", 1)
        self._plug_in(server, "server", f"server{number}", 0)
        self.nft(_RULES)
        self.sysctl("netfilter/nf_conntrack_tcp_loose", 0)
        self.sysctl("netfilter/nf_conntrack_tcp_timeout_established", window)

    def _plug_in(self, netns: Netns, device: str, inner: str, number: int) -> None:
        connect_namespaces(self, device, netns, inner)
        net4, net6 = f"10.{self._net}.{number}", f"fd{self._net}:0:0:{number:x}:"
        self.add_address(f"{net4}.1/24", f"{net6}:1/64", device=device)
        netns.add_address(f"{net4}.2/24", f"{net6}:2/64", device=inner)
        netns.ip(f"route add 10.{self._net}.0.0/16 via {net4}.1",
                 f"route add fd{self._net}::/16 via {net6}:1")

    def add_client(self, name: str, host: Netns | None = None) -> Netns:
        """Makes a client's namespace from within `host`, as for a container there."""
        if host:
            with host.entered():
                client = Netns()
        else:
            client = Netns()
        self._plug_in(client, name, "net", len(self.captures) + 1)
        self.captures[name] = Capture(self, name)
        return client

    def cut(self, *ends: tuple[str, int]) -> None:
        """Drops all packets of connections from now on; `ends` are their clients' addresses."""
        elements = ", ".join(f"{address} . {port}" for address, port in ends)
        self.nft(f"add element inet firewall cut {{ {elements} }}")


class World:
    """The whole network. The local `host` is a namespace whose sysctls an administrator has set."""

    def __init__(self, short: int) -> None:
        self.server = Netns()
        self.hour = Firewall(0, HOUR, self.server)
        self.short = Firewall(1, short, self.server)
        for name in ("impatient", "prompt"):
            self.server.add_address(f"{SERVER[name]}/32", device="server0")
        host = Netns()
        host.sysctl("ipv4/tcp_keepalive_time", 600)
        host.sysctl("ipv4/tcp_keepalive_intvl", 60)
        host.sysctl("ipv4/tcp_keepalive_probes", 5)
        self.places = {
            "control": self.hour.add_client("control"),
            "advised": self.hour.add_client("advised", host),
            "held": self.hour.add_client("held"),
            "lone": self.hour.add_client("lone"),
            "upgraded": self.hour.add_client("upgraded"),
            "short-control": self.short.add_client("short-control"),
            "short-held": self.short.add_client("short-held"),
        }

    def firewall(self, place: str) -> Firewall:
        """Returns the firewall before a place."""
        return self.short if place.startswith("short-") else self.hour

    def capture(self, place: str) -> Capture:
        """Returns the firewall's capture of a place."""
        return self.firewall(place).captures[place]
