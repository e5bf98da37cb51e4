"""What a fault has shown: what was to hold, what was found, and whether that is good enough."""

from __future__ import annotations

import attrs

from benchmarks.report import Table

__all__ = ["Finding", "Findings", "Soak", "as_table"]


@attrs.frozen
class Finding:
    what: str
    found: str
    allowed: str
    good: bool
    is_figure: bool
    """A time or an amount, which depends on the machine and on what else it does."""

    def __str__(self) -> str:
        return f"{self.what}: {self.found} (allowed: {self.allowed})"


@attrs.define
class Findings:
    """All findings of one fault."""

    found: list[Finding] = attrs.field(factory=list)

    def counts(self, what: str, found: object, wrong: object = 0) -> None:
        """Something that happened `found` times, of which so many (or these) were wrong."""
        shown = f"{found}, {wrong} wrong" if wrong else str(found)
        self.found.append(Finding(what, shown, "none wrong", not wrong, False))

    def equals(self, what: str, found: object, wanted: object) -> None:
        """A value, or a set of all the values that were found, is the right one."""
        self.found.append(Finding(what, _shown(found), _shown(wanted), found == wanted, False))

    def none_of(self, what: str, wrong: list[str]) -> None:
        """Nothing of this happened; shows the first of what did."""
        found = f"{len(wrong)}: {wrong[0]}" if wrong else "0"
        self.found.append(Finding(what, found, "0", not wrong, False))

    def within(self, what: str, found: float, limit: float, unit: str) -> None:
        """A figure, and what it may be at the most."""
        self.found.append(
            Finding(what, f"{found:,.3g} {unit}", f"{limit:,.4g} {unit}", found <= limit, True)
        )

    @property
    def wrong(self) -> list[str]:
        """What must not be, on any machine."""
        return [str(each) for each in self.found if not each.good and not each.is_figure]

    @property
    def bad(self) -> list[str]:
        """The same and the figures that are too high."""
        return [str(each) for each in self.found if not each.good]


@attrs.frozen
class Soak:
    """How much is to be done: `share` of what the table of faults says."""

    share: float = 1.0

    def times(self, count: int, least: int = 1) -> int:
        """How often to do what the table says to do `count` times."""
        return max(least, round(count * self.share))

    def seconds(self, seconds: float, least: float) -> float:
        """How long to do what the table says to do for `seconds`."""
        return max(least, seconds * self.share)


def _shown(value: object) -> str:
    return " and ".join(sorted(map(str, value))) if isinstance(value, set) else str(value)


def as_table(results: dict[str, Findings]) -> Table:
    """All of them; what is not good enough stands out."""
    rows = [
        (f"{fault}: {each.what}", each.found if each.good else f"**{each.found}**", each.allowed)
        for fault, findings in results.items()
        for each in findings.found
    ]
    return Table(("fault: what", "found", "allowed"), rows)
