"""The findings of a fault: each has an expectation, a result and whether that is good enough."""

from __future__ import annotations

import attrs

from benchmarks.report import Table

__all__ = ["Finding", "Findings", "Soak", "as_table"]


@attrs.frozen
class Finding:
    """One observation under a fault."""

    what: str
    found: str
    allowed: str
    good: bool
    is_figure: bool
    """Whether it is a time or an amount, which depends on how busy the machine is."""

    def __str__(self) -> str:
        return f"{self.what}: {self.found} (allowed: {self.allowed})"


@attrs.define
class Findings:
    """All findings of one fault."""

    found: list[Finding] = attrs.field(factory=list)

    def counts(self, what: str, found: object, wrong: object = 0) -> None:
        """Add something that happened `found` times; `wrong` is a number or the wrong ones."""
        shown = f"{found}, {wrong} wrong" if wrong else str(found)
        self.found.append(Finding(what, shown, "none wrong", not wrong, False))

    def equals(self, what: str, found: object, wanted: object) -> None:
        """Add a value, or a set of all values, that should equal `wanted`."""
        self.found.append(Finding(what, _shown(found), _shown(wanted), found == wanted, False))

    def none_of(self, what: str, wrong: list[str]) -> None:
        """Add something that should not happen; the first case is shown."""
        found = f"{len(wrong)}: {wrong[0]}" if wrong else "0"
        self.found.append(Finding(what, found, "0", not wrong, False))

    def within(self, what: str, found: float, limit: float, unit: str) -> None:
        """Add a figure that should not exceed a limit."""
        self.found.append(
            Finding(what, f"{found:,.3g} {unit}", f"{limit:,.4g} {unit}", found <= limit, True)
        )

    @property
    def wrong(self) -> list[str]:
        """Findings that are wrong on any machine."""
        return [str(each) for each in self.found if not each.good and not each.is_figure]

    @property
    def bad(self) -> list[str]:
        """Findings that are wrong, and figures that are too high."""
        return [str(each) for each in self.found if not each.good]


@attrs.frozen
class Soak:
    """The amount of work: `share` is the part of what the table of faults asks for."""

    share: float = 1.0

    def times(self, count: int, least: int = 1) -> int:
        """Return the share of a count."""
        return max(least, round(count * self.share))

    def seconds(self, seconds: float, least: float) -> float:
        """Return the share of a duration."""
        return max(least, seconds * self.share)


def _shown(value: object) -> str:
    return " and ".join(sorted(map(str, value))) if isinstance(value, set) else str(value)


def as_table(results: dict[str, Findings]) -> Table:
    """Return all findings as a table, in which bad ones are bold."""
    rows = [
        (f"{fault}: {each.what}", each.found if each.good else f"**{each.found}**", each.allowed)
        for fault, findings in results.items()
        for each in findings.found
    ]
    return Table(("fault: what", "found", "allowed"), rows)
