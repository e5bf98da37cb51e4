"""Slow down clients that guess tokens, without locking out other clients. On trio.

A wrong token gets its answer late, and only a limited number of wrong tokens get an answer each
second. The other wrong tokens wait for their turn, since an earlier answer would tell the client
that the token is wrong. A right token never waits. There is no limit on all clients together,
because behind a proxy all of them may have the same address. If a trusted proxy names the
client's address, an address that keeps guessing is refused for a while without a look at its
token.

This does not protect a token that is easy to guess. A patient attacker uses many addresses, and
an impatient attacker does not wait for the answer, but opens another connection.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from ipaddress import ip_address, ip_network

import trio

from natstream.errors import TooManyAttempts

__all__ = ["LoginThrottle", "address_key"]

# Seconds before a wrong token gets its answer, and how many get theirs at the same time. A person
# who mistypes does not mind the delay, but a list of a million common passwords takes seven hours.
DELAY = 0.5
AT_ONCE = 20

# How many wrong tokens one known address may send within so many seconds.
MAX_FAILURES = 10
WINDOW = 60.0
# About 2 MB. If there are more, the address that has been in the table for longest is removed.
MAX_ADDRESSES = 10_000


class LoginThrottle:
    """Delays the answers to wrong tokens, and counts them by the client's address."""

    def __init__(self) -> None:
        self._slots = trio.CapacityLimiter(AT_ONCE)
        self._addresses: OrderedDict[str, tuple[float, int]] = OrderedDict()
        """Address → (time of its first wrong token, number of wrong tokens since then)."""

    def check(self, address: str) -> None:
        """Refuse an address that has sent too many wrong tokens.

        Call this before looking at a token. An empty (unknown) address is never refused.

        Raises:
            TooManyAttempts: the address has sent too many wrong tokens.
        """
        if not address or (key := address_key(address)) not in self._addresses:
            return
        since, failures = self._addresses[key]
        rest = since + WINDOW - trio.current_time()
        if rest <= 0:
            del self._addresses[key]
        elif failures >= MAX_FAILURES:
            raise TooManyAttempts(
                "Your address has sent too many wrong tokens, so it is refused for now. "
                f"Try again in {math.ceil(rest)} s.",
                rest,
            )

    async def fail(self, address: str) -> None:
        """Count a wrong token, and wait until it may get its answer.

        The number of waiting tasks is bounded, because the server limits its connections.
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
    """Return the text under which an address is counted.

    For IPv6 this is its /64 network, because one customer usually has a whole /64.
    """
    try:
        parsed = ip_address(address.strip("[]"))
    except ValueError:
        return address[:64]
    return str(ip_network((parsed, 64), strict=False)) if parsed.version == 6 else str(parsed)
