"""A sender's body, already decompressed → entries. Pure.

In: a whole body in UTF-8. Out: the entries of its lines, and how many lines were dropped, by
reason.

Each line is JSON or text by itself. JSON values begin at the start of a line. They may follow each
other, and may reach over further lines, as a pretty-printed object does. A line at which no value
can be read is a line of text. A value is an object, an array of them, or an object that holds a
batch, such as `{"logs": [...]}`. A body that ends within a value, has too many lines, or gives no
entry raises `BadBody`. So a body is accepted whole or not at all.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from natstream.drain.content_encoding import BodyTooLarge
from natstream.drain.mending import FoundValue, mended
from natstream.drain.parsed import MAX_LINES, NothingTaken, ParsedBody
from natstream.drain.splitting import PIECE_BYTES, Scan, array_items, next_piece
from natstream.entries.batches import find_batch
from natstream.entries.entry import LogEntry, decode_json
from natstream.entries.fly import Origin, origin_of, parse_object, parse_objects, parse_text
from natstream.errors import BadBody

__all__ = ["parse_body"]

# Bytes of the first piece after a value that reached over lines, since such values often follow.
SMALL_PIECE = 4_096
# A batch may stand in an item of an array, or in a line of another batch, but not ever deeper.
MAX_DEPTH = 3
# Characters of a refused body's first line that the sender is shown.
SHOWN = 80

_BOM = b"\xef\xbb\xbf"
# How a line may begin that is no plain text: an array, blanks, a byte order mark, or nothing.
_UNUSUAL = frozenset((b"", b"[", b" ", b"\t", b"\r", b"\v", b"\f", _BOM[:1]))

# An object, or an array of objects or of texts, or an empty one.
_BATCH = re.compile(rb'\{|\[\s*[{"\]]')
_BRACKETS = (b"{", b"[")
_OPENINGS = (b"{", b"[", b"[{")


class _Resource(msgspec.Struct):
    attributes: msgspec.Raw


_attributes = msgspec.json.Decoder(_Resource).decode


def parse_body(
    body: bytes,
    *,
    origin: Origin = Origin(),  # noqa: B008 - a tuple never changes
    needs_machine: bool = True,
    plain: bool = False,
    max_lines: int = MAX_LINES,
) -> ParsedBody:
    """Return the entries of a body.

    Args:
        body: the body, decompressed.
        origin: the names of entries that do not have their own.
        needs_machine: objects without a machine are dropped.
        plain: the sender says that the body is text. Then a value that is cut short is text too.
        max_lines: how many lines and values the body may have.

    Raises:
        BodyTooLarge: the body has more lines or values than `max_lines`.
        NothingTaken: the body has lines, and all of them were dropped.
        BadBody: the body ends within a value.
    """
    line = body.rstrip()
    if b"\n" not in line and (entry := parse_object(line, origin, needs_machine)):
        # Senders that do not batch send one object, which need not be taken apart.
        return ParsedBody((entry,))
    parser = _Parser(body, origin, needs_machine, plain, max_lines)
    position, size = 0, PIECE_BYTES
    while position < len(body):
        position, size = parser.read_piece(position, size)
    if parser.dropped and not parser.entries:
        raise NothingTaken(
            parser.dropped,
            f"The body begins with {_beginning(body)}. Send one JSON object a line, a JSON array "
            "of objects, or lines of text.",
        )
    return ParsedBody(parser.entries, parser.dropped)


class _Parser:
    """Collects the entries of one body."""

    def __init__(
        self, body: bytes, origin: Origin, needs_machine: bool, plain: bool, max_lines: int
    ) -> None:
        self.entries: list[LogEntry] = []
        self.dropped: Counter[str] = Counter()
        self._body = body
        self._origin = origin
        self._needs_machine = needs_machine
        self._is_plain = plain
        self._max_lines = max_lines
        self._lines = 0
        self._scan: Scan | None = None
        self._reached_over_lines = False

    def read_piece(self, position: int, size: int) -> tuple[int, int]:
        """Read about `size` bytes of lines. Return where to go on, and with how many bytes."""
        end = next_piece(self._body, position, size)
        piece = self._body[position:end]
        entries: Iterable[LogEntry | None]
        if b"{" not in piece and b"[" not in piece and _BOM not in piece:
            lines = piece.replace(b"\r\n", b"\n").removesuffix(b"\n").split(b"\n")
            self._add_texts(lines)
            self._count(len(lines))
            return end + 1, PIECE_BYTES
        lines = piece.removesuffix(b"\n").split(b"\n")
        if piece.startswith(b"{"):
            objects = parse_objects(lines, self._origin, self._needs_machine)
            if all(objects):
                self.entries += objects  # type: ignore[arg-type]  # none of them is None
                self._count(len(lines))
                return end + 1, min(2 * size, PIECE_BYTES)
            entries = objects
        else:
            entries = map(self._lone_entry, lines)
        counted = 0
        for number, (line, entry) in enumerate(zip(lines, entries, strict=True)):
            if entry is not None:
                self.entries.append(entry)
                continue
            position += sum(map(len, lines[counted:number])) + number - counted
            counted = number
            resumed = self._read_line(position, line)
            if resumed > position + len(line):
                self._count(number + 1)
                return resumed + 1, SMALL_PIECE
        self._count(len(lines))
        return end + 1, min(2 * size, PIECE_BYTES)

    def _lone_entry(self, line: bytes) -> LogEntry | None:
        """Return the entry of a line that is one object or plain text; None for any other line."""
        first = line[:1]
        if first == b"{":
            return parse_object(line, self._origin, self._needs_machine)
        if first in _UNUSUAL:
            return None
        app, region, machine = self._origin
        return parse_text(line.removesuffix(b"\r"), machine, app_name=app, region=region)

    # --- one line -------------------------------------------------------------------------

    def _read_line(self, start: int, line: bytes) -> int:
        """Read a line at `start`, and further lines over which its values reach.

        Return the end of the last line that was read.
        """
        end = start + len(line)
        text = line.removeprefix(_BOM)
        bare = text.strip()
        may_be_array = bare[:1] == b"[" and (not self._is_plain or _BATCH.match(bare))
        if may_be_array and (items := self._items(bare)) is not None:
            self._lines -= 1
            self._add_items(items, self._origin, 1)
            return end
        if bare[:1] in _BRACKETS:
            if self._scan is None:
                self._scan = Scan(self._body)
            values, at, last_end = self._values(self._scan, end - len(text.lstrip()), end)
            rest = self._body[at:last_end].strip().removeprefix(b",")
            # A single line on which text follows the values is a line of text, such as `[1] ready`.
            if values and (not rest or last_end > end or rest[:1] in _BRACKETS):
                self._lines -= 1
                for value in values:
                    self._add_value(value)
                if rest:
                    self._count(1)
                    self._add_text(rest)
                return last_end
        if bare:
            self._add_text(text.removesuffix(b"\r"))
        return end

    def _values(self, scan: Scan, at: int, line_end: int) -> tuple[list[FoundValue], int, int]:
        """Return the values that begin at `at` and follow each other up to the end of a line.

        Return also the position after the last value, and the end of its line.
        """
        body = self._body
        found: list[FoundValue] = []
        while body[at : at + 1] in _BRACKETS and (value := self._value(scan, at, line_end)):
            found.append(value)
            at = value.end
            if at > line_end:
                line_end = body.find(b"\n", at)
                line_end = len(body) if line_end < 0 else line_end
            at = min(scan.skip_space(at), line_end)
        return found, at, line_end

    def _value(self, scan: Scan, at: int, line_end: int) -> FoundValue | None:
        """Return the value at `at`, which may reach beyond its line; None if there is none."""
        if self._is_plain and not _BATCH.match(self._body, at):
            return None  # text may begin with a number in brackets
        state, end = scan.value(at, line_end)
        if state == "broken":
            return mended(Scan(self._body[at:line_end]), 0, at, self._max_lines)
        if state == "cut" and line_end < len(self._body) and scan.may_go_on:
            state, end = scan.value(at)
            if state == "broken":
                return mended(scan, at, 0, self._max_lines)
        if state == "cut":
            self._check_cut(scan, at, end, line_end)
            return None
        self._reached_over_lines = self._reached_over_lines or end > line_end
        text = self._body[at:end].rstrip()
        return FoundValue(text, at + len(text))

    def _check_cut(self, scan: Scan, at: int, end: int, line_end: int) -> None:
        """Raise BadBody if the body was cut on its way within the value at `at`.

        A value that is cut short before a line feed is a line of text, because a cut body seldom
        ends there. But a bracket alone on its line begins a value that reaches over lines, which is
        cut even if its last line is whole.
        """
        body = self._body
        if self._is_plain or end < len(body):
            return
        is_opening = body[at:line_end].strip() in _OPENINGS
        opened = is_opening and (self._reached_over_lines or body[line_end:].strip())
        last = scan.skip_space(body.rfind(b"\n", at) + 1 or at)
        is_whole = body[last : last + 1] in _BRACKETS and scan.value(last).state == "complete"
        if opened or not (body.endswith(b"\n") or is_whole):
            raise BadBody("The JSON ends early; send the whole body again.")

    # --- values ---------------------------------------------------------------------------

    def _add_value(self, found: FoundValue) -> None:
        if found.items is not None:
            self._add_items(found.items, origin_of(found.around, self._origin), 1)
        elif found.text.startswith(b"["):
            self._add_array(found.text, self._origin, 1)
        else:
            self._count(1)
            self._add_object(found.text, self._origin, 0)

    def _add_object(self, text: bytes, origin: Origin, depth: int) -> None:
        entry = parse_object(text, origin, self._needs_machine)
        if entry is not None:
            self.entries.append(entry)
        elif depth < MAX_DEPTH and (batch := find_batch(text)):
            origin = origin_of(batch.around, origin)
            self._lines -= 1
            self._add_array(batch.items, origin, depth + 1, are_resources=batch.are_resources)
        elif (mended := text.decode("utf-8", "replace").encode()) != text:
            self._add_object(mended, origin, depth)
        else:
            is_object = self._needs_machine and parse_object(text, origin, False)
            self.dropped["no_machine" if is_object else "not_json"] += 1

    def _add_array(
        self, array: bytes, origin: Origin, depth: int, *, are_resources: bool = False
    ) -> None:
        items = self._items(array)
        if items is None:
            found = Scan(array).items(0, self._max_lines)
            items = [*found[0]] if found else [array]
        if are_resources:
            items = [_line_of(bytes(item)) for item in items]
        self._add_items(items, origin, depth)

    def _items(self, array: bytes) -> list[bytes | msgspec.Raw] | None:
        """Return the items of an array that msgspec reads, or None if it does not.

        Raises:
            BodyTooLarge: there are too many, of which only some have been read.
        """
        items: list[bytes | msgspec.Raw] = []
        try:
            for step in array_items(array):
                items += step
                self._check(self._lines + len(items))
        except ValueError:
            return None
        return items

    def _add_items(self, items: Sequence[bytes | msgspec.Raw], origin: Origin, depth: int) -> None:
        self._count(len(items))
        texts = [*map(bytes, items)]
        entries = parse_objects(texts, origin, self._needs_machine)
        for text, entry in zip(texts, entries, strict=True):
            if entry is not None:
                self.entries.append(entry)
            elif text.startswith(b'"'):
                text = str(decode_json(text.decode("utf-8", "replace"))).encode("utf-8", "replace")
                self._add_text(text, origin)
            else:
                self._add_object(text, origin, depth)

    def _add_texts(self, lines: Iterable[bytes]) -> None:
        app, region, machine = self._origin
        self.entries += [
            parse_text(line, machine, app_name=app, region=region)
            for line in lines
            if line and not line.isspace()
        ]

    def _add_text(self, text: bytes, origin: Origin | None = None) -> None:
        app, region, machine = origin or self._origin
        self.entries.append(parse_text(text, machine, app_name=app, region=region))

    def _count(self, lines: int) -> None:
        self._lines += lines
        self._check(self._lines)

    def _check(self, lines: int) -> None:
        if lines > self._max_lines:
            raise BodyTooLarge(
                f"The body has more than {self._max_lines:,} lines; send it in smaller batches."
            )


def _line_of(resource: bytes) -> bytes:
    try:
        return bytes(_attributes(resource).attributes)
    except msgspec.DecodeError:
        return resource


def _beginning(body: bytes) -> str:
    """Return the beginning of a body's first line, without characters that a terminal obeys."""
    line = body.removeprefix(_BOM).lstrip()[: 4 * SHOWN].partition(b"\n")[0]
    text = line.decode("utf-8", "replace")
    shown = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    return f"{shown[:SHOWN]}…" if len(shown) > SHOWN else shown
