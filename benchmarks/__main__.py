"""`python -m benchmarks`: run measurements and print them; --write stores them in docs/."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

import trio
from tests.support.processes import BenchmarkError, isolate

from benchmarks.bench import Bench
from benchmarks.command import cancel_when_terminated, say
from benchmarks.measurements import MEASUREMENTS
from benchmarks.peers import PEERS
from benchmarks.report import conditions, write
from natstream.demo.nats_server import NatsServer
from natstream.errors import NatstreamError


def _loads(text: str) -> list[tuple[int, int]]:
    return [(int(readers), int(rate)) for readers, rate in (one.split("x") for one in _words(text))]


def _words(text: str) -> list[str]:
    return text.split(",")


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "measurements",
        nargs="*",
        metavar="MEASUREMENT",
        help=f"what to measure: {', '.join(MEASUREMENTS)}; all of them if none is named",
    )
    parser.add_argument(
        "--loads",
        type=_loads,
        default=(),
        help="readers x lines/s: 1x200,100x500; of loads, journal and processes, which have each "
        "their own",
    )
    parser.add_argument("--peers", type=_words, default=",".join(PEERS), help="%(default)s")
    parser.add_argument("--seconds", type=float, default=10.0, help="timed seconds (%(default)s)")
    parser.add_argument(
        "--rounds",
        type=int,
        default=3,
        help="how often each of loads is measured; the median counts (%(default)s)",
    )
    parser.add_argument(
        "--stored",
        type=int,
        default=1_000_000,
        help="lines stored before archive reads them (%(default)s)",
    )
    parser.add_argument("--write", action="store_true", help="keep them in docs/")
    return parser


async def _measure(options: argparse.Namespace) -> None:
    peers = [peer for name in options.peers if not (peer := PEERS[name]).missing()]
    versions = [peer.version() for peer in peers]
    async with NatsServer.open(user="bench") as nats:
        bench = Bench(
            nats, peers, options.loads, options.seconds, options.rounds, options.stored, say
        )
        for name in options.measurements or MEASUREMENTS:
            table = await MEASUREMENTS[name](bench)
            text = f"{table}\n\n{conditions(sys.argv[1:], versions)}"
            print(text, flush=True)
            if options.write:
                write(name, text)


async def _main() -> None:
    parser = _arguments()
    options = parser.parse_args()
    if unknown := {*options.measurements} - {*MEASUREMENTS} or {*options.peers} - {*PEERS}:
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    for name in options.peers:
        if missing := PEERS[name].missing():
            say(f"{name} is left out: {missing}")
    isolate()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(cancel_when_terminated, nursery.cancel_scope)
        await _measure(options)
        nursery.cancel_scope.cancel()


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from _leaves(part)
    else:
        yield error


if __name__ == "__main__":
    try:
        trio.run(_main)
    except* (BenchmarkError, NatstreamError) as errors:
        for error in _leaves(errors):
            say(str(error))
        sys.exit(1)
    except* KeyboardInterrupt:
        sys.exit(130)
