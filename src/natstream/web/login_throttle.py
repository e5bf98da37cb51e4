"""Slowing down whoever guesses tokens, without locking anybody else out. On trio.

A wrong token is answered late, and only so many a second are answered at all: the others wait for
their turn, since any answer that comes sooner would tell that the token is wrong. A right one never
waits, whatever others do: nothing is counted against everybody, since behind a proxy everybody
may share one address. Where a trusted proxy names the client, an address that goes on guessing
is refused for a while, unheard.

None of this protects a token that can be guessed: a patient attacker has many addresses, and an
impatient one takes silence for an answer and connects again.
"""

from __future__ import annotations

from collections import OrderedDict
from ipaddress import ip_address, ip_network

import trio

from natstream.errors import TooManyAttempts

__all__ = ["LoginThrottle", "address_key"]

# Nobody who mistypes minds; a list of a million common passwords takes seven hours.
DELAY = 0.5
AT_ONCE = 20

# For each address, once it is known.
MAX_FAILURES = 10
WINDOW = 60.0
# About 2 MB. Past it the address is forgotten that began first.
MAX_ADDRESSES = 10_000


class LoginThrottle:
    """The wrong tokens of one process, and what is known of where they came from."""

    def __init__(self) -> None:
        self._slots = trio.CapacityLimiter(AT_ONCE)
        self._addresses: OrderedDict[str, tuple[float, int]] = OrderedDict()
        """Address → when its first failure was, and how many there have been since."""

    def check(self, address: str) -> None:
        """Whether a token from this address is looked at; an empty one always is.

        Raises:
            TooManyAttempts: it has shown too many wrong ones.
        """
        if not address or (key := address_key(address)) not in self._addresses:
            return
        since, failures = self._addresses[key]
        rest = since + WINDOW - trio.current_time()
        if rest <= 0:
            del self._addresses[key]
        elif failures >= MAX_FAILURES:
            raise TooManyAttempts("Too many wrong tokens have come from your address", rest)

    async def fail(self, address: str) -> None:
        """Wait before a wrong token is answered, until it is its turn.

        How many wait is bounded by the server's limit of connections.
        """
        if address:
            key = address_key(address)
            since, failures = self._addresses.get(key, (trio.current_time(), 0))
            self._addresses[key] = (since, failures + 1)
            if len(self._addresses) > MAX_ADDRESSES:
                self._addresses.popitem(last=False)
        async with self._slots:
            await trio.sleep(DELAY)


def address_key(address: str) -> str:
    """What is counted as one: an address, of IPv6 the /64, which is one customer's."""
    try:
        parsed = ip_address(address.strip("[]"))
    except ValueError:
        return address[:64]
    return str(ip_network((parsed, 64), strict=False)) if parsed.version == 6 else str(parsed)
