"""The wheel and the sdist: their contents, and that the sdist builds the same wheel."""

from __future__ import annotations

import re
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
    """The files that `python -m hatchling build` makes from a directory."""

    wheel: Path
    sdist: Path

    @classmethod
    def of(cls, source: Path, target: Path) -> Built:
        command = [sys.executable, "-m", "hatchling", "build", "-d", str(target)]
        subprocess.run(command, cwd=source, check=True, capture_output=True)
        (wheel,), (sdist,) = target.glob("*.whl"), target.glob("*.tar.gz")
        return cls(wheel, sdist)


def tracked() -> list[str]:
    """Return the files of the repository, since a release is made from a clean clone."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a clone")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).exists()]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Build the files of this repository as they are now, in another directory."""
    source = tmp_path_factory.mktemp("source")
    for name in tracked():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    return Built.of(source, tmp_path_factory.mktemp("dist"))


def contents(wheel: Path) -> dict[str, bytes]:
    with ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_wheel_holds_the_package_and_nothing_else(built: Built) -> None:
    """The wheel holds every file of src/natstream, including the page's, and no other."""
    names = set(contents(built.wheel))
    info = f"natstream-{PROJECT['version']}.dist-info"
    package = {name.removeprefix("src/") for name in tracked() if name.startswith("src/")}
    assert {name for name in names if not name.startswith(info)} == package
    assert {"natstream/py.typed", "natstream/web/static/index.html"} <= names
    assert {f"{info}/entry_points.txt", f"{info}/licenses/LICENSE"} <= names


def test_the_sdist_makes_the_same_wheel(built: Built, tmp_path: Path) -> None:
    """The sdist builds the same wheel in a directory that is no repository."""
    with tarfile.open(built.sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    again = Built.of(tmp_path / f"natstream-{PROJECT['version']}", tmp_path / "dist")
    assert contents(again.wheel) == contents(built.wheel)


def test_the_sdist_holds_what_its_readers_need(built: Built) -> None:
    """The sdist holds the documentation, the tests and the locks as well."""
    with tarfile.open(built.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert set(tracked()) <= names


def test_the_version_is_the_changelogs_newest() -> None:
    """The newest section of the changelog has the version of pyproject.toml."""
    headings = [
        line for line in (ROOT / "CHANGELOG.md").read_text().splitlines() if line.startswith("## ")
    ]
    assert headings[0].split()[1] == PROJECT["version"]


INSTALLERS = ("Makefile", "deploy/Dockerfile", "docs/deploy.md")


def pip_commands(text: str) -> list[str]:
    """Return the lines of a file that install or build packages, each as one line."""
    lines = text.replace("\\\n", " ").replace('", "', " ").splitlines()
    return [line for line in lines if re.search(r"\bpip\b.* (install|wheel) .*(-r|-e|\.)", line)
            and not line.startswith("#")]  # fmt: skip


def test_every_installed_package_comes_from_a_lock() -> None:
    """Each pip command checks hashes, or installs only natstream, with build tools of the lock."""
    commands = [
        command
        for name in INSTALLERS
        for command in pip_commands((ROOT / name).read_text(encoding="utf-8"))
    ]
    assert len(commands) >= 10
    for command in commands:
        if "--no-deps" in command:
            assert "--no-build-isolation" in command or "--no-index" in command, command
        else:
            assert "--require-hashes" in command, command


def test_h11_has_no_known_fault() -> None:
    """natstream needs a release of h11 that reads chunks strictly, and no HTTP/2 of its own."""
    assert [name for name in PROJECT["dependencies"] if name.startswith("h11")] == ["h11>=0.16"]
    assert not [name for name in PROJECT["dependencies"] if re.match(r"h2\b", name)]
