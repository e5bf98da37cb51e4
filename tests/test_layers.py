"""The floors of the house: each package imports only from packages on lower floors.

A package that is added gets one row in `FLOORS`; its modules need none. `docs/architecture.md` says
what each package is for.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "natstream"

# Lowest first. Packages of one floor do not import each other.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("errors", "background"),
    ("entries",),
    ("formats", "server", "config"),
    ("hub", "client"),
    ("nats", "drain", "fly_api", "watches"),
    ("journal", "web"),
    ("core",),
    ("supervisor",),
    ("cli", "demo", "asgi"),
)
# At the top: the library's names, which load their modules when asked for, and `python -m`.
FACE = {"natstream", "__main__"}

# A pure module takes values and gives values: it neither waits nor does I/O. Its docstring says so
# with this word, and in these packages every module does.
PURE, PURE_PACKAGES = "Pure.", {"entries", "formats"}
IMPURE = {"trio", "asyncio", "socket", "ssl", "select", "threading", "subprocess", "http", "httpx"}

# The packages (or modules) that may import a library; a fault of it is then mended in one place.
HOMES = {
    "nats": {"nats.client_adapter", "nats.connection", "nats.failures"},
    "trio_asyncio": {"nats.connection"},
    "google": {"drain.otlp_protobuf"},
    "opentelemetry": {"drain.otlp_protobuf"},
    "h11": {"drain.http1", "server"},
    "hypercorn": {"server"},
    "mcp": {"cli.mcp_server", "cli.mcp_stdio"},
    "quart": {"web"},
    "quart_trio": {"web", "core", "supervisor"},  # these two name the type that they hand on
    "werkzeug": {"web"},
    "itsdangerous": {"web"},
    "prometheus_client": {"web"},
    "httpx": {"client", "cli.check", "fly_api", "watches.senders"},
    "re2": {"entries.expressions"},
    "structlog": {"config.service_log", "supervisor", "asgi", "watches.delivery"},
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
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name.startswith("natstream.")]
            yield from ((module.removeprefix("natstream."), "") for module in names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("natstream"):
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


def is_in(name: str, homes: set[str]) -> bool:
    """Return whether a module is one of these, or in one of these packages."""
    return name in homes or package(name) in homes


def is_pure(name: str) -> bool:
    """Return whether a module's docstring promises that it is pure."""
    return PURE in (ast.get_docstring(ast.parse(FILES[name].read_text(encoding="utf-8"))) or "")


def test_every_package_has_a_floor() -> None:
    """Each package, and each module at the top, has exactly one row; and no row is without one."""
    rows = [name for row in FLOORS for name in row]
    assert sorted(rows) == sorted({package(name) for name in MODULES} - FACE)


def test_the_document_shows_the_floors_and_modules_that_exist() -> None:
    """docs/architecture.md has the same floors, a line for each package, and no unknown module."""
    text = (PACKAGE.parents[1] / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \d+ \| (.+) \|$", text, re.MULTILINE)
    assert [tuple(re.findall(r"`(\w+)`", row)) for row in rows] == list(FLOORS)
    tree = text.partition("src/natstream/\n")[2].partition("```")[0]
    lines = dict(re.findall(r"^  (\w+)/ +(.+)$", tree, re.MULTILINE))
    assert sorted(lines) == sorted({package(name) for name in MODULES if "." in name})
    for name, listed in lines.items():
        named = re.sub(r"\(.*?\)|static/", "", listed).split(" · ")
        shown = {f"{name}.{each.strip()}" for each in named if each.strip(" …")}
        assert shown <= FILES.keys()


def test_each_class_has_a_name_of_its_own() -> None:
    """No two classes have the same name, so that a name means one thing wherever it is read."""
    names = Counter(
        node.name
        for path in FILES.values()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    )
    assert [name for name, count in names.items() if count > 1] == []


def test_the_tests_mirror_the_packages() -> None:
    """Each package has a folder of tests, and a folder that is no package has a reason."""
    folders = {path.parent.name for path in Path(__file__).parent.glob("*/test_*.py")}
    # `page` tests what lies in web/static, in Chromium, and `browsers` does so in three browsers;
    # `deploy` tests the files for Fly, and `proxies` the whole between other people's programs.
    assert folders - {"page", "browsers", "deploy", "proxies"} == {
        package(name) for name in MODULES if "." in name
    }


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


@pytest.mark.parametrize("name", [name for name in MODULES if is_pure(name)])
def test_a_pure_module_takes_values_and_gives_values(name: str) -> None:
    """A pure module imports nothing that waits, does I/O or belongs to another home."""
    foreign = set(libraries(name))
    assert foreign & (IMPURE | HOMES.keys() - {"re2", "werkzeug", "itsdangerous"}) == set()


@pytest.mark.parametrize("name", [name for name in MODULES if package(name) in PURE_PACKAGES])
def test_the_modules_of_a_pure_package_are_pure(name: str) -> None:
    """Each module of entries and formats is pure, because every other package builds on them."""
    assert is_pure(name) or name in PURE_PACKAGES


@pytest.mark.parametrize("name", MODULES)
def test_imports_name_their_module_in_full(name: str) -> None:
    """No import is relative, because the other tests here do not see relative ones."""
    tree = ast.parse(FILES[name].read_text(encoding="utf-8"))
    assert [n.lineno for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.level] == []


def test_the_web_loads_no_source() -> None:
    """The web application knows of the sources only what the hub and their health say."""
    program = "import sys, natstream.web.app; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    sources = ("natstream.nats", "natstream.drain", "natstream.journal")
    loaded = done.stdout.split()
    assert "natstream.web.app" in loaded
    assert [module for module in loaded if module.startswith(sources)] == []


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
