"""natstream's own log, on stderr, through structlog.

By default the service streams its own app's logs: each line written here comes back to it as an
entry. So nothing is ever logged per entry, and a repeated line is written once a minute.
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
# Distinct lines that are remembered; past it the memory starts anew.
MAX_REMEMBERED = 1_000


class _Repeats(logging.Filter):
    """Lets a line through once a minute, and says how often it would have come."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[tuple[str, str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        # The parts, not the message made of them: a foreign logger's may not fit together, and
        # what is raised here is raised where it was logged. structlog's comes as a dict.
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
    """A terminal's line is one line, and a traceback's are indented: parts may be a stranger's."""
    event["event"] = one_line(str(event["event"]))
    if "exception" in event:
        event["exception"] = indent(sanitize(event["exception"], keep_colours=False), "  ")
    return event


def configure_logging(level: int = logging.INFO) -> None:
    """Send every logger's lines of this process to stderr: readable there, JSON elsewhere."""
    # JSON escapes whatever could end a line or drive a terminal by itself.
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
                # Here, not before the filter: the time would make every line a new one.
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.format_exc_info,
                *renderers,
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
