"""One request to a receiver on loopback: how it went, in words that hold no secret."""

from __future__ import annotations

import shutil
import ssl
import time
from contextlib import suppress
from email.utils import formatdate
from functools import partial
from pathlib import Path

import pytest
import trio
from tests.support.loopback import HOST
from tests.support.receiver import (
    ACCEPTED,
    Answer,
    Receiver,
    close_early,
    hang,
    open_receiver,
    reset_connection,
    send_for_ever,
    status,
    trickle,
)

from natstream.watches import senders
from natstream.watches.bodies import Body
from natstream.watches.senders import Outcome, open_sender

BODY = Body({"Content-Type": "text/plain"}, b"the message")
SECRET = "s3cr3t"


async def sent(url: str) -> Outcome:
    """Return how a request to this address goes."""
    async with open_sender() as send:
        return await send(url, BODY)


async def answered(*answers: Answer) -> tuple[Outcome, Receiver]:
    """Return how a request goes that gets one of these answers, and the receiver."""
    async with open_receiver(*answers, path=f"/{SECRET}") as receiver:
        return await sent(receiver.url), receiver


async def test_a_message_is_posted_once() -> None:
    """A message is one POST to the address, with its headers and its body."""
    outcome, receiver = await answered(ACCEPTED)
    [request] = receiver.requests
    assert outcome == Outcome()
    assert (request.method, request.target, request.body) == ("POST", f"/{SECRET}", BODY.content)
    assert request.headers["content-type"] == "text/plain"


@pytest.mark.parametrize("code", [200, 201, 204])
async def test_each_2xx_means_delivered(code: int) -> None:
    """Each status of 2xx means that the message is delivered."""
    outcome, _ = await answered(status(code))
    assert outcome == Outcome()


@pytest.mark.parametrize(
    ("code", "may_pass"),
    [(500, True), (502, True), (503, True), (408, True), (425, True), (429, True)]
    + [(code, False) for code in (400, 401, 403, 404, 410)],
)
async def test_some_statuses_may_pass(code: int, may_pass: bool) -> None:
    """A server's fault and a limit may pass; an answer that the request is wrong does not."""
    outcome, _ = await answered(status(code))
    assert outcome.may_pass is may_pass
    assert str(code) in outcome.problem


async def test_a_redirect_is_not_followed() -> None:
    """A redirect to another server counts as a failure, and the other server gets nothing."""
    async with open_receiver() as other:
        for code in (301, 302, 307, 308):
            outcome, _ = await answered(status(code, Location=other.url))
            assert "redirects are not followed" in outcome.problem
    assert other.requests == []


@pytest.mark.parametrize("answer", [close_early, reset_connection, b"SSH-2.0-x\r\n\r\n", b""])
async def test_an_answer_that_is_cut_may_pass(answer: Answer) -> None:
    """An answer that ends in the middle, or is not HTTP, is a failure that may pass."""
    outcome, _ = await answered(answer)
    assert outcome.problem
    assert outcome.may_pass


@pytest.mark.parametrize("answer", [hang, trickle])
async def test_a_slow_receiver_has_a_deadline(
    answer: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A receiver that answers nothing, or its head too slowly, is left after the deadline."""
    assert senders.DEADLINE == 10
    monkeypatch.setattr(senders, "DEADLINE", 0.3)
    with trio.fail_after(5):
        outcome, _ = await answered(answer)
    assert outcome == Outcome("it did not answer in time")


@pytest.mark.parametrize(
    "answer", [send_for_ever, b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx"]
)
async def test_the_body_of_an_answer_is_not_read(answer: Answer) -> None:
    """A receiver that accepts a message, and sends for ever or cuts the body, has the message."""
    with trio.fail_after(5):
        outcome, _ = await answered(answer)
    assert outcome == Outcome()


async def test_a_huge_head_is_refused() -> None:
    """An answer whose head has a megabyte is a failure, and not kept in memory."""
    outcome, _ = await answered(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1_000_000 + b"\r\n\r\n")
    assert outcome.problem


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("7", 7.0), ("0", 0.0), ("-1", 0.0), ("soon", 0.0), ("", 0.0), ("9" * 50, 999_999_999.0)],
)
async def test_retry_after_in_seconds(value: str, seconds: float) -> None:
    """`Retry-After` is read as seconds; a value that is not understood counts as absent."""
    outcome, _ = await answered(status(429, Retry_After=value))
    assert outcome.retry_after == seconds


async def test_retry_after_as_a_date() -> None:
    """`Retry-After` is read as a date, too; a date of the past means now."""
    later, _ = await answered(status(503, Retry_After=formatdate(time.time() + 60, usegmt=True)))
    assert 55 < later.retry_after <= 60
    past, _ = await answered(status(503, Retry_After=formatdate(0, usegmt=True)))
    assert past.retry_after == 0


async def test_a_certificate_is_checked(tmp_path: Path) -> None:
    """A receiver whose certificate is not valid gets no message."""
    if not shutil.which("openssl"):
        pytest.skip("openssl, which makes the certificate, is not installed")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    make = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
    files = ("-keyout", key, "-out", certificate)
    await trio.run_process((*make.split(), *files), capture_stdout=True, capture_stderr=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    async with open_receiver(tls=context) as receiver:
        outcome = await sent(receiver.url)
    assert "its certificate is not valid" in outcome.problem
    assert receiver.requests == []


async def test_tls_to_a_server_without_it_fails() -> None:
    """An https address whose server speaks plain HTTP is a failure in plain words."""

    async def greet(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):
            await stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_tcp, greet, 0, host=HOST))
        outcome = await sent(f"https://{HOST}:{listener.socket.getsockname()[1]}/")
        nursery.cancel_scope.cancel()
    assert outcome.problem == "TLS with it fails"


async def test_a_tls_handshake_has_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that does not answer the start of TLS is left, and its socket is closed."""
    monkeypatch.setattr(senders, "CONNECT_DEADLINE", 0.2)
    async with open_receiver() as receiver:
        outcome = await sent(receiver.url.replace("http://", "https://"))
    assert outcome.problem == "it did not answer in time"


@pytest.mark.parametrize(
    "url",
    [
        f"http://127.0.0.1:1/{SECRET}",
        f"http://{SECRET}.invalid/",
        f"http://user:{SECRET}@127.0.0.1:1/",
        f"http://127.0.0.1:99999/{SECRET}",
        f"ftp://{SECRET}/",
        f"http://{'x' * 70}{SECRET}/",
        f"http://[{SECRET}/",
    ],
)
async def test_no_failure_quotes_the_address(url: str) -> None:
    """A failure says why in fixed words, which quote no part of the address."""
    outcome = await sent(url)
    assert outcome.problem
    assert SECRET not in outcome.problem


async def test_a_user_and_a_password_of_the_address_are_shown_to_the_receiver() -> None:
    """A user and a password in the address become the header that ntfy and others want."""
    async with open_receiver() as receiver:
        await sent(receiver.url.replace("http://", "http://me:secret@"))
    assert receiver.requests[0].headers["authorization"] == "Basic bWU6c2VjcmV0"


async def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message goes to the address itself, whatever proxy the environment names."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    outcome, _ = await answered(ACCEPTED)
    assert outcome == Outcome()
