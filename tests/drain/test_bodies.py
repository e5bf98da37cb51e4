"""Drain bodies: the entries of each form, the dropped lines, and the refusals."""

from __future__ import annotations

import gzip
import json
import time
import tracemalloc
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from natstream.drain import bodies, splitting
from natstream.drain.bodies import parse_body
from natstream.drain.content_encoding import (
    BodyBuffer,
    BodyTooLarge,
    UnsupportedMediaType,
)
from natstream.drain.content_type import check_content_type, in_utf8
from natstream.drain.parsed import NothingTaken
from natstream.entries.entry import LogEntry
from natstream.entries.fly import Origin
from natstream.errors import BadBody

FIXTURES = Path(__file__).parents[1] / "fixtures" / "drain"
LIMIT = 1 << 20


def read(body: bytes, app_name: str = "", **more: Any) -> tuple[list[LogEntry], dict[str, int]]:
    """Return all entries of a body, and the number of dropped lines by reason."""
    parsed = parse_body(body, origin=Origin(app_name), **more)
    return list(parsed.entries), dict(parsed.dropped)


def messages(body: bytes) -> list[str]:
    return [entry.message for entry in read(body)[0]]


def unpack(encoding: str, *pieces: bytes, limit: int = LIMIT) -> bytes:
    buffer = BodyBuffer(encoding, limit)
    for piece in pieces:
        buffer.feed(piece)
    return buffer.finish()


def line(message: str) -> bytes:
    return json.dumps({"instance": "m", "message": message}).encode()


A, B = line("a"), line("b")


# --- forms -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        A + b"\n" + B + b"\n",
        A + b"\n" + B,
        A + b"\r\n\r\n" + B + b"\r\n",
        b"\n \n" + A + b"\n   \n" + B,
        b"\xef\xbb\xbf" + A + b"\n" + B,
        b"[" + A + b"," + B + b"]",
        b"[\n  " + A + b",\n  " + B + b"\n]\n",
        A + B,
        A + b" " + B + b"\n",
        b'{"logs":[' + A + b"," + B + b"]}",
        b'{"count":2,"logs":[' + A + b"," + B + b"]}\n",
        b"[" + A + b"]\n[" + B + b"]\n",
        json.dumps(json.loads(A), indent=2).encode() + b"\n" + json.dumps(json.loads(B)).encode(),
    ],
)
def test_every_form_gives_the_same_lines(body: bytes) -> None:
    """NDJSON, arrays, values in a row and `logs`, in any layout, give the same entries."""
    entries, dropped = read(body)
    assert [(entry.machine_id, entry.message) for entry in entries] == [("m", "a"), ("m", "b")]
    assert dropped == {}


def test_one_object_may_span_lines() -> None:
    """A pretty-printed object is one entry."""
    assert messages(b'{\n  "instance": "m",\n  "message": "a"\n}\n') == ["a"]


def test_an_entry_keeps_its_own_bytes() -> None:
    """`raw` of an entry is its own object, in each form of body."""
    for body in (A + b"\n" + B, b"[" + A + b"," + B + b"]", A + B, b'{"logs":[' + A + b"]}"):
        assert read(body)[0][0].raw == json.loads(A)


def test_an_object_with_a_machine_and_logs_is_an_entry() -> None:
    """`logs` is a batch only in an object without a machine."""
    entries, _ = read(b'{"instance":"m","message":"receipt","logs":[1,2]}')
    assert [entry.message for entry in entries] == ["receipt"]


def test_text_is_one_entry_a_line() -> None:
    """Each line of a body that starts with neither { nor [ is an entry without a machine."""
    entries, dropped = read(b"first\r\n\n  second \n{not json}\n")
    assert [(entry.machine_id, entry.message, entry.stream) for entry in entries] == [
        ("", "first", "stdout"),
        ("", "  second ", "stdout"),
        ("", "{not json}", "stdout"),
    ]
    assert dropped == {}


