"""Variables that have no effect: removed settings, and misspelt ones."""

from __future__ import annotations

import attrs
import pytest

from natstream.config.environment import read_settings
from natstream.config.process import SPARE_CONNECTIONS
from natstream.config.settings import Settings
from natstream.config.unused import REMOVED, unused_variables
from natstream.drain.server import DrainLimits
from natstream.server.connection import Limits

# What a removed setting may still hold in an environment: a value of its time, or nonsense.
VALUES = ["5", "nonsense", "-1", "\x1b[2J", "hunter2@secret", "9" * 5_000]


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("variable", REMOVED)
def test_a_removed_setting_is_one_warning_and_changes_nothing(variable: str, value: str) -> None:
    """The sentence names the variable and the constant; the value is neither read nor shown."""
    environ = {"NATSTREAM_SOURCES": "drain"}
    assert read_settings(environ | {variable: value}) == read_settings(environ)
    (said,) = unused_variables(environ | {variable: value})
    assert said.startswith(f"{variable} was removed and has no effect: it set ")
    assert said.endswith(f"which is now always {REMOVED[variable].value}.")
    assert value == "5" or value not in said


@pytest.mark.parametrize("variable", REMOVED)
def test_an_empty_removed_setting_is_no_warning(variable: str) -> None:
    """An empty variable counts as unset."""
    assert unused_variables({variable: " "}) == []


def test_a_removed_setting_is_no_setting() -> None:
    """A name is either removed or read."""
    assert not REMOVED.keys() & {field.metadata["variable"] for field in attrs.fields(Settings)}


def test_the_warnings_tell_the_constants_that_the_code_uses() -> None:
    """Each removed setting's value in the warning is the value of the constant."""
    assert {name: removed.value for name, removed in REMOVED.items()} == {
        "NATSTREAM_MAX_CONNECTIONS": f"{SPARE_CONNECTIONS} above NATSTREAM_MAX_READERS",
        "NATSTREAM_MAX_HEADER": f"{Limits().max_header:,}",
        "NATSTREAM_HEADER_TIMEOUT": f"{Limits().header_timeout:g}",
        "NATSTREAM_DRAIN_MAX_REQUESTS": f"{DrainLimits().max_requests}",
    }


def test_a_misspelt_variable_is_a_warning() -> None:
    """A variable that resembles a setting is a warning; one that resembles none is not."""
    environ = {"NATSTREAM_TOKN": "x", "NATSTREAM_SKIP_NOTHING": "1", "NATSTREAM_TOKEN": "y"}
    [said] = unused_variables(environ)
    assert said == (
        "NATSTREAM_TOKN is not a setting and has no effect: did you mean NATSTREAM_TOKEN?"
    )
