"""What the tests of the deployment read: the instructions of a Dockerfile, times of fly.toml."""

from __future__ import annotations

import json

import attrs

__all__ = ["Instruction", "instructions", "seconds"]


@attrs.frozen
class Instruction:
    """One instruction of a Dockerfile."""

    keyword: str
    text: str

    @property
    def words(self) -> list[str]:
        """The arguments of an exec form, or the words between spaces."""
        return json.loads(self.text) if self.text.startswith("[") else self.text.split()


def instructions(dockerfile: str) -> list[Instruction]:
    """Return a Dockerfile's instructions in order, without comments, continued lines joined."""
    lines = [line for line in dockerfile.splitlines() if line and not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ").splitlines()
    return [Instruction(*line.split(maxsplit=1)) for line in joined]


def seconds(text: str) -> int:
    """Return a duration of fly.toml, for example `10s`, in seconds."""
    return int(text.removesuffix("s"))
