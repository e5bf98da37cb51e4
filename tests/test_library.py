"""What `import natstream` gives, and what it does not cost."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import natstream


def imports_for_type_checkers() -> dict[str, str]:
    """Each name that `natstream/__init__.py` imports for type checkers, and its module."""
    tree = ast.parse(Path(natstream.__file__).read_text(encoding="utf-8"))
    return {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
        if node.module.startswith("natstream.")
    }


def test_type_checkers_and_programs_see_the_same_names() -> None:
    """Each exported name is the object that type checkers find, and they find no other name."""
    homes = imports_for_type_checkers()
    assert sorted(natstream.__all__) == sorted(homes)
    for name, module in homes.items():
        assert getattr(natstream, name) is getattr(sys.modules[module], name)


def test_a_name_that_is_not_exported_is_an_attribute_error() -> None:
    """A module that is loaded for an exported name does not export its other names here."""
    with pytest.raises(AttributeError, match="JournalReason"):
        natstream.JournalReason  # noqa: B018  # the access is the test
    with pytest.raises(AttributeError, match="nothing_such"):
        natstream.nothing_such  # noqa: B018  # the access is the test


@pytest.mark.parametrize("heavy", ["nats", "hypercorn", "quart", "httpx", "prometheus_client"])
def test_a_program_that_reads_a_drain_loads_no_web_framework(heavy: str) -> None:
    """The library without NATS and without the web application."""
    code = (
        "import sys; from natstream import LogDrainServer, LogCollector, LogStream, open_hub; "
        f"sys.exit({heavy!r} in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
