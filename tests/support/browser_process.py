"""The process of a browser, which ends with all that it has started, and with the tests."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

__all__ = ["run_browser"]

# A browser that takes longer to end is killed.
END = 5.0


@contextmanager
def run_browser(
    command: Sequence[str], environ: Mapping[str, str], **pipes: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program for the block, as the first of a process group that ends with it.

    pipes: `stdout` and `stderr` as for Popen; what is not named is dropped.
    """
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    # So that a browser ends even if the tests are killed; setpriv belongs to util-linux.
    command = ["setpriv", "--pdeathsig", "TERM", *command]
    process: subprocess.Popen[bytes] = subprocess.Popen(
        command, env=dict(environ), start_new_session=True, **(quiet | pipes)
    )
    try:
        yield process
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(END)
        with suppress(ProcessLookupError):  # its helpers, or itself if it has not ended
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
