"""Real proxies in front of a service, as a test configures them.

`open_proxy()` runs one until the end of a block. A test is skipped if the machine has no such
program.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from tests.support.loopback import free_port
from tests.support.waiting import PATIENCE

__all__ = ["NGINX", "open_proxy"]

# A whole configuration of nginx, for one server with the text `{server}`.
NGINX = """
daemon off;
master_process off;
pid {directory}/pid;
error_log stderr crit;
events {{}}
http {{
  access_log off;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  server {{
    listen 127.0.0.1:{port};
    {server}
  }}
}}
"""

COMMANDS = {
    "nginx": ["nginx", "-c"],
    "haproxy": ["haproxy", "-db", "-q", "-f"],
    "caddy": ["caddy", "run", "--adapter", "caddyfile", "--config"],
    "node": ["node"],
}


@asynccontextmanager
async def open_proxy(
    name: str, configuration: str, directory: Path, **places: object
) -> AsyncIterator[int]:
    """Run a proxy until the end of the block, and give its port.

    Args:
        name: one of `COMMANDS`.
        configuration: its file, with `{port}`, `{directory}` and the names in `places`.
        directory: for its files.
    """
    if shutil.which(name) is None:
        pytest.skip(f"there is no {name}")
    port = free_port()
    path = directory / "configuration"
    path.write_text(configuration.format(port=port, directory=directory, **places))
    with (
        (directory / "errors").open("wb") as errors,
        subprocess.Popen(  # noqa: ASYNC220 - it starts at once
            [*COMMANDS[name], str(path)],
            stderr=errors,
            cwd=directory,
            env=os.environ | {"HOME": str(directory)},  # Caddy writes there
        ) as process,
    ):
        try:
            with trio.fail_after(PATIENCE):
                while True:
                    assert process.poll() is None, (directory / "errors").read_text()
                    try:
                        await (await trio.open_tcp_stream("127.0.0.1", port)).aclose()
                        break
                    except OSError:
                        await trio.sleep(0.05)
            yield port
        finally:
            process.terminate()
