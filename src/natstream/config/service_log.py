"""natstream's own log, on stderr, through structlog.

In: the records of every logger in the process. Out: one line each, but a repeated line only once a
minute. By default the service streams its own app's logs, so each line that is written here comes
back as an entry. For the same reason nothing is ever logged per entry.
"""

from __future__ import annotations

import logging
import sys
import time
from textwrap import indent

import structlog

from natstream.entries.escapes import one_line, sanitize

__all__ = ["configure_logging"]

REPEAT_SECONDS = 60.0
# Distinct lines that are remembered. When there are more, the filter forgets all of them. That
# bounds the memory, and costs at most one more repetition of each line.
MAX_REMEMBERED = 1_000
# These libraries log the address of each request, and an address may be a secret.
QUIET = ("httpx", "httpcore")


class _Repeats(logging.Filter):
    """Lets a line through once a minute, and says how often it was repeated meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[tuple[str, str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        # The key has the parts of the message and does not format them: a library's parts may not
        # fit together, and an exception here would be raised in the code that logged the line.
        # The message of structlog is a dict.
        key = (record.name, str(record.msg), str(record.args))
        now = time.monotonic()
        last, dropped = self._seen.get(key, (-REPEAT_SECONDS, 0))
        if now - last < REPEAT_SECONDS:
            self._seen[key] = (last, dropped + 1)
            return False
        if len(self._seen) >= MAX_REMEMBERED:
            self._seen.clear()
        self._seen[key] = (now, 0)
        if dropped:
            again = f"(and {dropped} times in between)"
            if isinstance(record.msg, dict):
                record.msg = {**record.msg, "event": f"{record.msg.get('event')} {again}"}
            else:
                record.msg = f"{record.msg} {again}"
        return True


def _make_plain(
    logger: object, method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Return a record on one line, its traceback indented, since it may quote a sender."""
    event["event"] = one_line(str(event["event"]))
    if "exception" in event:
        event["exception"] = indent(sanitize(event["exception"], keep_colours=False), "  ")
    return event


def configure_logging(level: int = logging.INFO) -> None:
    """Send the records of every logger to stderr: as text on a terminal, otherwise as JSON."""
    # Only text has to be made safe, because JSON escapes line breaks and control characters.
    renderers: list[structlog.typing.Processor] = (
        [
            _make_plain,
            structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
        ]
        if sys.stderr.isatty()
        else [structlog.processors.JSONRenderer()]
    )
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_Repeats())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                # The time is added after the filter, because it would make every line different.
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.format_exc_info,
                *renderers,
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