def test_the_first_line_of_text_keeps_its_indentation() -> None:
    """The first line keeps its indentation like every other, after any blank lines."""
    entries, _ = read(b"\xef\xbb\xbf\r\n  \n    at foo\n    at baz")
    assert [entry.message for entry in entries] == ["    at foo", "    at baz"]


@pytest.mark.parametrize(
    "body",
    [
        b"[2026-01-01 10:00:00] INFO started\n[2026-01-01 10:00:01] ERROR boom\n",
        b"[INFO] started\n[DEBUG] [x]\n",
        b"[12] started\n",
        b"[12]\nstarted\n",
        b"[12\n",
        b'{"a":',
        A[:-1],
        b"{not json}\n",
        b"{\n  id: 5,\n}\n",
        b'{"a":1} started',
    ],
)
def test_what_is_called_text_and_is_no_json_is_text(body: bytes) -> None:
    """Lines of text may start like JSON or be cut, and JSON that is called text is JSON."""
    entries, dropped = read(body, plain=True)
    assert [entry.message for entry in entries] == body.decode().splitlines()
    assert dropped == {}
    for form in (A + b"\n" + B, A + B, b"[" + A + b"," + B + b"]", b"[\n " + A + b",\n" + B + b"]"):
        assert [entry.message for entry in read(form, plain=True)[0]] == ["a", "b"]


@pytest.mark.parametrize("body", [b"", b"\n\r\n ", b"[]", b'{"logs":[]}'])
def test_nothing_is_not_an_error(body: bytes) -> None:
    """An empty batch has no entries and raises nothing."""
    assert read(body) == ([], {})


def test_an_entry_without_app_is_given_the_default() -> None:
    """An app that the entry names wins over the drain's default."""
    named = b'{"fly":{"app":{"instance":"m","name":"own"}},"message":"x"}'
    entries, _ = read(A + b"\n" + named, "fallback")
    assert [entry.app_name for entry in entries] == ["fallback", "own"]
    assert [entry.app_name for entry in read(b"text", "fallback")[0]] == ["fallback"]


def test_blank_lines_are_not_lines() -> None:
    """A body of line breaks between two objects holds two entries, and nothing is dropped."""
    entries, dropped = read(A + b"\n" * 5_000 + A)
    assert (len(entries), dropped) == (2, {})


LONG = line("x" * 500)
NESTED = json.dumps({"instance": "m", "message": "},{", "x": [{"y": 1}, {"y": 2}] * 9}).encode()


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splitting, "PIECE_BYTES", 8_192)
    monkeypatch.setattr(splitting, "LARGE_PIECE", 32_768)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("item", [A, LONG, NESTED, NESTED.replace(b"}, {", b"},{")])
@pytest.mark.parametrize("joint", [b",", b" ,\n  ", b", "])
def test_a_large_array_is_read_in_pieces(item: bytes, joint: bytes) -> None:
    """An array is cut only between items, so that no item is lost or changed."""
    count = 5 * splitting.LARGE_PIECE // len(item)
    array = b"[" + joint.join([item] * count) + b" ]"
    for body in (array, b'{"n":1,"logs":' + array + b"}"):
        entries, dropped = read(body)
        assert (len(entries), dropped) == (count, {})
        assert all(entry._raw == item for entry in entries)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("index", [0, 150, -1])
