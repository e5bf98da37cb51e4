"""What the drivers cannot do is written down, once for the tests and once for people."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.browser_tab import CANNOT, NAMES

FOLDER = Path(__file__).parent


def test_contributors_are_told_what_a_driver_cannot_do() -> None:
    """The table in CONTRIBUTING.md is the one by which scenarios are left out."""
    text = (FOLDER.parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\w+) \| ([\w ]+) \| (.+) \|$", text, re.MULTILINE)
    assert {(name, ability): why for name, ability, why in rows if name in NAMES} == CANNOT


def test_each_exception_is_needed() -> None:
    """A scenario needs each of the abilities that some driver lacks, and no unknown one."""
    scenarios = "".join(path.read_text(encoding="utf-8") for path in FOLDER.glob("test_*.py"))
    needed = set(re.findall(r'^@pytest\.mark\.needs\("(.+)"\)$', scenarios, re.MULTILINE))
    assert needed == {ability for _, ability in CANNOT}
