"""The file of the watches: what it may say, and one sentence for each mistake."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path

import pytest

from natstream.entries.filters import Filter
from natstream.errors import ConfigurationError
from natstream.watches.file import MAX_WATCHES, in_words, parse_watches, read_watches

SECRET = "https://hooks.example.com/s3cr3t"
ENVIRON = {"HOOK": SECRET, "EMPTY": " ", "WRONG": "s3cr3t"}

GOOD = """
[watches.panics]
query = "app=web&q=panic"
count = 3
within = "10s"
cooldown = "1m"
slack = "env:HOOK"

[watches.quiet]
query = "app=worker&field=status%3E%3D500"
absent = "5m"
lines = 0
url = "http://me:pass@[fdaa::1]:8080/hook?x=1"
"""


def read(text: str, path: Path) -> str:
    """Return the error about a file with this text."""
    path.write_text(text)
    with pytest.raises(ConfigurationError) as raised:
        read_watches(str(path), ENVIRON)
    return str(raised.value)


def test_a_file_describes_watches(tmp_path: Path) -> None:
    """Each table is a watch with its query, its condition and its receiver."""
    path = tmp_path / "watches.toml"
    path.write_text(GOOD)
    panics, quiet = read_watches(str(path), ENVIRON)
    assert (panics.name, panics.query) == ("panics", "app=web&q=panic")
    assert panics.filter == Filter.from_query([("app", "web"), ("q", "panic")])
    assert (panics.count, panics.within, panics.cooldown, panics.lines) == (3, 10, 60, 5)
    assert (panics.receiver.kind, panics.receiver.url) == ("slack", SECRET)
    assert panics.condition == "3 lines within 10s, at most once in 1m"
    assert (quiet.absent, quiet.lines) == (300, 0)
    assert quiet.filter.fields == ("status>=500",)
    assert quiet.receiver.url == "http://me:pass@[fdaa::1]:8080/hook?x=1"
    assert quiet.condition == "no line within 5m"


def test_the_defaults() -> None:
    """A watch fires for one line, at most once in ten minutes, and shows five lines."""
    [watch] = parse_watches('[watches.w]\nquery=""\nntfy="https://ntfy.sh/x"\n', {})
    assert (watch.count, watch.within, watch.cooldown, watch.lines) == (1, 60, 600, 5)
    assert watch.filter.is_everything
    assert watch.condition == "1 line, at most once in 10m"


def test_a_byte_order_mark_is_no_part_of_the_file(tmp_path: Path) -> None:
    """A file that an editor of Windows has saved is read."""
    path = tmp_path / "watches.toml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert len(read_watches(str(path), ENVIRON)) == 2


WATCH = '[watches.w]\nquery = "app=web"\nslack = "env:HOOK"\n'

# The text behind WATCH, or a whole file, and the words of the sentence.
WRONG = [
    ("cuont = 3", ["watch w", "'cuont'", "count"]),
    ('"https://hooks.example/T0/s3cret" = 3', ["watch w", "an address is not a key"]),
    ('count = "3"', ["watch w", "count", "a text"]),
    ("count = 0", ["watch w", "count", "from 1 to 10,000", "0"]),
    ("count = -1", ["watch w", "count", "-1"]),
    ("count = 10001", ["watch w", "count", "10,001"]),
    ("count = true", ["watch w", "count", "true or false"]),
    ("count = 1.5", ["watch w", "count", "a number"]),
    (f"count = {10**30}", ["watch w", "count", "much larger"]),
    ("within = 10", ["watch w", "within", "10m", "a number"]),
    ('within = "10 apples"', ["watch w", "within", "'10 apples'"]),
    ('within = "0s"', ["watch w", "within", "'0s'"]),
    ('within = "2d"', ["watch w", "within", '"1d"', "'2d'"]),
    ('within = ""', ["watch w", "within", "''"]),
    ('cooldown = "31d"', ["watch w", "cooldown", '"30d"', "'31d'"]),
    ("cooldown = 1979-05-27T07:32:00Z", ["watch w", "cooldown", "a date or a time"]),
    ("lines = 6", ["watch w", "lines", "from 0 to 5"]),
    ('absent = "5m"\ncount = 3', ["watch w", "count and absent"]),
    ('absent = "5m"\nwithin = "1m"', ["watch w", "within and absent"]),
    ('absent = "5m"\ncooldown = "1m"', ["watch w", "cooldown and absent"]),
    ("absent = []", ["watch w", "absent", "a list"]),
    ('discord = "https://x.example"', ["watch w", "slack and discord"]),
    ('url = "https://x.example"', ["watch w", "slack and url"]),
    ("[watches.w.inner]\nx = 1", ["watch w", "'inner'"]),
    ('slack = "https://x.example"', ["not TOML"]),
    ('[watches.v]\nquery = ""', ["watch v", "receiver", "slack, discord, ntfy, url"]),
    ('[watches.v]\nurl = "https://x.example"', ["watch v", "query is missing"]),
    ("[watches.v]", ["watch v", "query is missing"]),
    ('[watches.v]\nquery = 7\nurl = "https://x.example"', ["watch v", "query", "a number"]),
    ('[watches.v]\nquery = "ap=web"\nurl = "https://x"', ["watch v", "query", "'ap'"]),
    ('[watches.v]\nquery = "tail=7"\nurl = "https://x"', ["watch v", "query", "'tail'"]),
    ('[watches.v]\nquery = "min_level=x"\nurl = "https://x"', ["watch v", "query", "min_level"]),
    ('[watches.v]\nquery = "q=/(/"\nurl = "https://x"', ["watch v", "query", "q"]),
    ('[watches.v]\nquery = "app="\nurl = "https://x"', ["watch v", "query", "app is empty"]),
    ('[watches.v]\nquery = "app"\nurl = "https://x"', ["watch v", "query", "app is empty"]),
    ('[watches.v]\nquery = "q=%FF"\nurl = "https://x"', ["watch v", "query", "UTF-8"]),
    (f'[watches.v]\nquery = "q={"x" * 2_000}"\nurl = "https://x"', ["watch v", "query", "2,000"]),
    ('[watches.v]\nquery = ""\nslack = 7', ["watch v", "slack", "a number"]),
    ('[watches.v]\nquery = ""\nslack = "env:MISSING"', ["watch v", "slack", "MISSING", "not set"]),
    ('[watches.v]\nquery = ""\nslack = "env:EMPTY"', ["watch v", "slack", "EMPTY", "not set"]),
    ('[watches.v]\nquery = ""\nslack = "env:"', ["watch v", "slack", "env:"]),
    ('[watches.v]\nquery = ""\nslack = "env:A B"', ["watch v", "slack", "env:"]),
    ('[watches.v]\nquery = ""\nslack = "env:WRONG"', ["watch v", "slack", "WRONG"]),
    *(
        (f"[watches.v]\nquery = ''\nurl = '{url}'", ["watch v", "url", "https://example.com/hook"])
        for url in (
            *("", "s3cr3t", "ftp://s3cr3t/", "https://", "https:///s3cr3t", "//s3cr3t/"),
            *("https://x:99999/s3cr3t", "https://x:0/s3cr3t", "https://x:port/s3cr3t"),
            *("https://x/s3cr3t y", "https://x/s3cr3t#y", "https://é.example/s3cr3t", "file:///etc"),
            *("https://[s3cr3t/", "https://x/" + "s3cr3t" * 400, "javascript:s3cr3t"),
        )
    ),
    ('[watches."two words"]\nquery = ""', ["'two words'", "A-Z"]),
    ('[watches.""]\nquery = ""', ["watch ''", "A-Z"]),
    (f'[watches.{"x" * 65}]\nquery = ""', ["A-Z"]),
    ("[watch.v]\nquery = ''", ["'watch'", "[watches.panics]"]),
    ("query = 7 7", ["not TOML", "line"]),
    ("x = " + "[" * 100_000, ["not TOML"]),
    (f"x = {'9' * 10_000}", ["not TOML"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "words"), WRONG, ids=lambda value: str(value)[:40])
def test_a_mistake_is_one_sentence(text: str, words: list[str], tmp_path: Path) -> None:
    """A mistake is one sentence that names the file, the watch and the key, and no secret."""
    path = tmp_path / "watches.toml"
    sentence = read(f"{WATCH}{text}\n", path)
    assert sentence.startswith(f"NATSTREAM_WATCHES, the file {path}: ")
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert len(sentence) < 500
    for word in words:
        assert word in sentence
    assert "s3cr3t" not in sentence


@pytest.mark.parametrize("text", ["", "# nothing\n", "[watches]\n"])
def test_a_file_without_a_watch_is_a_mistake(text: str, tmp_path: Path) -> None:
    """A file in which no watch is described is a mistake, because nothing would be watched."""
    assert "it has no watch" in read(text, tmp_path / "watches.toml")


@pytest.mark.parametrize("text", ["watches = 7\n", "watches = []\n", "[watches]\nv = 7\n"])
def test_a_watch_is_a_table(text: str, tmp_path: Path) -> None:
    """A watch that is no table is a mistake."""
    assert "[watches." in read(text, tmp_path / "watches.toml")


def test_there_are_not_too_many(tmp_path: Path) -> None:
    """More than a hundred watches are a mistake."""
    tables = "".join(
        f'[watches.w{number}]\nquery=""\nslack="env:HOOK"\n' for number in range(MAX_WATCHES + 1)
    )
    assert "101 watches" in read(tables, tmp_path / "watches.toml")


def test_a_file_that_cannot_be_read_is_a_mistake(tmp_path: Path) -> None:
    """A path that leads to no file of TOML is one sentence that says why."""
    missing, unreadable = tmp_path / "missing.toml", tmp_path / "unreadable.toml"
    pipe, latin, large = tmp_path / "pipe", tmp_path / "latin.toml", tmp_path / "large.toml"
    os.mkfifo(pipe)
    latin.write_bytes(b"# caf\xe9\n")
    large.write_bytes(b"# " + b"x" * 1_000_000)
    unreadable.write_text(GOOD)
    unreadable.chmod(0)
    reasons = {
        str(missing): "No such file or directory",
        str(missing / "below"): "No such file or directory",
        str(latin / "below"): "Not a directory",
        str(tmp_path): "is a directory",
        str(pipe): "is not a regular file",
        "/dev/zero": "is not a regular file",
        str(latin): "is not UTF-8",
        str(large): "has more than 262,144 bytes",
        "x" * 5_000: "File name too long",
        "nul\0": "null",
    }
    if os.getuid():  # root reads every file
        reasons[str(unreadable)] = "Permission denied"
    for path, reason in reasons.items():
        with pytest.raises(ConfigurationError) as raised:
            read_watches(path, ENVIRON)
        sentence = str(raised.value)
        assert sentence.startswith("NATSTREAM_WATCHES is ")
        assert reason in sentence, sentence
        assert "\n" not in sentence


@pytest.mark.parametrize(
    ("seconds", "words"), [(90, "90s"), (60, "1m"), (7200, "2h"), (86_400, "1d"), (5400, "90m")]
)
def test_durations_are_written_as_in_the_file(seconds: float, words: str) -> None:
    """A duration is shown as the file would have it."""
    assert in_words(seconds) == words


# --- the documentation -----------------------------------------------------------------------

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "watches.md").read_text()


def test_the_example_of_the_page_is_right() -> None:
    """The file that the page shows describes two watches, with the defaults that it names."""
    text = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.M | re.S)[0]
    panics, quiet = parse_watches(text, {"SLACK_HOOK": SECRET})
    assert (panics.count, panics.within, panics.cooldown) == (3, 10, 60)
    assert quiet.absent == 300
    [plain] = parse_watches('[watches.w]\nquery=""\nurl="http://x"\n', {})
    shown = re.findall(r"# default (\w+)", text)
    assert shown == [str(plain.count), in_words(plain.within), in_words(plain.cooldown)]


def test_the_page_names_each_key() -> None:
    """The page's table has each key that a watch may have."""
    [wrong] = [text for text, words in WRONG if text == "cuont = 3"]
    with pytest.raises(ValueError, match="cuont") as raised:
        list(parse_watches(f"{WATCH}{wrong}", ENVIRON))
    for key in str(raised.value).rpartition("it takes ")[2].split(", "):
        assert re.search(rf"^\|[^|]*`{key}`", PAGE, re.M), key


def test_fly_toml_shows_how_the_file_gets_there() -> None:
    """The comments about watches in fly.toml put the file where natstream reads it."""
    shown = r"^( *)# (?=NATSTREAM_|\[\[files|  \w+_path)"
    fly = tomllib.loads(re.sub(shown, r"\1", (ROOT / "fly.toml").read_text(), flags=re.MULTILINE))
    [file] = fly["files"]
    assert fly["env"]["NATSTREAM_WATCHES"] == file["guest_path"]
    assert set(file) == {"guest_path", "local_path"}
