"""A quota for each link and each address, so that one of them cannot use up all readers.

The quota of a link is half of all readers, because the operator may give a scoped link to
strangers. If a trusted proxy names the clients' addresses, each address has the same quota. A
token has no quota of its own, because the operator trusts its holders.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from natstream.errors import TooManyReaders
from natstream.server.login_throttle import address_key
from natstream.web.grants import Grant

__all__ = ["ReaderQuota", "holder_of"]


class ReaderQuota:
    """The readers of one process, counted by link and by address.

    Args:
        max_readers: number of readers that the process serves at once.
    """

    def __init__(self, max_readers: int) -> None:
        self._quota = (max_readers + 1) // 2
        self._readers: Counter[Grant | str] = Counter()

    def check(self, grant: Grant, address: str) -> None:
        """Check that one more reader may start with this grant, and from this address if known.

        Raises:
            TooManyReaders: the quota of the link or of the address is used up.
        """
        for holder in _holders(grant, address):
            if self._readers[holder] >= self._quota:
                name = "address" if isinstance(holder, str) else "link"
                raise TooManyReaders(
                    f"Your {name} already has {self._quota:,} readers at once, which is the limit. "
                    "Close one of them, or try again later."
                )

    @contextmanager
    def reserve(self, grant: Grant, address: str) -> Iterator[None]:
        """Count one more reader until the end of the block.

        Raises:
            TooManyReaders: the quota of the link or of the address is used up.
        """
        self.check(grant, address)
        holders = _holders(grant, address)
        self._readers.update(holders)
        try:
            yield
        finally:
            self._readers.subtract(holders)
            for holder in holders:
                if not self._readers[holder]:
                    del self._readers[holder]


def holder_of(grant: Grant, address: str) -> Grant | str:
    """Return whose budget of CPU time a reader shares: its link's, or that of its address.

    The readers of an unknown address share one, too.
    """
    return grant if grant.scope is not None else address_key(address) if address else ""


def _holders(grant: Grant, address: str) -> list[Grant | str]:
    """Return the link and the address that one more reader counts against, if it has them."""
    holders: list[Grant | str] = []
    if grant.scope is not None:
        holders.append(grant)
    if address:
        holders.append(address_key(address))
    return holders
