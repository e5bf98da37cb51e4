"""The names that `import natstream` offers, and what the import does not load."""

from __future__ import annotations

import ast
import inspect
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import natstream

ROOT = Path(__file__).parents[1]


def imports_for_type_checkers() -> dict[str, str]:
    """Return each name that `natstream/__init__.py` imports for type checkers, and its module."""
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


@pytest.mark.parametrize("name", natstream.__all__)
def test_each_name_has_a_docstring_of_its_own(name: str) -> None:
    """Each exported class or function has its exported name, and says how it is used."""
    found = getattr(natstream, name)
    assert found.__name__ == name
    assert found.__dict__.get("__doc__") if inspect.isclass(found) else found.__doc__


def test_a_name_that_is_not_exported_is_an_attribute_error() -> None:
    """A module that is loaded for an exported name does not export its other names here."""
    with pytest.raises(AttributeError, match="JournalReason"):
        getattr(natstream, "JournalReason")  # noqa: B009 - a type checker would object
    with pytest.raises(AttributeError, match="nothing_such"):
        getattr(natstream, "nothing_such")  # noqa: B009 - a type checker would object


def test_dir_shows_every_exported_name() -> None:
    """`dir()` shows each exported name, also before the name has been used."""
    code = "import natstream; print(*dir(natstream))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {*shown.stdout.split()} >= {*natstream.__all__}


@pytest.mark.parametrize("heavy", ["nats", "hypercorn", "quart", "httpx", "prometheus_client"])
def test_a_program_that_reads_a_drain_loads_no_web_framework(heavy: str) -> None:
    """A program with a drain and a hub loads neither NATS nor the web application."""
    code = (
        "import sys; from natstream import LogDrainServer, LogCollector, LogStream, open_hub; "
        f"sys.exit({heavy!r} in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


CALLBACK = """
from natstream import Notice, open_log_stream

def plain(notice: Notice) -> None: ...
async def later(notice: Notice) -> None: ...
notices: list[Notice] = []

open_log_stream(on_notice=plain)
open_log_stream(on_notice=notices.append)
open_log_stream(on_notice=lambda notice: print(notice.message))
open_log_stream(on_notice=later)
"""
LAST = "open_log_stream(on_notice=later)"


def pyright(*arguments: str) -> dict[str, Any]:
    """Return pyright's findings; it takes the Python of the tests from PATH."""
    scripts = str(Path(sys.executable).parent)
    environ = os.environ | {"PATH": os.pathsep.join((scripts, os.environ["PATH"]))}
    command = [sys.executable, "-m", "pyright", "--outputjson", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_every_public_type_is_known() -> None:
    """Type checkers know the type of everything that natstream makes public."""
    found = pyright("--verifytypes", "natstream", "--ignoreexternal")["typeCompleteness"]
    unknown = [
        symbol["name"]
        for symbol in found["symbols"]
        if symbol["isExported"] and (not symbol["isTypeKnown"] or symbol["isTypeAmbiguous"])
    ]
    assert unknown == []
    assert found["completenessScore"] == 1
    assert found["exportedSymbolCounts"]["withKnownType"] > len(natstream.__all__)


def test_pyright_refuses_an_async_callback(tmp_path: Path) -> None:
    """pyright refuses an async function as `on_notice`, and nothing else of the program."""
    program = tmp_path / "program.py"
    program.write_text(CALLBACK)
    (finding,) = pyright(str(program))["generalDiagnostics"]
    assert finding["range"]["start"]["line"] == CALLBACK.splitlines().index(LAST)
    assert "CoroutineType" in finding["message"]


def test_mypy_refuses_an_async_callback(tmp_path: Path) -> None:
    """mypy refuses an async function as `on_notice`, and nothing else of the program."""
    program = tmp_path / "program.py"
    program.write_text(CALLBACK)
    command = [sys.executable, "-m", "mypy", "--config-file", os.devnull, str(program)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    line = CALLBACK.splitlines().index(LAST) + 1
    assert f"program.py:{line}: error" in done.stdout
    assert "Found 1 error" in done.stdout
