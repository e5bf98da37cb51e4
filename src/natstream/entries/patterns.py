"""The pattern of a line: its message with the varying parts masked, and a stable id for it. Pure.

In: a message. Out: a short text that all lines of its kind have in common. A JSON message and a
logfmt line are known by their text, the names of their fields, and the few values that tell a
failure: a status, an outcome, a code and an error. A message has one pattern at every process, and
so one id. The time is linear in the message. Of a text only the beginning is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

from natstream.entries.entry import decode_json
from natstream.entries.escapes import sanitize
from natstream.entries.json_object import find_object, object_start
from natstream.entries.patterns_words import (
    LONGEST,
    is_outcome,
    mask_name,
    mask_words,
    outcome_of,
    status_name,
)

__all__ = ["HEAD_DIGITS", "LOOKED_AT", "head_id", "pattern_id", "pattern_of"]

LOOKED_AT = 512
"""Characters of a text that are looked at."""
# Decoding so much takes half a millisecond. A longer message is looked at as a text.
MAX_JSON = 64 * 1024
# Characters that are looked at of JSON without an end.
MAX_OPEN = 4_096
# Names of fields that a pattern shows. An object with more is data, whose names are values.
MAX_NAMES, MAX_LOOKED_AT = 20, 200
# Characters of a name that are looked at.
LONGEST_NAME = 60
# Objects with the same names are of few kinds. The plan for one kind takes about 1 KB, and at most
# four bytes more for each character of its names. If it is not kept, each object takes 7 µs longer
# for each name, so there is room for all names that people give.
MAX_PLANS, MAX_PLANNED = 500, 2_000
ERROR_LENGTH = 120

HEAD_DIGITS = 12
"""Hexadecimal digits of an id that tell the head; the others tell the frames of a trace."""
_NO_FRAMES = "000000"

_TEXTS = (
    *("msg", "message", "@mt", "messagetemplate", "event", "body", "text", "short_message"),
    *("desc", "description", "textpayload", "log"),
)
# What happened, where an object has no text.
_EVENTS = ("event_type", "event_name", "eventtype", "eventname", "type", "action", "operation")
_ERRORS = (
    *("error", "err", "exception", "error_message", "error.message", "exception.message"),
    *("errmsg", "error_msg", "exc_info", "exc_text", "thrown", "@x", "cause", "errors"),
    *("stack_trace", "error.stack_trace", "exception.stacktrace", "stack", "reason", "detail"),
)
# Their values may have blanks without quotes.
_PROSE = frozenset({*_TEXTS, *_ERRORS})
_IS_STATUS = re.compile(r"(?:status|status[._]?code|^code)$")
# Members that may be objects and tell what the whole line would tell. The text of the first ones is
# the text of the line; that of the others is data.
_HOLDERS = frozenset({*_TEXTS, "fields", "jsonpayload"})
_OBJECTS = frozenset(
    {
        *("res", "response", "resp", "http", "result", "attr", "attrs", "attributes", "data"),
        *("context", "extra", "properties", "payload", "details", "meta", "metadata"),
    }
)
# Objects in objects that are looked at: `http.response.status_code` is in the second.
DEPTH = 2
_CODES = (
    *("code", "error_code", "err_code", "errno", "error.code", "grpc.code", "grpc_code"),
    *("error.type", "error_type", "exception.type"),
)
_EXITS = ("exit_code", "exitcode", "exit_status", "signal", "exit", "rc", "returncode")
_CLASSES = ("code", "codename", "kind", "type", "name", "class", "exc_type")
_REASONS = (*_TEXTS, "reason", "errmsg", "exc_value", "detail")
# Members that nearly each line of a logging library has.
_USUAL = frozenset(
    {
        *("time", "ts", "timestamp", "@timestamp", "level", "severity", "lvl", "pid", "hostname"),
        *("v", "t", "host", "@version", "log.level", "ecs.version"),
    }
)
_PAIRS = re.compile(
    r"""(?:^|(?<=[\s,;]))([A-Za-z_@][\w.@/-]{0,60}+)="""
    r"""(?:"((?:[^"\\]|\\.)*+)"?|'((?:[^'\\]|\\.)*+)'|([^\s"']*+))"""
)
# A member of an object whose value is no object, or another string.
_MEMBER = re.compile(
    r""""((?:[^"\\]|\\.)*+)"(?:\s*+:\s*+(?:"((?:[^"\\]|\\.)*+)"?|([^\s"{}\[\],]*+)))?""", re.DOTALL
)
# What stands between two pairs and is no text.
_BETWEEN = " \t\r\n,;|"
_FIRST_PAIR = re.compile(r"[A-Za-z_@][\w.@/-]{0,60}+=\S")
_STATUS = re.compile(r"[1-5]\d\d")
_EXIT = re.compile(r"\d{1,3}|SIG[A-Z]{2,9}")
_CODE = re.compile(r"[A-Za-z_][\w.:-]{0,60}")

