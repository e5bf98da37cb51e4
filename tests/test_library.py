"""The names that `import natstream` offers, and what the import does not load."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import natstream

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", natstream.__all__)
def test_each_name_is_an_object_of_natstream_with_its_own_docstring(name: str) -> None:
    """Each public name gives the class or function of that name, which says how it is used."""
    found = getattr(natstream, name)
    assert found.__name__ == name
    assert found.__module__.startswith("natstream.")
    assert found.__dict__.get("__doc__") if inspect.isclass(found) else found.__doc__


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    """A name that does not exist is refused with the name, as other modules refuse it."""
    with pytest.raises(AttributeError, match="nothing_such"):
        natstream.nothing_such  # noqa: B018  # the access is the test


def test_dir_shows_every_public_name() -> None:
    """`dir()` shows each public name, also before the name has been used."""
    code = "import natstream; print(*dir(natstream))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {*shown.stdout.split()} >= {*natstream.__all__}


def test_a_type_checker_sees_what_the_names_are(tmp_path: Path) -> None:
    """mypy knows the type of each public name, although a name is loaded only when it is used."""
    program = tmp_path / "program.py"
    lines = ["import natstream", *(f"reveal_type(natstream.{name})" for name in natstream.__all__)]
    program.write_text("\n".join(lines))
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    revealed = [line for line in checked.stdout.splitlines() if "Revealed type" in line]
    assert checked.returncode == 0, checked.stdout
    assert len(revealed) == len(natstream.__all__)
    assert not any('"Any"' in line or "builtins.object" in line for line in revealed), revealed


@pytest.mark.parametrize("heavy", ["nats", "hypercorn", "quart", "httpx", "prometheus_client"])
def test_a_program_that_reads_a_drain_loads_no_web_framework(heavy: str) -> None:
    """The drain and the hub load neither NATS nor the web application."""
    code = (
        "import sys; from natstream import LogDrainServer, LogCollector, LogStream, open_hub; "
        f"sys.exit({heavy!r} in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
