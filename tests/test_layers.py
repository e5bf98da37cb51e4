"""Each room imports only from rooms above it, and a library is known to its own room alone.

`docs/architecture.md` says what the rooms are for.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "src" / "natstream"

# From the top down. A new module stands below all that it imports, and above all that import it.
ROOMS = """
    errors refusals entry terminal parsing unpacking bodies filtering framing unframing backlog
    legs sink beside seeking subscription hub facets health values settings findings logs listening
    process collector natsclient sources sources.inbox sources.http1 sources.nats sources.drain
    journal journal.stored journal.jetstream journal.consumer journal.outbox journal.known
    journal.archive journal.writer journal.standin journal.journal
    web web.answers web.files web.guards web.attempts web.query web.grants web.places web.metrics
    web.operations web.auth web.stream web.app
    http2 connection serving supervisor asgi
    traffic localnats demo client options tail check link cli __main__
    natstream
""".split()  # noqa: SIM905  # a list of words

PURE = """
    refusals entry terminal parsing unpacking bodies filtering framing unframing backlog legs sink
    facets
    health values settings findings journal.stored web.query
""".split()  # noqa: SIM905  # a list of words

# Whoever waits, or talks to the outside.
IMPURE = {"trio", "asyncio", "socket", "ssl", "select", "threading", "subprocess", "http", "httpx"}

HOMES = {
    "nats": {"natsclient"},
    "trio_asyncio": {"natsclient"},
    "h11": {"sources.http1", "connection"},
    "hypercorn": {"serving", "connection", "http2"},
    "h2": {"http2"},
    "quart": {"web"},
    "quart_trio": {"web", "supervisor"},  # the supervisor names the type that it hands on
    "werkzeug": {"web"},
    "itsdangerous": {"web"},
    "prometheus_client": {"web"},
    "httpx": {"client", "check"},
    "re2": {"filtering"},
    "structlog": {"logs", "supervisor", "asgi"},
}


def room(path: Path) -> str:
    """The name of a file's room; the package's own is `natstream`."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__") or "natstream"


FILES = {room(path): path for path in PACKAGE.rglob("*.py")}


def imports(name: str) -> Iterator[str]:
    """What a room imports, anywhere in it; names of ours without `natstream.`."""
    for node in ast.walk(ast.parse(FILES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.removeprefix("natstream.") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name} imports relatively: say natstream.…"
            module = (node.module or "").removeprefix("natstream.")
            for alias in node.names:
                inner = f"{node.module}.{alias.name}".removeprefix("natstream.")
                yield inner if inner in FILES else module


def is_in(name: str, rooms: set[str]) -> bool:
    """Whether a room is one of these, or in one."""
    return name in rooms or name.partition(".")[0] in rooms


def test_every_module_has_its_place() -> None:
    """A new one is put into the list, and one that has gone is taken out."""
    new = sorted(FILES.keys() - set(ROOMS))
    assert not new, (
        f"place {', '.join(new)} in ROOMS of tests/test_layers.py: below all that it imports, "
        "above all that import it; and in the table of docs/architecture.md"
    )
    assert sorted(set(ROOMS) - FILES.keys()) == []
    assert len(ROOMS) == len(set(ROOMS))


@pytest.mark.parametrize("name", FILES)
def test_a_room_imports_only_from_rooms_above(name: str) -> None:
    """So that each can be understood from those that one has read already."""
    ours = {imported for imported in imports(name) if imported in FILES}
    assert [other for other in ours if ROOMS.index(other) >= ROOMS.index(name)] == []


@pytest.mark.parametrize("name", [name for name in FILES if is_in(name, {"sources"})])
def test_sources_do_not_know_the_web(name: str) -> None:
    """They are usable without it."""
    assert not any(is_in(imported, {"web"}) for imported in imports(name))


@pytest.mark.parametrize("name", [name for name in FILES if is_in(name, {"web"})])
def test_the_web_does_not_know_the_sources(name: str) -> None:
    """It sees what the hub and their health say."""
    assert not any(is_in(imported, {"sources"}) for imported in imports(name))


@pytest.mark.parametrize("name", PURE)
def test_a_pure_room_takes_values_and_gives_values(name: str) -> None:
    """It does not wait, and talks to nobody."""
    foreign = {imported.partition(".")[0] for imported in imports(name)}
    assert foreign & (IMPURE | HOMES.keys() - {"re2", "werkzeug"}) == set()


@pytest.mark.parametrize("name", FILES)
def test_a_library_is_known_to_its_room_alone(name: str) -> None:
    """What is wrong with it can be mended in one place."""
    for imported in imports(name):
        library = imported.partition(".")[0]
        assert library not in HOMES or is_in(name, HOMES[library]), f"{name} imports {library}"


def test_importing_natstream_loads_neither_nats_nor_the_web() -> None:
    """The library is usable without them."""
    program = "import sys, natstream; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(done.stdout.split())
    assert "natstream" in loaded
    assert loaded & {"nats", "trio_asyncio", "quart", "quart_trio", "hypercorn"} == set()