_plans: dict[tuple[str, ...], _Plan] = {}


def pattern_of(message: str) -> str:
    """Return the pattern of a message; of the first line of a trace, the pattern of that line."""
    last = message[-1:]
    if last <= " ":
        message = message.rstrip()
        last = message[-1:]
    if last == "}" and len(message) <= MAX_JSON and "{" in message:
        masked = _mask_json(message)
        if masked is not None:
            return masked
    text = message if len(message) <= LOOKED_AT else message[:LOOKED_AT]
    if "\x1b" in text:
        text = sanitize(text, keep_colours=False)
    if "{" in text and (masked := _mask_open(message)) is not None:
        return masked
    if "=" in text:
        if _FIRST_PAIR.match(text):
            return _mask_pairs(text, 0)
        start = max(text.find(" msg="), text.find(" message="))
        if start > 0:
            return _mask_pairs(text, start)
    return mask_words(text)


def head_id(app: str, level: str, head: str) -> str:
    """Return the part of an id that tells the app, the level and the pattern of the first line."""
    return _digest(f"{app}\0{level}\0{head}", HEAD_DIGITS)


def pattern_id(app: str, level: str, head: str, trace: str = "") -> str:
    """Return the id of a pattern.

    Args:
        app, level: of the line.
        head: the pattern of the line, or of the first line of a trace.
        trace: what tells the trace from others with this head.
    """
    frames = _digest(trace, len(_NO_FRAMES)) if trace else _NO_FRAMES
    return head_id(app, level, head) + frames


