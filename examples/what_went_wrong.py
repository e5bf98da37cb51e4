"""Read whole entries instead of lines: the warnings and worse of every machine, with their origin.

    python examples/what_went_wrong.py --port 9999

The hub remembers entries, so the program first shows the last hundred that came before it reads.
Ctrl-C ends it.
"""

import argparse
from contextlib import suppress

import trio

from natstream import Filter, Gap, LogCollector, LogDrainServer, open_hub

WARNINGS = Filter.from_query([("min_level", "warn")])


async def main(port: int) -> None:
    async with (
        open_hub(backlog_lines=10_000) as hub,
        LogDrainServer(LogCollector(), port=port, hub=hub) as server,
    ):
        print(f"POST logs to {server.url}", flush=True)
        with hub.subscribe(WARNINGS, tail=100) as reader:
            async for found in reader:
                if isinstance(found, Gap):
                    print(f"# {found.missed} lines are missing here", flush=True)
                    continue
                for entry in found.entries:
                    origin = f"{entry.app_name}[{entry.machine_id}] {entry.region}"
                    print(f"{entry.timestamp} {origin} [{entry.level}] {entry.message}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    with suppress(KeyboardInterrupt):
        trio.run(main, parser.parse_args().port)
