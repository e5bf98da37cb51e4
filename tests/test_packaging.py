"""The wheel and the sdist: what is in them, and that one makes the other."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path
from zipfile import ZipFile

import attrs
import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@attrs.frozen
class Built:
    """What `python -m hatchling build` makes of a directory."""

    wheel: Path
    sdist: Path

    @classmethod
    def of(cls, source: Path, target: Path) -> Built:
        command = [sys.executable, "-m", "hatchling", "build", "-d", str(target)]
        subprocess.run(command, cwd=source, check=True, capture_output=True)
        (wheel,), (sdist,) = target.glob("*.whl"), target.glob("*.tar.gz")
        return cls(wheel, sdist)


def tracked() -> list[str]:
    """The repository's files. A release is made from a clean clone, so from no others."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a clone")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).exists()]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """From this repository's files as they are now, in a directory of their own."""
    source = tmp_path_factory.mktemp("source")
    for name in tracked():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    return Built.of(source, tmp_path_factory.mktemp("dist"))


def contents(wheel: Path) -> dict[str, bytes]:
    with ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_wheel_holds_the_package_and_nothing_else(built: Built) -> None:
    """Every file of src/natstream, the page's among them."""
    names = set(contents(built.wheel))
    info = f"natstream-{PROJECT['version']}.dist-info"
    package = {name.removeprefix("src/") for name in tracked() if name.startswith("src/")}
    assert {name for name in names if not name.startswith(info)} == package
    assert {"natstream/py.typed", "natstream/web/static/index.html"} <= names
    assert {f"{info}/entry_points.txt", f"{info}/licenses/LICENSE"} <= names


def test_the_sdist_makes_the_same_wheel(built: Built, tmp_path: Path) -> None:
    """Elsewhere, where there is no repository."""
    with tarfile.open(built.sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    again = Built.of(tmp_path / f"natstream-{PROJECT['version']}", tmp_path / "dist")
    assert contents(again.wheel) == contents(built.wheel)


def test_the_sdist_holds_what_its_readers_need(built: Built) -> None:
    """The documentation, the tests and the locks come with it."""
    with tarfile.open(built.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert set(tracked()) <= names


def test_the_version_is_the_changelogs_newest() -> None:
    """The one place that it stands in besides."""
    headings = [
        line for line in (ROOT / "CHANGELOG.md").read_text().splitlines() if line.startswith("## ")
    ]
    assert headings[0].split()[1] == PROJECT["version"]
