"""`python -m benchmarks.soak`: cause the faults, print the findings; --write stores them."""

from __future__ import annotations

import argparse
import sys

import trio
from tests.support.processes import isolate

from benchmarks.command import cancel_when_terminated, say
from benchmarks.report import conditions, write
from benchmarks.soak.findings import Findings, Soak, as_table
from benchmarks.soak.table import FAULTS

# The whole table of faults takes about so many minutes.
MINUTES = 5.0


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument(
        "faults",
        nargs="*",
        metavar="FAULT",
        help=f"the faults to cause: {', '.join(FAULTS)}; all of them if none is named",
    )
    parser.add_argument(
        "--minutes",
        type=float,
        default=MINUTES,
        help="for all of them together, about; everything is done in proportion (%(default)g)",
    )
    parser.add_argument(
        "--write", action="store_true", help="keep it in docs/performance.md; not of a part"
    )
    return parser


async def _soak(options: argparse.Namespace) -> dict[str, Findings]:
    soak = Soak(options.minutes / MINUTES)
    results = {}
    for name in options.faults or FAULTS:
        started = trio.current_time()
        results[name] = findings = await FAULTS[name](soak)
        say(f"{name}, {trio.current_time() - started:.0f} s:")
        for finding in findings.found:
            say(f"  {'ok ' if finding.good else 'BAD'} {finding}")
    return results


async def _main() -> int:
    parser = _arguments()
    options = parser.parse_args()
    if unknown := {*options.faults} - {*FAULTS}:
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    if options.write and options.faults:
        parser.error("the page keeps the table as a whole")
    isolate()
    results: dict[str, Findings] = {}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(cancel_when_terminated, nursery.cancel_scope)
        results = await _soak(options)
        nursery.cancel_scope.cancel()
    if not results:
        return 1
    text = f"{as_table(results)}\n\n{conditions(sys.argv[1:], [], 'benchmarks.soak')}"
    print(text)
    if options.write:
        write("faults", text)
    return int(any(findings.bad for findings in results.values()))


if __name__ == "__main__":
    try:
        sys.exit(trio.run(_main))
    except* KeyboardInterrupt:
        sys.exit(130)
