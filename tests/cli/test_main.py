"""The command in a process of its own, as a person or an init system runs it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from tests.support.loopback import free_port
from tests.support.service import environ
from tests.support.waiting import PATIENCE

NATSTREAM = [sys.executable, "-m", "natstream"]


def natstream(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end, in an environment that has only these variables."""
    return subprocess.run(
        [*NATSTREAM, *arguments],
        env={"PATH": os.environ["PATH"], **variables},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@contextmanager
def serving(**variables: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run `natstream serve` without NATS; give its process and its URL."""
    port = free_port()
    process = subprocess.Popen(
        [*NATSTREAM, "serve"],
        env={
            "PATH": os.environ["PATH"],
            **environ(NATSTREAM_BIND=f"127.0.0.1:{port}"),
            **variables,
        },
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                httpx.get(f"{url}/healthz")
                break
            except httpx.TransportError:
                assert process.poll() is None, process.communicate()[1]
                assert time.monotonic() < deadline
                time.sleep(0.02)
        yield process, url
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_it_in_order_with_status_0(number: signal.Signals) -> None:
    """A signal ends the service within the grace, though one of its readers reads nothing."""
    with (
        serving(NATSTREAM_GRACE="3") as (process, url),
        socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as stalled,
        httpx.stream("GET", f"{url}/api/logs", timeout=PATIENCE) as response,
    ):
        stalled.sendall(b"GET /api/logs HTTP/1.1\r\nHost: localhost\r\n\r\n")
        rows = response.iter_lines()
        assert next(rows).startswith("retry: ")
        started = time.monotonic()
        process.send_signal(number)
        assert any("natstream is closing" in row for row in rows)
        assert process.wait(PATIENCE) == 0
        assert time.monotonic() - started < 3.5


@pytest.mark.parametrize(("ignored", "status"), [(False, -signal.SIGINT), (True, 0)])
def test_ctrl_c_during_the_first_imports_ends_it_quietly(ignored: bool, status: int) -> None:
    """Ctrl-C prints no traceback while modules are imported, and stays ignored under nohup."""
    program = """
import os, signal, sys
from natstream.__main__ import run

class InterruptOnImport:
    def find_spec(self, name, path, target=None):
        if name == "click":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, InterruptOnImport())
sys.argv = ["natstream", "--version"]
run()
"""
    # A child inherits a signal that is ignored, and no handler.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN) if ignored else None
    try:
        result = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    finally:
        if ignored:
            signal.signal(signal.SIGINT, before)
    assert (result.returncode, result.stderr) == (status, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_during_the_start_ends_it_with_status_0(number: signal.Signals) -> None:
    """A signal that comes while modules are being imported ends the service with status 0."""
    program = f"""
import os, sys
from natstream.cli.main import main

class SignalOnImport:
    def find_spec(self, name, path, target=None):
        if name == "natstream.supervisor":
            os.kill(os.getpid(), {int(number)})

sys.meta_path.insert(0, SignalOnImport())
main(["serve"])
"""
    result = subprocess.run(
        [sys.executable, "-c", program],
        env={"PATH": os.environ["PATH"], **environ()},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr


def test_a_wrong_setting_is_one_sentence_and_status_2() -> None:
    """The sentence names the variable, its value and the values that it takes."""
    result = natstream("serve", NATSTREAM_SOURCES="drain", NATSTREAM_MAX_LAG="soon")
    assert result.returncode == 2
    (sentence,) = result.stderr.splitlines()
    assert "NATSTREAM_MAX_LAG" in sentence
    assert "'soon'" in sentence
    assert "seconds" in sentence


def test_a_removed_setting_is_a_warning_and_the_service_starts() -> None:
    """The warning is one sentence at the start, for any value."""
    with serving(NATSTREAM_MAX_HEADER="nonsense") as (process, url):
        assert httpx.get(f"{url}/healthz").status_code == 200
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert said.startswith(
        "natstream: NATSTREAM_MAX_HEADER was removed and has no effect: it set how many bytes a "
        "request's line and headers may have, which is now always 16,384.\n"
    )
    assert "nonsense" not in said


def test_missing_credentials_name_themselves_and_the_demo() -> None:
    """The service refuses to start, and names the missing variable and the demo."""
    result = natstream("serve", FLY_ORG="acme")
    assert result.returncode == 2
    (sentence,) = result.stderr.splitlines()
    assert "ACCESS_TOKEN is not set" in sentence
    assert "natstream demo" in sentence


@pytest.mark.parametrize("variable", ["NATSTREAM_BIND", "NATSTREAM_DRAIN_BIND"])
def test_a_taken_port_is_one_sentence_and_status_1(variable: str) -> None:
    """A taken port ends the command with one sentence that names the port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = natstream("serve", **(environ() | {variable: f"127.0.0.1:{port}"}))
    assert result.returncode == 1
    sentence = result.stderr.splitlines()[-1]
    assert str(port) in sentence
    assert "Traceback" not in result.stderr


def test_help_is_worth_reading() -> None:
    """The help texts name the demo, the commands and the first settings."""
    text = natstream("--help").stdout
    assert "natstream demo" in text
    # The variables are exported in lines of their own, which the terminal's width does not wrap.
    assert "      export FLY_ORG=my-org\n      export ACCESS_TOKEN=" in text
    assert "serve" in text
    assert "FLY_ORG" in natstream("serve", "--help").stdout
