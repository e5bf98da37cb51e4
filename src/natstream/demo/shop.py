"""The tea shop: its machines, its teas, and the random figures that all its actors share. Pure."""

from __future__ import annotations

from random import Random

from natstream.demo.line import Machine

__all__ = ["GREEN", "RESET", "TEAS", "Shop"]

GREEN, RESET = (f"\x1b[{code}m" for code in (32, 0))

TEAS = ["assam", "darjeeling", "earl-grey", "genmaicha", "gyokuro", "lapsang", "pu-erh", "sencha"]


class Shop:
    """The machines of the shop, and the state that its actors share.

    Args:
        random: source of all random figures. The same seed gives the same lines.
    """

    def __init__(self, random: Random) -> None:
        self.random = random
        self.web: list[Machine] = self._machines("teashop", "iad", "iad", "lhr")
        self.api: list[Machine] = self._machines("teashop-api", "iad", "fra", "syd")
        self.worker: list[Machine] = self._machines("teashop-worker", "iad", "iad")
        self.db: list[Machine] = self._machines("teashop-db", "iad", "lhr")
        self.search: list[Machine] = self._machines("teashop-search", "iad", "fra")
        self.pay: list[Machine] = self._machines("teashop-pay", "iad")
        self.images: list[Machine] = self._machines("teashop-images", "fra", "nrt")
        self.broken: set[str] = set()
        """The machines that run a release with a mistake."""
        self.crowd: float = 1.0
        """The number of visitors, as a multiple of the usual number."""

    def _machines(self, app: str, *regions: str) -> list[Machine]:
        return [
            Machine(app=app, region=region, id=self.hex(14), host=self.hex(4)) for region in regions
        ]

    def hex(self, digits: int) -> str:
        """Return a random hexadecimal number with so many digits."""
        return f"{self.random.getrandbits(4 * digits):0{digits}x}"

    def pause(self, mean: float) -> float:
        """Return the seconds until the next of many independent events."""
        return self.random.expovariate(1 / mean)

    def latency(self, typical: float) -> float:
        """Return a latency. Most are about `typical`, and a few are much longer."""
        return typical * self.random.lognormvariate(0, 0.6)