def test_half_a_surrogate_pair_is_no_matter_to_the_rest_of_its_array(index: int) -> None:
    """An array that msgspec refuses loses no item, in a batch and by itself."""
    items = [LONG] * (3 * splitting.LARGE_PIECE // len(LONG))
    items[index] = b'{"instance":"m","message":"\\ud800"}'
    for joint in (b",", b",\n"):
        array = b"[" + joint.join(items) + b"]"
        for body in (array, b'{"logs":' + array + b"}"):
            entries, dropped = read(body)
            assert entries[index].message == "\N{REPLACEMENT CHARACTER}"
            assert (len(entries), dropped) == (len(items), {})


def test_half_a_surrogate_pair_does_not_hide_a_cut() -> None:
    """Half of a surrogate pair neither hides a cut nor looks like one."""
    half = b'{"instance":"m","message":"\\ud800"}'
    assert messages(b"[" + half + b"," + A + b"]") == ["\N{REPLACEMENT CHARACTER}", "a"]
    for cut in (b"[" + half + b"," + A, half[:-2], half + b"\n" + half[:-4]):
        with pytest.raises(BadBody, match="ends early"):
            read(cut)


# --- too many ----------------------------------------------------------------------------

FEW = 2_500


def many(item: bytes, count: int) -> list[bytes]:
    items = [item] * count
    return [
        b"\n".join(items),
        b"\n".join(items) + b"\n",
        b"[" + b",".join(items) + b"]",
        b"[\n" + b",\n".join(items) + b"\n]\n",
        b'{"logs":[' + b",".join(items) + b"]}",
        b"".join(items),
    ]


@pytest.mark.parametrize("form", range(6))
def test_a_body_of_too_many_lines_is_refused_before_the_first(form: int) -> None:
    """A body with the allowed number of lines is read, and one more line is refused."""
    assert len(read(many(A, FEW)[form], max_lines=FEW)[0]) == FEW
    for item in (A, b"{}", b'{"a":[{},{}]}'):
        with pytest.raises(BodyTooLarge, match="more than 2,500 lines; send it in smaller"):
            read(many(item, FEW + 1)[form], max_lines=FEW)


@pytest.mark.parametrize(
    "body",
    [
        b"x\n" * (FEW + 1),
        A + b"\n" * (FEW + 1) + A,
        b"{}\n" + b"{\n" * (FEW + 1),
        b"{\n" * (FEW + 1),
        b"[" + b"1," * FEW + b"1]",
        b"[" + b"1," * FEW + b'"\\ud800"]',
        b'{"logs":[' + b"1," * FEW + b'"\\ud800"]}',
        A + b"\n[" + b"1," * FEW + b"1]\n",
    ],
)
def test_what_is_no_line_counts_too(body: bytes) -> None:
    """Lines that are not log lines count too, because they take as long to read."""
    with pytest.raises(BodyTooLarge):
        read(body, max_lines=FEW)


def test_pretty_printed_lines_are_no_lines() -> None:
    """In pretty-printed JSON the values are counted, not their lines."""
    body = json.dumps([json.loads(A)] * 1_000, indent=1).encode()
    assert len(read(body, max_lines=1_000)[0]) == 1_000


def test_the_values_of_all_lines_count_together() -> None:
    """A body is refused whole if its arrays hold too many values, though none alone does."""
    array = b"[" + b",".join([A] * FEW) + b"]"
    lines = [A] * 1_000 + [array]
    assert len(read(b"\n".join([*lines, A]), max_lines=1_000 + FEW + 1)[0]) == 1_000 + FEW + 1
    with pytest.raises(BodyTooLarge):
        read(b"\n".join([*lines, A]), max_lines=1_000 + FEW)


def test_an_array_of_very_little_costs_no_more_than_its_size() -> None:
    """An array that would take fifty times its size is refused at the limit of lines."""
    body = b"[" + b"1," * (8 << 20) + b"1]"
    tracemalloc.start()
    try:
        with pytest.raises(BodyTooLarge):
            read(body)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * len(body)


# --- senders -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["vector-json.json.gz", "vector-ndjson.ndjson"])
def test_vector(name: str) -> None:
    """Both forms of Vector's http sink are read: a gzipped array, and lines without a last end."""
    body = (FIXTURES / name).read_bytes()
    entries, dropped = read(unpack("gzip", body) if name.endswith("gz") else body)
    assert [(entry.stream, entry.level, entry.app_name) for entry in entries] == [
        ("stdout", "info", "web"),
        ("stderr", "error", "web"),
        ("system", "info", "web"),
    ]
    assert entries[1].message == 'résumé 🚀 "quoted" }{ \\ done'
    assert dropped == {}


@pytest.mark.parametrize(
    "name",
    ["fluent-bit-json.json", "fluent-bit-json_lines.ndjson", "fluent-bit-json_stream.json"],
)
def test_fluent_bit(name: str) -> None:
    """Fluent Bit's formats json, json_lines and json_stream give the same three records."""
    entries, dropped = read((FIXTURES / name).read_bytes())
    assert [(entry.machine_id, entry.stream, entry.message) for entry in entries] == [
        ("m1", "stdout", "first line"),
        ("m1", "stderr", "second } { line"),
        ("m2", "stdout", "a}{b"),
    ]
    assert dropped == {}


def test_docker_logs() -> None:
    """Every line that `docker logs --timestamps` prints is an entry."""
    entries, dropped = read((FIXTURES / "docker-logs.txt").read_bytes())
    assert [entry.message[31:] for entry in entries] == [
        "Listening on :8080",
        "\x1b[31mERR\x1b[0m boom",
        "Traceback (most recent call last):",
        '  File "app.py", line 3',
    ]
    assert dropped == {}


# --- lines by themselves -----------------------------------------------------------------

BOM = b"\xef\xbb\xbf"
DEEP = b'{"instance":"m","x":' + b"[" * 10_000 + b"]" * 10_000 + b"}"


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        (A + b"\nstarting", ["a", "starting"]),
        (b"starting\n" + A, ["starting", "a"]),
        (b"starting\n" + A + b"\n[INFO] up\n" + B, ["starting", "a", "[INFO] up", "b"]),
        (b'{\n "instance": "m",\n "message": "a"\n}\nready\n' + B, ["a", "ready", "b"]),
        (b'{\n "instance": "m",\n "message": "a"\n} ready\n' + B, ["a", "ready", "b"]),
        (b"ready\n[\n" + A + b",\n" + B + b"\n]\nready", ["ready", "a", "b", "ready"]),
        (A + B + b"\n" + A + b" " + B + b"\ntext", ["a", "b", "a", "b", "text"]),
        (A + b",\n" + B + b",\n", ["a", "b"]),
        (A + b"\n5\n" + B, ["a", "5", "b"]),
        (A + b'\n{"a":\n', ["a", '{"a":']),
        (b'{"a":\n' + A + b"\n" + B, ['{"a":', "a", "b"]),
        (b"{not json}\n{neither}\n", ["{not json}", "{neither}"]),
        (b"[1] ready", ["[1] ready"]),
        (b'{"a":1} started', ['{"a":1} started']),
        (A + b'{"a":\n' + B, ["a", '{"a":', "b"]),
        (b"{\nstarted\n}\n" + A, ["{", "started", "}", "a"]),
        (DEEP + b"\n" + A, [DEEP.decode(), "a"]),
        (BOM + A + b"\n" + BOM + b"text\n" + BOM + BOM[:0] + B, ["a", "text", "b"]),
        (b"  " + A + b"\n\t[" + B + b"]", ["a", "b"]),
        (b'{\n "instance": "m",\n "message": "a", "x": NaN\n}\nready\n', ["a", "ready"]),
    ],
)
def test_each_line_is_json_or_text_by_itself(body: bytes, kept: list[str]) -> None:
    """Each line is read, whatever stands before it."""
    entries, dropped = read(body)
    assert ([entry.message for entry in entries], dropped) == (kept, {})


