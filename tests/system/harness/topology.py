"""Clients, a firewall and a server, each in a network namespace of its own.

    client 1 ─┐
    client 2 ─┤─ firewall ── server
       ...   ─┘

Several firewalls, each with clients of its own, can stand before one server.
"""

from itertools import zip_longest

from .netns import HAS_IPV6, Netns, connect_namespaces

SERVER = {"inet": "10.77.0.2", "inet6": "fd77::2"}
DEVICE = "net"

# The firewall forgets idle flows and then drops their packets silently, as clouds do.
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

    def __init__(self, window: int, number: int = 0, server: Netns | None = None) -> None:
        """`server`: one that other firewalls stand before, too; each of these has another
        number."""
        self.window = window
        self.server = server or Netns()
        self.address = f"10.{77 + number}.0.2"  # the server's
        self.firewall = Netns()
        self.clients: list[Netns] = []
        self._owns_server = not server
        self._ways = 0  # connected clients
        self.firewall.sysctl("ipv4/ip_forward", 1)
        if HAS_IPV6:
            self.firewall.sysctl("ipv6/conf/all/forwarding", 1)
        self._net, self._net6 = 77 + number, f"fd77:{number:x}"
        self._plug_in(self.server, 0, f"{DEVICE}{number}" if server else DEVICE,
                      f"10.{self._net}.0.0/16" if server else "default",
                      f"{self._net6}::/32" if server else "default")
        self.firewall.nft(_RULES)
        self.firewall.sysctl("netfilter/nf_conntrack_tcp_loose", 0)
        self.remember(window)

    def remember(self, window: int) -> None:
        """Has the firewall forget after so many seconds from each connection's next packet on."""
        self.window = window
        self.firewall.sysctl("netfilter/nf_conntrack_tcp_timeout_established", window)

    def _plug_in(self, netns: Netns, number: int, inner: str = DEVICE,
                 *routes: str) -> None:
        """Connects a namespace, which gets these routes by the firewall: for IPv4 and for IPv6."""
        device = f"net{number}"
        connect_namespaces(self.firewall, device, netns, inner)
        nets = [(f"10.{self._net}.{number}.", 24)]
        if HAS_IPV6:
            nets.append((f"{self._net6}:0:{number:x}::", 64))
        for (net, length), route in zip_longest(nets, routes[:len(nets)]):
            self.firewall.add_address(f"{net}1/{length}", device=device)
            netns.add_address(f"{net}2/{length}", device=inner)
            if route:
                netns.ip(f"route add {route} via {net}1")

    def add_way(self, client: Netns, device: str) -> tuple[str, str]:
        """Connects another firewall's client to this one, without a route. Returns the client's
        address there and the firewall's."""
        self._ways += 1
        self._plug_in(client, self._ways, device)
        return self.ends(self._ways)

    def ends(self, number: int) -> tuple[str, str]:
        """Returns the addresses of the link to a client: the client's and the firewall's. The first
        client is number 1."""
        return f"10.{self._net}.{number}.2", f"10.{self._net}.{number}.1"

    def add_client(self, host: Netns | None = None) -> Netns:
        """Makes a client's namespace from within `host`, as for a container there.

        The client's kernel gives up on unacknowledged data after seconds, not after a quarter of an
        hour, so that no test waits that long.
        """
        if host:
            with host.entered():
                client = Netns()
        else:
            client = Netns()
        self.clients.append(client)
        self._ways += 1
        self._plug_in(client, self._ways, DEVICE, "default", "default")
        client.sysctl("ipv4/tcp_retries2", 2)
        return client

    def dropped(self) -> int:
        """Returns how many packets the firewall has dropped."""
        text = self.firewall.run("nft", "list", "counter", "inet", "firewall", "dropped")
        return int(text.split("packets", 1)[1].split()[0])

    def close(self) -> None:
        """Closes all namespaces."""
        for netns in (*self.clients, self.firewall, *([self.server] if self._owns_server else [])):
            netns.close()
