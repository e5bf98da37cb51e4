"""Drain bodies: the entries of each form, the dropped lines, and the refusals."""

from __future__ import annotations

import gzip
import json
import tracemalloc
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from natstream.drain import splitting
from natstream.drain.bodies import parse_body
from natstream.drain.content_encoding import (
    BodyBuffer,
    BodyTooLarge,
    UnsupportedMediaType,
    check_content_type,
)
from natstream.entries.entry import LogEntry, decode_json
from natstream.errors import BadBody

FIXTURES = Path(__file__).parents[1] / "fixtures" / "drain"
LIMIT = 1 << 20


def read(body: bytes, app_name: str = "", **more: Any) -> tuple[list[LogEntry], dict[str, int]]:
    """Return all entries of a body, and the number of dropped lines by reason."""
    parsed = parse_body(body, app_name=app_name, **more)
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
        b"[INFO] started\n" + A + b"\n",
        b'[12] started\n{"level":"info"}\n',
        b"[12]\nstarted\n",
        b"{not json}\n",
        b"{\n  id: 5,\n}\n",
        b'{"a":1} started',
    ],
)
def test_what_is_called_text_and_is_no_json_is_text(body: bytes) -> None:
    """Lines of text may start with a bracket, and JSON that is called text is JSON."""
    entries, dropped = read(body, plain=True)
    assert [entry.message for entry in entries] == body.decode().splitlines()
    assert dropped == {}
    for form in (A + b"\n" + B, A + B, b"[" + A + b"," + B + b"]", b"[\n " + A + b",\n" + B + b"]"):
        assert [entry.message for entry in read(form, plain=True)[0]] == ["a", "b"]
    with pytest.raises(BadBody, match="ends early"):
        read(b"[" + A + b"," + B[:-3], plain=True)


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
def test_half_a_surrogate_pair_is_no_matter_to_the_rest_of_its_array(
    index: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The array is not decoded as a whole, which would take many times its size."""
    items = [LONG] * (3 * splitting.LARGE_PIECE // len(LONG))
    items[index] = b'{"instance":"m","message":"\\ud800"}'
    decoded: list[int] = []
    scan = splitting._scan

    def counting(text: bytes) -> Any:
        decoded.append(len(text))
        return decode_json(text)

    def scanning(text: str, start: int) -> Any:
        value, end = scan(text, start)
        decoded.append(end - start)
        return value, end

    monkeypatch.setattr(splitting, "decode_json", counting)
    monkeypatch.setattr(splitting, "_scan", scanning)
    for joint in (b",", b",\n"):
        entries, _ = read(b"[" + joint.join(items) + b"]")
        assert entries[index].message == "\N{REPLACEMENT CHARACTER}"
        assert len(entries) == len(items)
    assert max(decoded, default=0) <= len(LONG)


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
        A + b"\n" * (FEW + 1),
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
    assert len(read(b"\n".join([*lines, A]), max_lines=FEW + 1)[0]) == 1_000 + FEW + 1
    with pytest.raises(BodyTooLarge):
        read(b"\n".join([*lines, array, A]), max_lines=FEW + 1)


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


# --- dropped lines -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "kept", "dropped"),
    [
        (A + b"\nnot json\n" + B, 2, {"not_json": 1}),
        (A + b"\n5\n" + B, 2, {"not_json": 1}),
        (A + b"\n[INFO] text\n" + B, 2, {"not_json": 1}),
        (b'{"a":\n' + A + b"\n" + B, 2, {"not_json": 1}),
        (A + b'\n{"a":\n', 1, {"not_json": 1}),
        (A + b'\n{"message":"whose?"}\n' + B, 2, {"no_machine": 1}),
        (b"[" + A + b",5," + B + b"]", 2, {"not_json": 1}),
        (b'{"message":"whose?"}', 0, {"no_machine": 1}),
        (A + b'\n{"instance":"m","message":"\xff"}\n', 2, {}),
        (
            A + b'\n{"instance":"m","x":' + b"[" * 10_000 + b"]" * 10_000 + b"}\n",
            1,
            {"not_json": 1},
        ),
        (A + b" nonsense\n" + B, 1, {"not_json": 1}),
        (b"text\n\xff\xfe\ntext", 2, {"not_utf8": 1}),
    ],
)
def test_what_is_no_line_is_dropped_and_counted(
    body: bytes, kept: int, dropped: dict[str, int]
) -> None:
    """A line that is not a log line is dropped and counted, and the other lines are read."""
    entries, reasons = read(body)
    assert (len(entries), reasons) == (kept, dropped)


@pytest.mark.parametrize(
    "body",
    [
        b"[INFO] text of a kind that looks like JSON",
        b"{not json}\n{neither}\n",
        b"[5]",
        b"[[" + A + b"]]",
        b"[" * 10_000,
        b"[" * 10_000 + b"]" * 10_000,
        b'{"a":' * 10_000,
        b"\xff\xfe{\x00}\x00",
        b"\x80",
    ],
)
def test_a_body_of_which_nothing_can_be_read_is_refused(body: bytes) -> None:
    """The error for a body without any readable line says what to send instead."""
    with pytest.raises(BadBody, match="JSON"):
        read(body)


def test_gzip_that_does_not_say_so_is_refused() -> None:
    """A gzip body without its Content-Encoding is refused rather than read as text."""
    with pytest.raises(UnsupportedMediaType, match="Content-Encoding: gzip"):
        read(gzip.compress(A))


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[",
        A[:-1],
        A + b"\n" + B[:-1],
        A + B[:-1],
        b"[" + A + b"," + B,
        b"[\n" + A + b",\n" + B + b"\n",
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
@given(st.text(alphabet="ab\n", max_size=60).map(str.encode), st.integers(1, 9))
def test_cutting_a_body_into_pieces_loses_nothing(body: bytes, size: int) -> None:
    """A body has the same lines for every size of a piece."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(splitting, "PIECE_BYTES", size)
        lines = list(splitting.split_lines(body))
    assert b"\n".join(lines).strip(b"\n") == body.strip(b"\n")
    assert [text for text in lines if text] == [text for text in body.split(b"\n") if text]


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
    with pytest.raises(BodyTooLarge, match="larger than 10 bytes"):
        BodyBuffer("", 10, announced=11)
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
    ["application/msgpack", "application/x-protobuf", "multipart/form-data; boundary=x"],
)
def test_binary_content_is_refused(content_type: str) -> None:
    """The error names the content types that can be read."""
    with pytest.raises(UnsupportedMediaType, match="application/json"):
        check_content_type(content_type)