@pytest.mark.parametrize(
    "broken",
    [
        b"{bad}",
        b'{"a":1,}',
        b"tru",
        b"5",
        b"",
        b'{"message":"no end}',
        b'{"a":[1,2,{"b":}],"c":"},{"}',
        b'{"a":"x\ny"}',
    ],
)
@pytest.mark.parametrize("joint", [b",", b",\n  "])
def test_a_broken_item_of_an_array_takes_no_other_along(broken: bytes, joint: bytes) -> None:
    """An array, alone or in a batch, loses its broken item and no other."""
    array = b"[" + joint.join([A, broken, B]) + b"]"
    for body in (array, b'{"instance":"x","logs":' + array + b',"n":1}'):
        entries, dropped = read(body + b"\ntext")
        assert [entry.message for entry in entries] == ["a", "b", "text"]
        assert dropped == ({"not_json": 1} if broken else {})


def test_work_in_vain_has_one_budget() -> None:
    """A body of lines that could each begin a long value is read in a time like its size."""
    body = b'{"a":[\n' + b"[1,\n" * 50_000
    start = time.process_time()
    entries, _ = read(body)
    assert len(entries) == 50_001
    assert time.process_time() - start < 3
    last = b"[" + A + b",\n" + B + b"]"
    assert [entry.message for entry in read(body + last)[0][-2:]] != ["a", "b"]


