"""`natstream serve`, changed from outside in what no setting is for.

    python -m benchmarks.soak.launcher [--retry-denied SECONDS]

It takes its settings from the environment, as natstream does.
"""

from __future__ import annotations

import argparse

from natstream.cli import main as natstream
from natstream.errors import SourceDenied


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak.launcher")
    parser.add_argument("--retry-denied", type=float, metavar="SECONDS")
    options = parser.parse_args()
    if options.retry_denied is not None:
        SourceDenied.retry_after = options.retry_denied
    natstream(["serve"])


if __name__ == "__main__":
    main()
