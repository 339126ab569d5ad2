"""Clients, a firewall and a server, each in a network namespace of its own.

    client 1 ─┐
    client 2 ─┤─ firewall ── server
       ...   ─┘
"""

from .netns import HAS_IPV6, Netns, connect_namespaces

SERVER = {"inet": "10.77.0.2", "inet6": "fd77::2"}
DEVICE = "net"

# Forgets what idles, and then drops its packets without a word: what clouds do.
_RULES = """
table inet firewall {
    chain forward {
        type filter hook forward priority 0; policy drop;
        ct state established,related accept
        tcp flags & (fin | syn | rst | ack) == syn ct state new accept
        counter name dropped
    }
    counter dropped { }
}
"""


class Topology:
    """A stateful firewall that forgets a connection which idles for `window` seconds."""

    def __init__(self, window: int) -> None:
        self.window = window
        self.server = Netns()
        self.firewall = Netns()
        self.clients: list[Netns] = []
        self.firewall.sysctl("ipv4/ip_forward", 1)
        if HAS_IPV6:
            self.firewall.sysctl("ipv6/conf/all/forwarding", 1)
        self._plug_in(self.server, 0)
        self.firewall.nft(_RULES)
        self.firewall.sysctl("netfilter/nf_conntrack_tcp_loose", 0)
        self.firewall.sysctl("netfilter/nf_conntrack_tcp_timeout_established", window)

    def _plug_in(self, netns: Netns, number: int) -> None:
        device = f"net{number}"
        connect_namespaces(self.firewall, device, netns, DEVICE)
        nets = [(f"10.77.{number}.", 24)]
        if HAS_IPV6:
            nets.append((f"fd77:0:0:{number:x}::" if number else "fd77::", 64))
        for net, length in nets:
            self.firewall.add_address(f"{net}1/{length}", device=device)
            netns.add_address(f"{net}2/{length}", device=DEVICE)
            netns.ip(f"route add default via {net}1")

    def add_client(self, host: Netns | None = None) -> Netns:
        """A client's namespace, made by a process that lives in `host`: a container there.

        Its kernel gives up on unanswered data after seconds and not after a quarter of an
        hour, so that nobody has to wait for the failure.
        """
        if host:
            with host.entered():
                client = Netns()
        else:
            client = Netns()
        self.clients.append(client)
        self._plug_in(client, len(self.clients))
        client.sysctl("ipv4/tcp_retries2", 2)
        return client

    def dropped(self) -> int:
        """How many packets the firewall has dropped."""
        text = self.firewall.run("nft", "list", "counter", "inet", "firewall", "dropped")
        return int(text.split("packets", 1)[1].split()[0])

    def close(self) -> None:
        """Lets go of all of it."""
        for netns in (*self.clients, self.firewall, self.server):
            netns.close()