# --- batches -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["logs", "records", "entries", "events", "logEvents"])
def test_a_batch_names_the_machine_of_its_lines_once(name: str) -> None:
    """The names of the object around a batch hold for the lines that have none of their own."""
    lines = '[{"message":"a"},{"message":"b","machine_id":"own"},"text"]'
    around = '"machine_id":"m","app":"web","region":"sjc"'
    for body in (f'{{{around},"{name}":{lines}}}', f'[{{"{name}":{lines},{around}}}]'):
        entries, dropped = read(body.encode())
        assert [(entry.machine_id, entry.message) for entry in entries] == [
            ("m", "a"),
            ("own", "b"),
            ("m", "text"),
        ]
        assert {(entry.app_name, entry.region) for entry in entries} == {("web", "sjc")}
        assert dropped == {}


def test_a_list_in_a_line_is_no_batch() -> None:
    """An object with a message of its own, or a list of numbers, is one line."""
    for body in (
        b'{"instance":"m","msg":"x","entries":[{"a":1}]}',
        b'{"instance":"m","events":[1,2]}',
        b'{"instance":"m","user":"x","entries":[]}',
    ):
        assert len(read(body)[0]) == 1


def test_flys_documents_keep_the_provider() -> None:
    """The document of Fly's interface and the lines of `fly logs --json` name the provider."""
    document = (
        b'{"data":[{"id":"1","type":"log","attributes":{"timestamp":"2026-01-01T00:00:00Z",'
        b'"message":"GET / 200","level":"info","instance":"m1","region":"sjc",'
        b'"meta":{"event":{"provider":"proxy"}}}}],"meta":{"next_token":"17"}}'
    )
    printed = (
        b'{"level":"info","instance":"m1","message":"GET / 200","region":"sjc",'
        b'"timestamp":"2026-01-01T00:00:00Z","meta":{"Event":{"Provider":"proxy"}}}'
    )
    for body in (document, printed):
        ((entry,), _) = read(body)
        assert (entry.machine_id, entry.provider, entry.stream) == ("m1", "proxy", "system")
        assert entry.message == "GET / 200"


def test_the_address_names_what_the_lines_do_not() -> None:
    """The names in the address hold for objects and for text."""
    origin = Origin("web", "sjc", "m9")
    body = b'{"message":"a"}\ntext\n{"message":"b","machine_id":"m","app":"x","region":"y"}'
    parsed = parse_body(body, origin=origin)
    assert [(entry.app_name, entry.region, entry.machine_id) for entry in parsed.entries] == [
        origin,
        origin,
        ("x", "y", "m"),
    ]


def test_the_service_needs_no_machine() -> None:
    """Objects without a machine are dropped only where the machine is needed."""
    body = b'{"message":"a"}\n[{"message":"b"}]'
    assert [entry.message for entry in read(body, needs_machine=False)[0]] == ["a", "b"]
    with pytest.raises(NothingTaken, match="2 name no machine"):
        read(body)


def test_dockers_line_feed_goes() -> None:
    """Docker's lines end with a line feed, which is no part of the message."""
    for end in ("\n", "\r\n", ""):
        body = json.dumps({"log": f"up{end}", "stream": "stderr", "instance": "m"}).encode()
        assert messages(body) == ["up"]


