"""The server of the Model Context Protocol, by its official SDK: which tools there are, and calls.

In: the messages of an assistant, and a service to ask. Out: the texts of the tools. An error of the
service or of the arguments becomes one sentence, which the SDK sends as the tool's error.
"""

from __future__ import annotations

import logging
from importlib.metadata import version
from typing import Any

import trio
from mcp import types
from mcp.server.lowlevel import Server

from natstream.cli.mcp_schema import INSTRUCTIONS, TOOLS
from natstream.cli.mcp_stdio import open_stdio
from natstream.cli.mcp_tools import Tools
from natstream.entries.escapes import one_line
from natstream.errors import BadQuery, NatstreamError, SourceDenied

__all__ = ["make_server", "serve"]

# A service allows one reader only so many streams, and an assistant may call several tools at once.
MOST_CALLS = 4


async def serve(url: str, token: str, advice: str) -> None:
    """Serve the tools over stdin and stdout until stdin is closed.

    Args:
        url, token: the service, as for `open_log_stream`.
        advice: what to do if the service refuses the token.
    """
    # The SDK logs the messages that it cannot read, with tracebacks. The assistant gets an answer
    # to each of them, and its user would see the log as a crash.
    logging.disable(logging.CRITICAL)
    server = make_server(Tools(url, token), advice)
    async with open_stdio() as (messages, answers):
        await server.run(messages, answers, server.create_initialization_options())


def make_server(tools: Tools, advice: str) -> Server[Any, Any]:
    """Return a server for these tools."""
    server: Server[Any, Any] = Server("natstream", version("natstream"), INSTRUCTIONS)
    limit = trio.CapacityLimiter(MOST_CALLS)
    calls = {
        "overview": tools.overview,
        "search": tools.search,
        "around": tools.around,
        "patterns": tools.patterns,
        "tail": tools.tail,
    }

    async def list_tools() -> list[types.Tool]:
        reads_only = types.ToolAnnotations(readOnlyHint=True, openWorldHint=True)
        return [
            types.Tool(
                name=name, description=tool.description, inputSchema=tool.schema,
                annotations=reads_only,
            )
            for name, tool in TOOLS.items()
        ]  # fmt: skip

    async def call_tool(name: str, arguments: dict[str, Any]) -> list[types.TextContent]:
        if name not in calls:
            raise NatstreamError(f"There is no such tool. The tools are {', '.join(calls)}.")
        try:
            async with limit:
                text = await calls[name](arguments)
        except SourceDenied as error:
            raise NatstreamError(one_line(f"{error}. {advice}.")) from error
        except BadQuery as error:
            raise NatstreamError(one_line(f"{error}")) from error
        except NatstreamError as error:
            raise NatstreamError(
                one_line(f"{error}. The logs cannot be read at present, so nothing is known.")
            ) from error
        return [types.TextContent(type="text", text=text)]

    # The SDK's decorators have no types.
    server.list_tools()(list_tools)  # type: ignore[no-untyped-call]
    server.call_tool()(call_tool)
    return server
