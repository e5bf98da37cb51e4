"""Ask a natstream service over HTTP for one of its JSON answers: `read_answer`."""

from __future__ import annotations

from typing import Any

import httpx

from natstream.client.address import link_token, parse_url
from natstream.client.client import NO_PROXY, TIMEOUT, Parameter, check_token, query_pairs
from natstream.client.service import RemoteService

__all__ = ["read_answer"]


async def read_answer(
    url: str, name: str, *, token: str = "", **parameters: Parameter
) -> dict[str, Any]:
    """Return the answer of `/api/<name>` of the service at `url`.

    Addresses, links, tokens and parameters are as for `open_log_stream`.

    Raises:
        ConfigurationError, SourceUnavailable, SourceDenied, BadQuery: as `open_log_stream`.
    """
    endpoint, token = parse_url(url), link_token(url) or token
    check_token(token)
    endpoint = endpoint.copy_with(path=f"{endpoint.path.removesuffix('logs')}{name}")
    for pair in query_pairs(parameters):
        endpoint = endpoint.copy_add_param(*pair)
    async with httpx.AsyncClient(timeout=TIMEOUT, mounts=NO_PROXY) as client:
        return await RemoteService(client, endpoint, token).ask()
