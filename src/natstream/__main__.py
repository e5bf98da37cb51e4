"""The `natstream` command, also as `python -m natstream`."""

from __future__ import annotations

import signal

__all__ = ["run"]


def run() -> None:
    """Run the command.

    Ctrl-C while the first modules are imported ends the process at once, because Python's own
    handler would print a traceback.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # otherwise it is ignored, as under nohup
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from natstream.cli.main import main

    signal.signal(signal.SIGINT, before)
    main(prog_name="natstream")


if __name__ == "__main__":
    run()
