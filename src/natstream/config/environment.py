"""Environment variables → `Settings`, read once at start. Pure.

A wrong value, and a combination of values that cannot work, raises `ConfigurationError` with one
sentence: the variables, the value that one held, and the values that it takes or the change that
helps. The sentence never holds a secret.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import attrs

from natstream.config.diagnostics import SHORTEST_TOKEN, short_tokens
from natstream.config.settings import Bind, Settings
from natstream.config.variables import read_variable
from natstream.errors import ConfigurationError

__all__ = ["read_settings"]


def read_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read and check every variable; an empty variable counts as unset.

    Raises:
        ConfigurationError: a variable is wrong or missing; the sentence names the first one.
    """
    given: dict[str, Any] = {}
    for field in attrs.fields(Settings):
        variable = field.metadata["variable"]
        if text := environ.get(variable, "").strip():
            given[field.name] = read_variable(
                variable, text, field.metadata["parse"], secret=field.metadata["secret"]
            )
    own_app = given.pop("own_app", "")
    if own_app:
        given.setdefault("apps", (own_app,))
    if given.get("drain_tokens") and "drain_bind" not in given:
        given["drain_bind"] = Bind("::", 8081)
    if environ.get("FLY_MACHINE_ID", ""):  # This process runs on Fly.
        given["own_app"] = own_app
        given.setdefault("fly_api", bool(given.get("access_token")))
        given.setdefault("machines_api_url", "http://_api.internal:4280")
    settings = Settings(**given)
    _check_combinations(settings)
    return settings


def _check_combinations(settings: Settings) -> None:
    """Raise `ConfigurationError` for the first combination that cannot work."""
    _check_sources(settings)
    _check_binds(settings)
    _check_tokens(settings)
    _check_nats(settings)
    _check_journal(settings)
    if settings.fly_api and not settings.access_token:
        raise ConfigurationError(
            "NATSTREAM_FLY_API is on, and ACCESS_TOKEN is not set: set the token, or the setting "
            "to off."
        )


def _check_sources(settings: Settings) -> None:
    reads = "nats" in settings.sources or settings.drain_bind or settings.journal_servers
    if not reads:
        raise ConfigurationError(
            "natstream would read nothing, because NATSTREAM_SOURCES is drain and "
            "NATSTREAM_DRAIN_BIND is off: set NATSTREAM_DRAIN_BIND to an address."
        )


def _check_binds(settings: Settings) -> None:
    binds = [("NATSTREAM_DRAIN_BIND", settings.drain_bind)] if "drain" in settings.sources else []
    binds.append(("NATSTREAM_METRICS_BIND", settings.metrics_bind))
    for variable, bind in binds:
        if bind == settings.bind and bind.port:
            raise ConfigurationError(
                f"NATSTREAM_BIND and {variable} are both {bind}: each needs a port of its own."
            )


def _check_tokens(settings: Settings) -> None:
    for variable, others_reach_it in short_tokens(settings):
        if others_reach_it:
            raise ConfigurationError(
                f"{variable} holds a token of fewer than {SHORTEST_TOKEN} characters, which can be "
                "guessed, and other machines can reach the address: "
                "make a token with `openssl rand -hex 24`."
            )


def _check_nats(settings: Settings) -> None:
    if "nats" not in settings.sources:
        return
    missing = [
        variable
        for variable, value in (("FLY_ORG", settings.org), ("ACCESS_TOKEN", settings.access_token))
        if not value
    ]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        raise ConfigurationError(
            f"{' and '.join(missing)} {verb} not set, and the NATS source needs both: "
            "set them, or NATSTREAM_SOURCES=drain to read drains only, "
            "or try `natstream demo`, which needs neither."
        )


def _check_journal(settings: Settings) -> None:
    if not settings.journal_servers:  # without a journal, its credentials are not used
        return
    if settings.journal_token and (settings.journal_user or settings.journal_password):
        raise ConfigurationError(
            "NATSTREAM_JOURNAL_TOKEN is set, and so is a user or a password: unset the token, "
            "or NATSTREAM_JOURNAL_USER and NATSTREAM_JOURNAL_PASSWORD."
        )
    if bool(settings.journal_user) is not bool(settings.journal_password):
        given, missing = "NATSTREAM_JOURNAL_USER", "NATSTREAM_JOURNAL_PASSWORD"
        if settings.journal_password:
            given, missing = missing, given
        raise ConfigurationError(f"{given} is set and {missing} is not: set both, or neither.")
