"""The order in which servers and their addresses are tried: side by side, with a short stagger.

In: a server's URL, or attempts. Out: the IP addresses of its name; each attempt is started when its
predecessor has failed, or has not succeeded for a moment. So an address that hangs delays the
others by a quarter of a second, and hides none of them. This is what browsers do (RFC 8305).
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import urlsplit

import trio

from natstream.nats.client_adapter import NetworkAddress

__all__ = ["STAGGER", "network_addresses", "try_side_by_side"]

# Seconds, as RFC 8305 recommends. A server that is well usually answers within it.
STAGGER = 0.25
# The addresses of one name that are tried. A name of a cluster has a handful of addresses.
MOST_ADDRESSES = 32


async def network_addresses(url: str) -> Sequence[NetworkAddress]:
    """Look up a server's name, and return the addresses in the order of the system's preference.

    Raises:
        OSError: the name is unknown, or the resolver does not answer.
        UnicodeError: the name is not valid.
    """
    parts = urlsplit(url)
    found = await trio.socket.getaddrinfo(
        parts.hostname or "", parts.port or 4222, type=socket.SOCK_STREAM
    )
    places = list(dict.fromkeys((str(place[0]), int(place[1])) for *_, place in found))
    addresses = [NetworkAddress(host, port) for host, port in places[:MOST_ADDRESSES]]
    if parts.scheme == "tls":
        # A server with `handshake_first` says nothing before TLS begins. This comes last, because
        # another server would take the beginning of TLS for a command that it does not know.
        addresses += [address._replace(encrypts_first=True) for address in addresses]
    return addresses


async def try_side_by_side(attempts: Sequence[Callable[[], Awaitable[None]]]) -> None:
    """Run the attempts until all of them have ended. Cancel this once one of them has succeeded."""
    async with trio.open_nursery() as nursery:
        for attempt in attempts:
            ended = trio.Event()

            async def run(
                attempt: Callable[[], Awaitable[None]] = attempt, ended: trio.Event = ended
            ) -> None:
                await attempt()
                ended.set()

            nursery.start_soon(run)
            with trio.move_on_after(STAGGER):
                await ended.wait()
