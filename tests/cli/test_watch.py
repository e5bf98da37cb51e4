"""`natstream watch`: the list, and the test message; and `natstream check` of the same file."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from click.testing import CliRunner, Result
from tests.support.receiver import Answer, Receiver, open_receiver, status

from natstream.cli.main import main

FILE = """
[watches.panics]
query = "app=web&q=panic"
count = 3
within = "10s"
slack = "env:HOOK"

[watches.quiet]
query = ""
absent = "5m"
url = "http://127.0.0.1:9/s3cr3t"
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a file with two watches."""
    path = tmp_path / "watches.toml"
    path.write_text(FILE)
    return path


def run(*arguments: str, **environ: str | None) -> Result:
    """Run the command in an environment without other settings."""
    return CliRunner(env=environ).invoke(main, list(arguments))


async def send_test(
    name: str, path: Path, *answers: Answer, **environ: str
) -> tuple[Result, Receiver]:
    """Run `--test` for a receiver that gives these answers."""
    async with open_receiver(*answers, path="/s3cr3t") as receiver:
        environ = {"NATSTREAM_WATCHES": str(path), "HOOK": receiver.url, **environ}
        result = await trio.to_thread.run_sync(
            lambda: run("watch", "--test", name, **environ), abandon_on_cancel=True
        )
    return result, receiver


def test_the_list_names_each_watch(path: Path) -> None:
    """The list has each watch with its query, its condition and its receiver, and no address."""
    result = run("watch", "--list", NATSTREAM_WATCHES=str(path), HOOK="https://x.example/s3cr3t")
    assert result.exit_code == 0
    assert result.output == (
        "panics\n"
        "  lines      app=web&q=panic\n"
        "  fires for  3 lines within 10s, at most once in 10m\n"
        "  sends to   slack (env:HOOK)\n"
        "quiet\n"
        "  lines      all\n"
        "  fires for  no line within 5m\n"
        "  sends to   url\n"
    )


async def test_a_test_message_is_marked(path: Path) -> None:
    """A test sends one message that says that it is a test, and reports that it was taken."""
    result, receiver = await send_test(
        "panics", path, NATSTREAM_PUBLIC_URL="https://logs.example.com"
    )
    assert (result.exit_code, result.output) == (
        0,
        "The message to slack (env:HOOK) was delivered.\n",
    )
    [request] = receiver.requests
    assert "this is a test message of natstream" in request.json["text"]
    assert "https://logs.example.com/?app=web" in request.json["text"]


async def test_without_an_address_of_the_page_the_test_says_so(path: Path) -> None:
    """Without NATSTREAM_PUBLIC_URL, the test says that messages have no link."""
    result, _ = await send_test("panics", path)
    assert "NATSTREAM_PUBLIC_URL is not set" in result.output


async def test_a_test_that_fails_says_why(path: Path) -> None:
    """A receiver that refuses the test message is status 1 and one sentence without its address."""
    result, receiver = await send_test("panics", path, status(404))
    assert result.exit_code == 1
    assert "was not delivered: it answered 404 Not Found" in result.output
    assert "s3cr3t" not in result.output
    assert len(receiver.requests) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--test", "panic"], "There is no watch 'panic' in the file; it has panics, quiet."),
        ([], "Give either --list or --test NAME."),
        (["--list", "--test", "panics"], "Give either --list or --test NAME."),
    ],
)
def test_a_wrong_command_is_status_2(arguments: list[str], words: str, path: Path) -> None:
    """An unknown watch, and neither or both of the options, are status 2."""
    result = run("watch", *arguments, NATSTREAM_WATCHES=str(path), HOOK="https://x.example/s3cr3t")
    assert result.exit_code == 2
    assert words in result.output


@pytest.mark.parametrize("command", [["watch", "--list"], ["watch", "--test", "panics"], ["check"]])
def test_a_wrong_file_is_status_2(command: list[str], path: Path) -> None:
    """A wrong file is one sentence and status 2, for each command that reads it."""
    result = run(*command, NATSTREAM_WATCHES=str(path), NATSTREAM_SOURCES="drain", HOOK="s3cr3t")
    assert result.exit_code == 2
    assert "the watch panics: slack takes an address" in result.output
    assert "s3cr3t" not in result.output
    assert len(result.output.splitlines()) == 1


def test_without_a_file_there_is_nothing_to_show() -> None:
    """Without NATSTREAM_WATCHES, the command says so, with status 2."""
    result = run("watch", "--list", NATSTREAM_WATCHES=None)
    assert result.exit_code == 2
    assert "NATSTREAM_WATCHES is not set" in result.output


def test_the_check_reads_the_file(path: Path) -> None:
    """`natstream check` says which watches there are, and that links need an address."""
    result = run(
        "check",
        NATSTREAM_WATCHES=str(path),
        NATSTREAM_SOURCES="drain",
        NATSTREAM_BIND="127.0.0.1:0",
        NATSTREAM_DRAIN_BIND="127.0.0.1:0",
        HOOK="https://x.example/s3cr3t",
    )
    assert result.exit_code == 0, result.output
    assert "the file is right, and watches panics, quiet" in result.output
    assert "NATSTREAM_PUBLIC_URL is not set" in result.output
    assert "s3cr3t" not in result.output
