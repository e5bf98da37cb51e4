"""Collect the output of a finished machine into a list, in a program that is as short as possible.

    python examples/one_request.py

The program sends a request to itself, as a log drain would.
"""

import httpx
import trio

from natstream import LogCollector, LogDrainServer, drain_channel

BODY = b"""\
{"instance": "m1", "message": "one"}
{"instance": "m1", "message": "to stderr", "stream": "stderr"}
{"instance": "m2", "message": "another machine's"}
{"instance": "m1", "message": "two"}
"""


async def main() -> None:
    collector = LogCollector()
    with collector.subscribe("m1") as lines:
        async with LogDrainServer(collector) as server, httpx.AsyncClient() as client:
            receipt = await client.post(f"{server.url}/", content=BODY)
            print(receipt.json())
        # The end of the block has ended every stream, after its queued lines.
        print(await drain_channel(lines, timeout=5))


if __name__ == "__main__":
    trio.run(main)
