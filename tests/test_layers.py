"""The floors of the house: each package imports only from packages on lower floors.

A package that is added gets one row in `FLOORS`; its modules need none. `docs/architecture.md` says
what each package is for.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "natstream"

# Lowest first. Packages of one floor do not import each other, except where NEIGHBOURS says so.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("errors", "background"),
    ("entries",),
    ("formats", "server", "config"),
    ("hub", "client"),
    ("nats", "drain"),
    ("journal", "web"),
    ("core",),
    ("supervisor",),
    ("cli", "demo", "asgi"),
)
# At the top: the library's names, which load their modules when asked for, and `python -m`.
FACE = {"natstream", "__main__"}

# Modules that take values and give values: they neither wait nor do I/O.
PURE = {
    "entries",
    "formats",
    "config.combinations",
    "config.diagnostics",
    "config.setting_types",
    "config.settings",
    "config.unused",
    "config.variables",
    "demo.apps",
    "demo.line",
    "demo.machines",
    "demo.shop",
    "demo.traffic",
    "drain.admission",
    "drain.answers",
    "drain.bodies",
    "drain.content_encoding",
    "drain.splitting",
    "hub.backlog",
    "hub.health",
    "hub.sink",
    "hub.timeline",
    "journal.messages",
    "nats.parser",
    "server.request_checks",
    "web.facets",
    "web.query",
}
IMPURE = {"trio", "asyncio", "socket", "ssl", "select", "threading", "subprocess", "http", "httpx"}

# The packages (or modules) that may import a library; a fault of it is then mended in one place.
HOMES = {
    "nats": {"nats.client_adapter", "nats.connection"},
    "trio_asyncio": {"nats.connection"},
    "h11": {"drain.http1", "server"},
    "hypercorn": {"server"},
    "quart": {"web"},
    "quart_trio": {"web", "core", "supervisor"},  # these two name the type that they hand on
    "werkzeug": {"web"},
    "itsdangerous": {"web"},
    "prometheus_client": {"web"},
    "httpx": {"client", "cli.check"},
    "re2": {"entries.filters"},
    "structlog": {"config.service_log", "supervisor", "asgi"},
}


def module_name(path: Path) -> str:
    """Return the name of a file's module without `natstream.`; the package's own is `natstream`."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__") or "natstream"


FILES = {module_name(path): path for path in PACKAGE.rglob("*.py")}
MODULES = sorted(FILES)


def package(name: str) -> str:
    """Return the package of a module, or the module itself where it stands at the top."""
    return name.partition(".")[0]


def floor(name: str) -> int:
    """Return the floor of a module's package."""
    return next(number for number, row in enumerate(FLOORS) if package(name) in row)


def ours(name: str) -> Iterator[tuple[str, str]]:
    """Return the imports of a module that are modules of natstream.

    Our `nats` package and the library of that name are told apart by the line that imports them.
    """
    text = FILES[name].read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("natstream"):
            module = (node.module or "").removeprefix("natstream").removeprefix(".")
            for alias in node.names:
                inner = f"{module}.{alias.name}".removeprefix(".")
                yield (inner, "") if inner in FILES else (module or "natstream", alias.name)


def libraries(name: str) -> Iterator[str]:
    """Return the libraries that a module imports, by their top-level names."""
    for node in ast.walk(ast.parse(FILES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0]


def is_in(name: str, places: set[str]) -> bool:
    """Return whether a module is one of these, or in one of these packages."""
    return name in places or package(name) in places


def test_every_package_has_a_floor() -> None:
    """Each package, and each module at the top, has exactly one row; and no row is without one."""
    rows = [name for row in FLOORS for name in row]
    assert sorted(rows) == sorted({package(name) for name in MODULES} - FACE)


def test_few_modules_stand_beside_the_packages() -> None:
    """At most nine files lie directly in `src/natstream`, so that its packages are seen."""
    assert len(list(PACKAGE.glob("*.py"))) <= 9


@pytest.mark.parametrize("name", [name for name in MODULES if name not in FACE])
def test_a_module_imports_from_lower_floors(name: str) -> None:
    """A module imports from its own package and from packages on lower floors."""
    upwards = [
        module
        for module, _ in ours(name)
        if package(module) != package(name) and (module in FACE or floor(module) >= floor(name))
    ]
    assert upwards == []


@pytest.mark.parametrize("name", MODULES)
def test_a_module_imports_only_exported_names(name: str) -> None:
    """A name that another module imports is in the `__all__` of its home."""
    for module, imported in ours(name):
        if imported:
            assert imported in exported(module), f"{name} imports {imported} of {module}"


def exported(name: str) -> set[str]:
    """Return the names in a module's `__all__`."""
    for node in ast.parse(FILES[name].read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    return set()


@pytest.mark.parametrize("name", [name for name in MODULES if FILES[name].name == "__init__.py"])
def test_a_package_opens_with_its_promise(name: str) -> None:
    """A package's `__init__.py` says what the package does, and exports nothing."""
    module = ast.parse(FILES[name].read_text(encoding="utf-8"))
    assert ast.get_docstring(module)
    if name != "natstream":
        assert len(module.body) == 1


@pytest.mark.parametrize("name", [name for name in MODULES if is_in(name, PURE)])
def test_a_pure_module_takes_values_and_gives_values(name: str) -> None:
    """A pure module imports nothing that waits, does I/O or belongs to another home."""
    foreign = set(libraries(name))
    assert foreign & (IMPURE | HOMES.keys() - {"re2", "werkzeug"}) == set()


@pytest.mark.parametrize("name", MODULES)
def test_a_library_is_known_to_its_home_alone(name: str) -> None:
    """A library is imported only by its home, so that its faults are mended in one place."""
    for library in libraries(name):
        assert library not in HOMES or is_in(name, HOMES[library]), f"{name} imports {library}"


def test_importing_natstream_loads_neither_nats_nor_the_web() -> None:
    """The library is usable without NATS, Quart and hypercorn."""
    program = "import sys, natstream; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(done.stdout.split())
    assert "natstream" in loaded
    assert loaded & {"nats", "trio_asyncio", "quart", "quart_trio", "hypercorn"} == set()