# --- characters --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b'{"instance":"m","message":"\xff!"}',
        b'[{"instance":"m","message":"\xff!"}]',
        b'{\n"instance":"m",\n"message":"\xff!"}',
        b'{"instance":"m","logs":[{"message":"\xff!"}]}',
        b"\xff!",
    ],
)
def test_bytes_that_are_no_utf_8_are_replaced(body: bytes) -> None:
    """A line with a wrong byte keeps its fields, and the other lines are not touched."""
    entries, dropped = read(body + b"\n" + "é".encode())
    assert [entry.message for entry in entries] == ["\N{REPLACEMENT CHARACTER}!", "é"]
    assert dropped == {}


@pytest.mark.parametrize(
    ("content_type", "codec"),
    [
        ("text/plain; charset=iso-8859-1", "latin-1"),
        ('application/json; Charset="Windows-1252"', "cp1252"),
        ("text/plain;charset=UTF-16LE", "utf-16-le"),
        ("text/plain; charset=shift_jis; format=flowed", "shift_jis"),
        ("text/plain", "utf-16"),
        ("text/plain; charset=us-ascii", "utf-8"),
        ("text/plain; charset=", "utf-8"),
    ],
)
def test_the_charset_is_honoured(content_type: str, codec: str) -> None:
    """A body in another charset is read as its sender meant it."""
    text = "ナ" if codec.startswith("shift") else "é"
    body = f'{{"instance":"m","message":"{text}"}}'.encode(codec)
    check_content_type(content_type)
    assert messages(in_utf8(body, content_type)) == [text]


@pytest.mark.parametrize("charset", ["nonsense", "rot13", "punycode", "idna", "utf-7", "x" * 99])
def test_an_unknown_charset_is_refused(charset: str) -> None:
    """A charset that is not for text, or not known, gets a refusal that names it."""
    with pytest.raises(UnsupportedMediaType, match=f"charset '{charset[:40]}'"):
        check_content_type(f"text/plain; charset={charset}")


# --- nothing taken -----------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"[5]", b"[[" + A + b"]]", b"[null]\n[true, 5]"])
def test_a_body_of_which_nothing_can_be_read_is_refused(body: bytes) -> None:
    """The error says why, shows how the body begins, and says what to send instead."""
    with pytest.raises(NothingTaken, match="not JSON objects") as caught:
        read(body)
    assert body.decode().splitlines()[0][:20] in str(caught.value)
    assert set(caught.value.dropped) == {"not_json"}


def test_the_beginning_that_is_shown_is_short_and_safe() -> None:
    """A refused line is cut, and its control characters are replaced."""
    with pytest.raises(NothingTaken) as caught:
        read(BOM + b"\n" + b'{"message":"\x7f\xe2\x80\xae\xff' + b"x" * 500 + b'"}')
    shown = str(caught.value)
    assert '{"message":"\N{REPLACEMENT CHARACTER}' in shown
    assert shown.isprintable()
    assert len(shown) < 400


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (gzip.compress(A, mtime=0), "Content-Encoding: gzip"),
        (zlib.compress(A), "Content-Encoding: deflate"),
        (b"\x28\xb5\x2f\xfd\x00", "zstd"),
        (b"__CURSOR=s=1\n__REALTIME_TIMESTAMP=1\nMESSAGE=x\n\n", "journal"),
    ],
)
def test_a_format_that_does_not_say_so_is_refused(body: bytes, says: str) -> None:
    """A body in a binary format is refused rather than read as text."""
    with pytest.raises(UnsupportedMediaType, match=says):
        in_utf8(body, "text/plain")


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[",
        A[:-1],
        A + b"\n" + B[:-1],
        b"text\n" + B[:-1],
        A + B[:-1],
        b"[" + A + b"," + B,
        b"[\n" + A + b",\n" + B + b"\n",
        b"text\n[\n" + A + b",\n" + B + b"\n",
        A + b'{"instance":"m","ts":1.',
        A + b'\n{"instance":"m","ts":-',
        b'{\n"instance":"m"\n}\n{\n"instance":',
    ],
)
def test_json_that_ends_early_is_refused_whole(body: bytes) -> None:
    """A body that was cut is refused whole, because its sender can send it again."""
    with pytest.raises(BadBody, match="ends early"):
        read(body)


