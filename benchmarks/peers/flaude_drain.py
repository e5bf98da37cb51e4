"""flaude's log drain with a reader of one machine, as a process that answers in lines of JSON.

    python flaude_drain.py MACHINE

It runs in flaude's own environment, so it imports nothing else. It prints `{"port": …}` once it
listens. It answers `N S` on stdin with `{"lines": …}`, the lines that the reader has got, as soon
as these are N, or no line has come for S seconds. It ends when stdin is closed.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

from flaude.log_drain import (  # type: ignore[import-not-found]  # in its own environment
    LogCollector,
    LogDrainServer,
    async_iter_queue,
)


async def main() -> None:
    collector = LogCollector()
    server = LogDrainServer(collector, host="127.0.0.1")
    await server.start()
    queue = await collector.subscribe(sys.argv[1])
    seen = 0

    async def read() -> None:
        nonlocal seen
        async for _ in async_iter_queue(queue):
            seen += 1

    reader = asyncio.create_task(read())
    print(json.dumps({"port": server.actual_port}), flush=True)
    loop = asyncio.get_running_loop()
    while command := (await loop.run_in_executor(None, sys.stdin.readline)).split():
        expected, patience = int(command[0]), float(command[1])
        last, moved = seen, time.monotonic()
        while seen < expected and time.monotonic() < moved + patience:
            await asyncio.sleep(0.01)
            if seen > last:
                last, moved = seen, time.monotonic()
        print(json.dumps({"lines": seen}), flush=True)
    reader.cancel()
    await server.stop()


asyncio.run(main())
