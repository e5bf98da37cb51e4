"""Follow one run of a machine to its end, or give up, as a job runner does.

    python examples/follow_a_run.py 0e286551c30586 --silence 60 --limit 3600

The program prints the machine's output. Fly sends a line of its own when the machine has exited,
and the program then ends after the machine's last line. The exit status is 0 if the machine exited,
and 1 if it was silent or ran for too long.
"""

import argparse
import sys

import trio

from natstream import Filter, Gap, Hub, LogCollector, LogDrainServer, LogStream, open_hub

SYSTEM = Filter.from_query([("type", "system"), ("q", "machine exited")])


async def finish_when_it_exits(hub: Hub, collector: LogCollector) -> None:
    """Finish a machine when Fly reports its exit.

    The hub is needed for this, because the collector's readers never see Fly's own lines.
    """
    with hub.subscribe(SYSTEM) as reader:
        async for found in reader:
            if isinstance(found, Gap):
                continue
            for entry in found.entries:
                collector.finish(entry.machine_id)


async def follow(machine_id: str, port: int, silence: float, limit: float) -> bool:
    collector = LogCollector()
    async with (
        open_hub() as hub,
        LogDrainServer(collector, port=port, hub=hub) as server,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(finish_when_it_exits, hub, collector)
        with collector.subscribe(machine_id) as lines:
            print(f"POST logs to {server.url}", flush=True)
            stream = LogStream(lines, item_timeout=silence, total_timeout=limit)
            async for line in stream:
                print(line, flush=True)
        nursery.cancel_scope.cancel()
    ending = "gave up" if stream.timed_out else "exited"
    dropped = f", {lines.dropped} more were lost" if lines.dropped else ""
    print(f"{machine_id} {ending} after {stream.lines_yielded} lines{dropped}")
    return not stream.timed_out


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("machine_id")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--silence", type=float, default=60.0, help="seconds without a line")
    parser.add_argument("--limit", type=float, default=3_600.0, help="seconds in all")
    options = parser.parse_args()
    exited = trio.run(follow, options.machine_id, options.port, options.silence, options.limit)
    sys.exit(0 if exited else 1)
