"""Who holds how many of the readers' places, so that nobody takes them all.

A scoped link goes to somebody who may not even see the whole log; and where a trusted proxy names
the client, an address is somebody. Each of them may hold half of the places. A token's holders are
the operator's own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from natstream.errors import TooManyReaders
from natstream.web.grants import Grant
from natstream.web.login_throttle import address_key

__all__ = ["ReaderQuota"]


class ReaderQuota:
    """The places of one process, by who holds them."""

    def __init__(self, places: int) -> None:
        self._share = (places + 1) // 2
        self._taken: Counter[Grant | str] = Counter()

    def check(self, grant: Grant, address: str) -> None:
        """Whether one more reader may come with this grant, and from this address if it is known.

        Raises:
            TooManyReaders: there are as many already as may be.
        """
        for holder in _holders(grant, address):
            if self._taken[holder] >= self._share:
                who = "address" if isinstance(holder, str) else "link"
                raise TooManyReaders(
                    f"One {who} may have {self._share:,} readers at once, and yours has them all"
                )

    @contextmanager
    def take(self, grant: Grant, address: str) -> Iterator[None]:
        """Hold a place for the time of a block.

        Raises:
            TooManyReaders: there are as many already as may be.
        """
        self.check(grant, address)
        holders = _holders(grant, address)
        self._taken.update(holders)
        try:
            yield
        finally:
            self._taken.subtract(holders)
            for holder in holders:
                if not self._taken[holder]:
                    del self._taken[holder]


def _holders(grant: Grant, address: str) -> list[Grant | str]:
    holders: list[Grant | str] = []
    if grant.scope is not None:
        holders.append(grant)
    if address:
        holders.append(address_key(address))
    return holders