# --- for any body ------------------------------------------------------------------------

objects = st.fixed_dictionaries(
    {"instance": st.just("m"), "message": st.text()},
    optional={
        "x": st.recursive(
            st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.text(), st.lists
        )
    },
)
batches = st.lists(objects, min_size=1, max_size=5)


def forms(batch: list[dict[str, Any]]) -> list[bytes]:
    texts = [json.dumps(item) for item in batch]
    return [
        "\n".join(texts).encode(),
        "".join(texts).encode(),
        f"[{','.join(texts)}]".encode(),
        json.dumps({"logs": batch}, ensure_ascii=False).encode("utf-8", "surrogatepass"),
        "\n".join(json.dumps(item, indent=1) for item in batch).encode(),
    ]


@settings(deadline=None)  # other work shares the machine
@given(batches)
def test_no_form_of_a_batch_loses_a_line(batch: list[dict[str, Any]]) -> None:
    """Each form gives every message, for messages with any content."""
    for body in forms(batch):
        assert messages(body) == [item["message"] for item in batch]


@settings(deadline=None)
@given(batches, st.data())
def test_a_cut_batch_is_never_delivered_in_part(
    batch: list[dict[str, Any]], data: st.DataObject
) -> None:
    """A cut within a line is refused; a cut between two lines cannot be noticed."""
    form = data.draw(st.integers(0, 4))
    body = forms(batch)[form]
    cut = body[: data.draw(st.integers(1, len(body) - 1))]
    try:
        entries, dropped = read(cut)
    except BadBody:
        return
    assert form in (0, 1, 4)
    given = [entry.message for entry in entries]
    assert given == [item["message"] for item in batch][: len(given)]
    assert not dropped
    ends = [0]
    for item in batch:
        ends.append(ends[-1] + len(forms([item])[form]) + (form != 1))
    assert len(cut) in (ends[len(given)], ends[len(given)] - 1)


@settings(deadline=None)
@given(st.binary() | st.text(alphabet='{}[]",:\n 1ae.-\\u', max_size=40).map(str.encode))
def test_no_body_is_too_strange(body: bytes) -> None:
    """Any body gives entries and counts, or is refused with a BadBody."""
    with suppress(BadBody):
        entries, dropped = read(body)
        assert len(entries) + sum(dropped.values()) <= len(body)


@settings(deadline=None)
@given(st.text(alphabet='ab\n{}["1,', max_size=60).map(str.encode), st.integers(1, 9))
def test_cutting_a_body_into_pieces_loses_nothing(body: bytes, size: int) -> None:
    """A body has the same lines for every size of a piece."""

    def found() -> object:
        try:
            entries, dropped = read(body)
        except BadBody as error:
            return str(error)
        return [entry.message for entry in entries], dropped

    whole = found()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bodies, "PIECE_BYTES", size)
        patch.setattr(bodies, "SMALL_PIECE", 1)
        assert found() == whole


@settings(deadline=None)
@given(st.lists(st.text(alphabet='ab{}["1, :', max_size=9)))
def test_no_line_of_text_is_lost(lines: list[str]) -> None:
    """A body of lines gives an entry for each, unless it says how many it dropped."""
    with suppress(BadBody):
        entries, dropped = read("".join(f"{line}\n" for line in lines).encode(), plain=True)
        if not any(line.strip().startswith(("[", "{")) for line in lines):
            assert [entry.message for entry in entries] == [line for line in lines if line.strip()]
        assert dropped == {} or entries


# --- encodings ---------------------------------------------------------------------------