def _digest(text: str, digits: int) -> str:
    return blake2b(text.encode("utf-8", "replace"), digest_size=digits // 2).hexdigest()


# --- objects and pairs ---------------------------------------------------------------------------


def _mask_json(message: str) -> str | None:
    """Return the pattern of a JSON message, perhaps behind a prefix; None if it is not JSON."""
    prefix = ""
    try:
        value = decode_json(message) if message[0] == "{" else None
    except ValueError:
        return None
    if value is None:
        found = find_object(message.strip())
        if found is None:
            return None
        prefix, value = found.prefix, found.value
    if type(value) is not dict:
        return None
    masked = _mask_fields(value)
    return f"{mask_words(prefix)} {masked}"[:LONGEST] if prefix.strip() else masked


def _mask_open(message: str) -> str | None:
    """Return the pattern of a message whose JSON is cut short or very long.

    Its names are not shown, because those before the cut depend on the lengths of the values. None
    is returned if the JSON has an end, or if nothing in it tells what happened.
    """
    text = message[:MAX_OPEN]
    if "\x1b" in text:
        text = sanitize(text, keep_colours=False)
    start = object_start(text)
    prefix = text[:start]
    if not 0 <= start < LOOKED_AT or "=" in prefix:
        return None
    bare = _MEMBER.sub("", text[start:])
    if bare.count("{") <= bare.count("}"):
        return None
    fields: dict[str, str] = {}
    for name, string, plain in _MEMBER.findall(text, start):
        if plain != "null":
            fields.setdefault(name, _unescaped(string) or plain)
    plan = _make_plan(tuple(fields))
    happened, told = _tell(fields, plan, 0)
    parts = [happened or _happened(fields, plan), *told.values()]
    if not any(parts):
        return None
    return " ".join(filter(None, [mask_words(prefix), *parts, "{…}"]))[:LONGEST]


def _unescaped(string: str) -> str:
    if "\\" in string:
        try:
            return str(decode_json(f'"{string}"'))
        except ValueError:
            pass  # It ends within an escape.
    return string


def _mask_pairs(text: str, start: int) -> str:
    """Return the pattern of a line of pairs, of which the first begins at or behind `start`.

    The text is the value of a pair such as `msg=…`, which may lack its quotes. If no pair has one,
    the text is what stands between the pairs.
    """
    fields: dict[str, str] = {}
    parts = iter(_PAIRS.split(text[start:]))
    free = [next(parts)]
    for name, double, single, plain, behind in zip(*[parts] * 5, strict=True):
        value = double or single or plain or ""
        if behind != " " and behind:
            if plain and name.casefold() in _PROSE:
                value += behind
            else:
                free.append(behind)
        fields.setdefault(name, value)
    masked = _mask_fields(fields, free)
    return f"{mask_words(text[:start])} {masked}"[:LONGEST] if start else masked


class _Plan(NamedTuple):
    """What tells the kind of objects that have the same names, in the same order."""

    texts: tuple[str, ...]
    holders: tuple[str, ...]
    """Members that may be objects which hold the text of the line."""
    objects: tuple[str, ...]
    """Members that may be objects with a status, a code, an outcome or an error."""
    events: tuple[str, ...]
    methods: tuple[str, ...]
    statuses: tuple[str, ...]
    codes: tuple[str, ...]
    errors: tuple[str, ...]
    outcomes: tuple[str, ...]
    exits: tuple[str, ...]
    names: str
    """The names as a pattern shows them."""


def _plan_of(fields: Mapping[str, Any]) -> _Plan:
    names = tuple(fields)
    plan = _plans.get(names)
    if plan is None:
        plan = _make_plan(names)
        if len(names) <= 2 * MAX_NAMES and sum(map(len, names)) <= MAX_PLANNED:
            if len(_plans) >= MAX_PLANS:
                _plans.clear()
            _plans[names] = plan
    return plan


def _mask_fields(fields: Mapping[str, Any], free: Sequence[str] = ()) -> str:
    """Return the pattern of an object.

    Args:
        fields: its members.
        free: texts that stand between them. They count if no member has the text of the line.
    """
    plan = _plan_of(fields)
    text, told = _tell(fields, plan, DEPTH)
    parts = [text or _happened(fields, plan), *told.values(), plan.names]
    if not text and (own := [part for part in (each.strip(_BETWEEN) for each in free) if part]):
        parts.insert(0, mask_words(" ".join(own)))
    return " ".join(filter(None, parts))[:LONGEST]


def _tell(fields: Mapping[str, Any], plan: _Plan, depth: int) -> tuple[str, dict[str, str]]:
    """Return the pattern of the text, and what tells how something went, by its name."""
    text = _text(fields, plan)
    told: dict[str, str] = {}
    for name in plan.statuses:
        if _STATUS.fullmatch(found := str(fields[name])[:4]):
            told["status"] = f"status={status_name(found)}"
            break
    for name in plan.codes:
        if code := _code(fields[name]):
            told[name] = f"{name}={code}"
    for name in plan.outcomes:
        if outcome := outcome_of(fields[name]):
            told[name] = f"{name}={outcome}"
    for name in plan.exits:
        found = str(fields[name])[:30]
        if _EXIT.fullmatch(found):
            told[name] = f"{name}={found}"
    for name in plan.errors:
        if error := _error(fields[name]):
            told["error"] = f"{name}={mask_words(error[:LOOKED_AT])[:ERROR_LENGTH]}"
            break
    if depth:
        for name in plan.holders:
            inner = fields[name]
            if type(inner) is dict:
                found, more = _tell(inner, _plan_of(inner), depth - 1)
                text, told = text or found, {**more, **told}
        for name in plan.objects:
            inner = fields[name]
            if type(inner) is dict:
                told = {**_tell(inner, _plan_of(inner), depth - 1)[1], **told}
    return text, told


def _text(fields: Mapping[str, Any], plan: _Plan) -> str:
    """Return the pattern of the text, which may be JSON itself."""
    for name in plan.texts:
        text = fields[name]
        if type(text) is str and text:
            return (text[0] == "{" and _mask_inner(text.rstrip())) or mask_words(text[:LOOKED_AT])
    return ""


def _mask_inner(text: str) -> str | None:
    return (_mask_json(text) if text[-1] == "}" else None) or _mask_open(text)


def _happened(fields: Mapping[str, Any], plan: _Plan) -> str:
    """Return the type of an event, and the method of a request, of an object without a text."""
    found = []
    for name in plan.events:
        event = fields[name]
        if type(event) is str and _CODE.fullmatch(event):
            found.append(mask_words(event))
            break
    for name in plan.methods:
        method = fields[name]
        if type(method) is str and method.isalpha() and len(method) < 10:
            found.append(method)
            break
    return " ".join(found)


def _code(code: Any) -> str:
    if type(code) is int:
        return str(code) if -100 < code < 100 else ""  # a longer number may be an order's
    return code if type(code) is str and _CODE.fullmatch(code) else ""


def _error(error: Any) -> str:
    """Return the class and the text of an error, or of the first of several, as far as known."""
    if type(error) is list:
        error = error[0] if error else ""
    if type(error) is dict:
        names = list(error)[:MAX_LOOKED_AT]
        known = {_key(name): error[name] for name in names if type(error[name]) is str}
        classes = [known[each] for each in _CLASSES if known.get(each)]
        return ": ".join((classes + [known[each] for each in _REASONS if known.get(each)])[:2])
    return error if type(error) is str else ""


def _key(name: str) -> str:
    return name[:LONGEST_NAME].casefold()


def _make_plan(names: tuple[str, ...]) -> _Plan:
    # The order of the names says nothing.
    lower = {_key(name): name for name in sorted(names[:MAX_LOOKED_AT], reverse=True)}
    ordered = sorted(lower.items())
    own = sorted(
        {mask_name(name[:LONGEST_NAME]) for key, name in lower.items() if key not in _USUAL and key}
    )
    shown = [name for name in own if name not in _TEXTS]
    more = ", …" if len(shown) > MAX_NAMES else ""
    return _Plan(
        texts=tuple(lower[name] for name in _TEXTS if name in lower),
        holders=tuple(name for key, name in ordered if key in _HOLDERS),
        objects=tuple(name for key, name in ordered if key in _OBJECTS),
        events=tuple(lower[name] for name in _EVENTS if name in lower),
        methods=tuple(name for key, name in ordered if key.endswith("method")),
        statuses=tuple(name for key, name in ordered if _IS_STATUS.search(key)),
        codes=tuple(lower[name] for name in _CODES if name in lower),
        errors=tuple(lower[name] for name in _ERRORS if name in lower),
        outcomes=tuple(name for key, name in ordered if is_outcome(key)),
        exits=tuple(lower[name] for name in _EXITS if name in lower),
        names=f"{{{', '.join(name[:LONGEST_NAME] for name in shown[:MAX_NAMES])}{more}}}"[:LONGEST],
    )
