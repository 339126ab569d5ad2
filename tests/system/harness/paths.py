"""Two paths between two network namespaces.

client ──p1── host (the daemon's namespace, and the server's)
       ──p2──
"""

import time
from typing import Callable

from .capture import Capture
from .netns import HAS_IPV6, Netns, connect_namespaces
from .sockets import Socket

DEVICES = ("p1", "p2")
PEER, OTHER, CLIENT = "10.9.0.1", "10.9.0.2", "10.8.0.1"
PEER6, CLIENT6 = "fd09::1", "fd08::1"


class Paths:
    """Two veth pairs between two namespaces, and a route over the first of them."""

    def __init__(self, make_netns: Callable[[], Netns]) -> None:
        self.host, self.client = make_netns(), make_netns()
        for number, device in enumerate(DEVICES, 1):
            connect_namespaces(self.host, device, self.client, device)
            self.host.add_address(f"10.{number}.0.1/24", device=device)
            self.client.add_address(f"10.{number}.0.2/24", device=device)
        for netns in (self.host, self.client):
            for name in ("all", *DEVICES):
                netns.sysctl(f"ipv4/conf/{name}/rp_filter", 0)
        self.host.add_address(PEER, OTHER)
        self.client.add_address(CLIENT)
        self.client.ip(f"route add {PEER} via 10.1.0.1", f"route add {OTHER} via 10.1.0.1",
                       "route add default via 10.2.0.1")
        self.host.ip("route add 10.8.0.0/24 via 10.1.0.2")
        if HAS_IPV6:
            for number, device in enumerate(DEVICES, 1):
                self.host.add_address(f"fd0{number}::1/64", device=device)
                self.client.add_address(f"fd0{number}::2/64", device=device)
            self.host.add_address(PEER6)
            self.client.add_address(CLIENT6)
            self.client.ip(f"route add {PEER6} via fd01::1")
            self.host.ip(f"route add {CLIENT6} via fd01::2")
        self.captures = {device: Capture(self.client, device) for device in DEVICES}

    def probes(self, sock: Socket, device: str | None = None) -> list[float]:
        """Returns when a connection was probed, over one veth pair or over either.

        Any empty segment counts as a probe: on the second pair the capture has seen no other packet
        to tell a probe's number by.
        """
        info = sock.info
        ends = tuple(info["local"][:2]), tuple(info["peer"][:2])
        return [p.at for name, capture in self.captures.items() if device in (None, name)
                for p in capture.flow(*ends) if p.source == ends[0] and p.size == 0
                and p.at > self.quiet_since]

    def settle(self) -> None:
        """Waits until every connection counts as idle, and forgets the packets before that."""
        time.sleep(1.15)
        self.quiet_since = time.monotonic()

    quiet_since = 0.0

    def close(self) -> None:
        """Closes the captures."""
        for capture in self.captures.values():
            capture.close()
