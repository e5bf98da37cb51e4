"""Collect a finished machine's output into a list, in the shortest useful program.

    python examples/one_request.py

The program sends itself the lines that a log shipper would send.
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
        # Leaving the block has ended every stream, but the queued lines can still be read.
        print(await drain_channel(lines, timeout=5))


if __name__ == "__main__":
    trio.run(main)
