"""Print the lines of one machine as its log drain delivers them.

    python examples/machine_lines.py 0e286551c30586 --port 9999

The program needs neither NATS nor the web application, because it is only a listener and one
machine's reader. Ctrl-C ends it.
"""

import argparse
from contextlib import suppress

import trio

from natstream import LogCollector, LogDrainServer


async def main(machine_id: str, port: int) -> None:
    collector = LogCollector()
    async with LogDrainServer(collector, port=port) as server:
        print(f"POST logs to {server.url}", flush=True)
        with collector.subscribe(machine_id) as lines:
            async for line in lines:
                print(line, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("machine_id")
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    with suppress(KeyboardInterrupt):
        trio.run(main, options.machine_id, options.port)
