"""The keepalive options of a socket, by the names that `holdfast status` has for them."""

import socket
from typing import NamedTuple

NUMBERS = {
    "keepalive": (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
    "time": (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
    "interval": (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
    "probes": (socket.IPPROTO_TCP, socket.TCP_KEEPCNT),
    "user_timeout": (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
}


class Settings(NamedTuple):
    """What getsockopt says of a socket; user_timeout in milliseconds, the rest in seconds."""

    keepalive: int
    time: int
    interval: int
    probes: int
    user_timeout: int = 0


# What a socket has that nobody has touched, in a namespace that nobody has touched.
UNTOUCHED = Settings(0, 7200, 75, 9)


def held(time: int, interval: int, probes: int, user_timeout: int = 0) -> Settings:
    """A socket with a rule's values."""
    return Settings(1, time, interval, probes, user_timeout)


def read(sock: socket.socket) -> Settings:
    """The settings of a socket, as an application sees them."""
    return Settings(*(sock.getsockopt(*number) for number in NUMBERS.values()))


def write(sock: socket.socket, values: dict[str, int]) -> None:
    """Sets some of them, in the order given."""
    for name, value in values.items():
        sock.setsockopt(*NUMBERS[name], value)
