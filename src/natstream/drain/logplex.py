"""Frames of Heroku's Logplex → entries. Pure.

In: a body of `<count> <message>` one after the other, each message being syslog as RFC 5424 has it
(https://devcenter.heroku.com/articles/log-drains#https-drains). Out: a `ParsedBody`. A count that
does not lead from message to message raises `BadBody`, because nothing tells which lines are whole.

The entry's app is the message's app name, and its machine is the dyno. Logplex writes `app` for
every app, so a name in the drain's address wins over that word.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from natstream.drain.content_encoding import BodyTooLarge
from natstream.drain.parsed import NothingTaken, ParsedBody
from natstream.entries.entry import LogEntry
from natstream.entries.fly import Origin, parse_object, parse_text
from natstream.entries.level_names import SYSLOG
from natstream.errors import BadBody

__all__ = ["parse_logplex"]

_NIL = "-"
_BOM = b"\xef\xbb\xbf"
# RFC 6587, section 3.4.1.
_COUNT = re.compile(rb"([1-9]\d{0,8}) ")
# RFC 5424, section 6: priority, version, time, host, app, process and the message's type.
_HEADER = re.compile(
    rb"<(0|[1-9]\d{0,2})>[1-9]\d{0,2} (\S{1,64}) (\S{1,255}) (\S{1,255}) (\S{1,255}) (\S{1,255})"
    rb"(?: |\Z)"
)
HIGHEST_PRIORITY = 191
# A name without a pair is read as data only if it has a number of an enterprise, or if it follows
# other data, since `[INFO]` begins the message of many apps.
_DATA = re.compile(
    rb'\[([^\s=\]"]{1,32})((?: [^\s=\]"]{1,32}="(?:[^"\\\]]|\\.)*+")*+)\]', re.DOTALL
)
_HAS_ENTERPRISE = re.compile(rb"[^@]+@\d[\d.]*")
_PAIR = re.compile(rb' ([^\s=\]"]{1,32})="((?:[^"\\\]]|\\.)*+)"', re.DOTALL)
_ESCAPE = re.compile(r'\\(["\\\]])')

# What Logplex writes over HTTPS in the place of the host and of the app. It then leaves the
# structured data out: `rfc5424` in https://github.com/heroku/logplex, src/logplex_http_drain.erl.
_HOST, _APP = "host", "app"
# Over TCP, the place of the host has the token of the drain.
_DRAIN_TOKEN = re.compile(r"d\.[0-9a-f-]{36}")
# Logplex gives this level to each line of an app, as Fly does, so the app's own word wins.
_INFO = 6

_encode = msgspec.json.Encoder().encode


def parse_logplex(
    body: bytes,
    *,
    origin: Origin,
    needs_machine: bool,
    max_lines: int,
    announced: str = "",
) -> ParsedBody:
    """Return the entries of a body.

    Args:
        body: the body, decompressed.
        origin: the names of entries that do not have their own.
        needs_machine: messages without a dyno and a host are dropped.
        max_lines: how many messages the body may have.
        announced: the value of `Logplex-Msg-Count`, or "".

    Raises:
        BodyTooLarge: the body has more messages than `max_lines`.
        BadBody: a count is wrong, or the body ends within a message.
    """
    entries: list[LogEntry] = []
    frames = at = dropped = odd = 0
    while at < len(body):
        frames += 1
        if frames > max_lines:
            raise BodyTooLarge(
                f"The body has more than {max_lines:,} messages; send it in smaller batches."
            )
        count = _COUNT.match(body, at)
        if count is None:
            raise BadBody(
                f"Message {frames:,} does not begin with its length, so the length of the one "
                "before it is wrong, or the body is not framed by octet counting (RFC 6587)."
            )
        at = count.end() + int(count[1])
        if at > len(body):
            raise BadBody(
                f"The body ends within message {frames:,}, which should have {int(count[1]):,} "
                "bytes; send the whole body again."
            )
        frame = body[count.end() : at]
        try:
            entry = _entry(frame, origin, needs_machine)
        except _NotSyslog:
            odd = odd or frames
            entry = None if needs_machine and not origin.machine else _line(frame, origin)
        if entry is None:
            dropped += 1
        else:
            entries.append(entry)
    if odd and announced != str(frames):
        raise BadBody(
            f"Message {odd:,} is not syslog as RFC 5424 has it, or its length is wrong; send "
            "the whole body again."
        )
    if announced and announced != str(frames):
        raise BadBody(
            f"The body has {frames:,} messages, but Logplex-Msg-Count says another number; send "
            "the whole body again."
        )
    if dropped and not entries:
        raise NothingTaken({"no_machine": dropped}, "Send messages with a dyno or a host.")
    return ParsedBody(entries, {"no_machine": dropped} if dropped else {})


class _NotSyslog(Exception):
    """A message is not syslog, or the length before it is wrong."""


def _line(frame: bytes, origin: Origin) -> LogEntry:
    """Return the entry of a message that is not syslog, as a line of text."""
    text = frame.removesuffix(b"\n").removesuffix(b"\r")
    return parse_text(text, origin.machine, app_name=origin.app, region=origin.region)


def _entry(frame: bytes, origin: Origin, needs_machine: bool) -> LogEntry | None:
    header = _HEADER.match(frame)
    if header is None or int(header[1]) > HIGHEST_PRIORITY:
        raise _NotSyslog
    time, host, app, process, kind = (
        text.decode("utf-8", "replace") for text in header.groups()[1:]
    )
    severity = int(header[1]) % len(SYSLOG)
    rest, data = frame[header.end() :], dict[str, dict[str, str]]()
    if host != _HOST:
        data, rest = _structured_data(rest)
    text = _text(rest.removeprefix(_BOM).removesuffix(b"\n").removesuffix(b"\r"))
    if host in (_NIL, _HOST) or _DRAIN_TOKEN.fullmatch(host):
        host = ""
    members: dict[str, Any] = {"message": text}
    if time != _NIL:
        members["timestamp"] = time
    if severity == _INFO:
        members["log"] = {"level": SYSLOG[severity]}
    else:
        members["level"] = SYSLOG[severity]
    names = {
        "app": "" if app == _NIL or (app == _APP and origin.app) else app,
        "machine_id": host if process == _NIL else process,
        "host": host,
        "msgid": "" if kind == _NIL else kind,
    }
    members |= {name: value for name, value in names.items() if value}
    if data:
        members["structured_data"] = data
    return parse_object(_encode(members), origin, needs_machine)


def _structured_data(rest: bytes) -> tuple[dict[str, dict[str, str]], bytes]:
    """Return the structured data at the start of a text, and the message behind it."""
    if rest == b"-" or rest.startswith(b"- "):
        return {}, rest[2:]
    data: dict[str, dict[str, str]] = {}
    at = 0
    while element := _DATA.match(rest, at):
        if not (data or element[2] or _HAS_ENTERPRISE.fullmatch(element[1])):
            break
        data[_text(element[1])] = {
            _text(name): _ESCAPE.sub(r"\1", _text(value))
            for name, value in _PAIR.findall(element[2])
        }
        at = element.end()
    if data and rest[at : at + 1] in (b"", b" "):
        return data, rest[at + 1 :]
    return {}, rest


def _text(text: bytes) -> str:
    return text.decode("utf-8", "replace")