PACKED = {
    "identity": A,
    "": A,
    "gzip": gzip.compress(A),
    "x-gzip": gzip.compress(A),
    "deflate": zlib.compress(A),
}


@pytest.mark.parametrize("encoding", PACKED)
@pytest.mark.parametrize("size", [1, 7, 1_000])
def test_an_encoding_is_undone_piece_by_piece(encoding: str, size: int) -> None:
    """A body is decompressed correctly, wherever its pieces are cut."""
    packed = PACKED[encoding]
    pieces = [packed[start : start + size] for start in range(0, len(packed), size)]
    assert unpack(encoding, *pieces) == A


def test_deflate_without_its_wrapping_is_understood() -> None:
    """A deflate stream without zlib's wrapping is read, since some senders leave it out."""
    compressor = zlib.compressobj(wbits=-15)
    assert unpack("deflate", compressor.compress(A) + compressor.flush()) == A


def test_gzip_may_have_several_members() -> None:
    """Members in a row, as `cat a.gz b.gz` makes them, are read wherever they are cut."""
    packed = gzip.compress(A) + gzip.compress(b"\n") + gzip.compress(B)
    for cut in range(len(packed)):
        assert unpack("gzip", packed[:cut], packed[cut:]) == A + b"\n" + B


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_cut_compression_is_refused(encoding: str) -> None:
    """A compressed body is refused if it is cut anywhere; an empty one is an empty batch."""
    packed = PACKED[encoding]
    for cut in range(1, len(packed)):
        with pytest.raises(BadBody):
            unpack(encoding, packed[:cut])
    assert unpack(encoding, b"") == b""


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_what_is_not_compressed_as_it_says_is_refused(encoding: str) -> None:
    """The error names the encoding that the body does not have."""
    with pytest.raises(BadBody, match=f"Content-Encoding: {encoding}"):
        unpack(encoding, b"no compressed data at all")
    with pytest.raises(BadBody, match=f"Content-Encoding: {encoding}"):
        unpack(encoding, PACKED[encoding] + b"trailing")


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "compress"])
def test_an_unknown_encoding_is_refused(encoding: str) -> None:
    """The error names the encodings that can be read."""
    with pytest.raises(UnsupportedMediaType, match="gzip, deflate, identity"):
        BodyBuffer(encoding, LIMIT)


def test_the_limit_holds_to_the_byte() -> None:
    """The limit is exact for the bytes as sent and as decompressed."""
    assert unpack("", b"x" * 10, limit=10) == b"x" * 10
    assert unpack("gzip", gzip.compress(b"x" * 1_000), limit=1_000) == b"x" * 1_000
    with pytest.raises(BodyTooLarge, match="larger than 10 bytes"):
        unpack("", b"x" * 11, limit=10)
    with pytest.raises(BodyTooLarge):
        unpack("gzip", gzip.compress(b"x" * 1_001), limit=1_000)


def test_a_bomb_costs_no_more_than_the_limit() -> None:
    """A body that would grow a thousandfold is refused at the limit, not after it."""
    bomb = gzip.compress(bytes(100 << 20), 1)
    tracemalloc.start()
    try:
        with pytest.raises(BodyTooLarge):
            unpack("gzip", bomb, limit=LIMIT)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * LIMIT


def test_empty_members_without_end_pass_the_limit() -> None:
    """The received bytes are limited too, even if they decompress to nothing."""
    buffer = BodyBuffer("gzip", 1_000)
    member = gzip.compress(b"")
    for _ in range(1_000 // len(member)):
        buffer.feed(member)
    with pytest.raises(BodyTooLarge):
        buffer.feed(member)


@pytest.mark.parametrize(
    "content_type",
    [
        "application/msgpack",
        "application/x-protobuf",
        "multipart/form-data; boundary=x",
        "application/vnd.fdo.journal",
    ],
)
def test_binary_content_is_refused(content_type: str) -> None:
    """The error names the content types that can be read."""
    with pytest.raises(UnsupportedMediaType, match="application/json"):
        check_content_type(content_type)
