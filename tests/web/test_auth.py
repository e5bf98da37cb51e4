"""Who may read: tokens, guessing them, logging in, what is signed."""

from __future__ import annotations

import hmac
import math
import time
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from tests.support.closed import (
    TOKEN,
    bearer,
    closed_service,
    cookie_of,
    grant_text,
    keyring,
    log_in,
)
from tests.support.service import RunningService, open_service
from tests.support.waiting import PATIENCE

from natstream.errors import TooManyAttempts
from natstream.web import login_throttle as attempts_module
from natstream.web.auth import COOKIE, OPEN
from natstream.web.grants import Grant, Keyring
from natstream.web.login_throttle import LoginThrottle

# --- tokens --------------------------------------------------------------------------------------


async def test_without_a_token_nothing_is_readable_but_the_pages() -> None:
    """401 says how to show one, on every route that is not named as open, and on none at all."""
    async with closed_service() as service:
        app = service.service.core.app
        for rule in app.url_map.iter_rules():
            if rule.endpoint in OPEN:
                continue
            response = await service.get(str(rule.rule))
            assert response.status_code == 401, rule
            assert response.headers["WWW-Authenticate"].startswith("Bearer")
            assert list(response.json()) == ["error"]
        assert (await service.get("/nowhere")).status_code == 401
        for path in ("/", "/link", "/static/js/link.js", "/healthz"):
            assert (await service.get(path)).status_code == 200, path


async def test_any_of_several_tokens_opens_everything() -> None:
    """So that one can be rotated out."""
    async with closed_service(NATSTREAM_TOKEN="new-one, old-one") as service:
        for token in ("new-one", "old-one"):
            for path in ("/api/status", "/api/facets", "/readyz", "/metrics"):
                response = await service.get(path, headers=bearer(token))
                assert response.status_code == 200, path
        assert (
            await service.get("/api/status", headers={"authorization": "bEARER new-one"})
        ).is_success


@pytest.mark.parametrize(
    "shown",
    [
        "",
        "a-token-for-the-test",
        f"{TOKEN}x",
        f"{TOKEN},{TOKEN}",
        "é",
        "a" * 10_000,
        "eyJlIjoxfQ.x",
    ],
)
async def test_what_is_not_a_token_is_refused(shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it resembles."""
    monkeypatch.setattr(attempts_module, "DELAY", 0)
    async with closed_service() as service:
        headers = {"Authorization": f"Bearer {shown}".strip().encode()}
        assert (await service.get("/api/status", headers=headers)).status_code == 401
        response = await log_in(service, json={"token": shown})
        assert response.status_code in (400, 401)
        assert "Set-Cookie" not in response.headers


@pytest.mark.parametrize("shown", ["first-one", "second-one", "wrong", "first-on", ""])
def test_tokens_are_compared_in_constant_time(shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them, also after the right one; and nothing else says which is right."""
    tokens = ("first-one", "second-one")
    ring = Keyring(tokens)
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return compare_digest(one, other)

    compare_digest = hmac.compare_digest
    monkeypatch.setattr("natstream.web.grants.hmac.compare_digest", compare)
    assert ring.find(shown) == (shown if shown in tokens else None)
    assert compared == [(shown.encode(), token.encode()) for token in tokens]
    monkeypatch.setattr("natstream.web.grants.hmac.compare_digest", lambda one, other: False)
    assert ring.find(shown) is None
    assert ring.grant(shown) is None


async def test_another_scheme_is_somebody_elses() -> None:
    """A proxy's own crimson, which browsers send along, does not hide the cookie."""
    async with closed_service() as service:
        cookie = cookie_of(await log_in(service))
        response = await service.get(
            "/api/status", headers={**cookie, "Authorization": "Basic eDp5"}
        )
        assert response.status_code == 200


async def test_a_token_in_the_address_is_not_taken() -> None:
    """Addresses are logged."""
    async with closed_service() as service:
        assert (await service.get(f"/api/logs?token={TOKEN}")).status_code == 401
        response = await service.get(f"/api/logs?token={TOKEN}", headers=bearer())
        assert response.status_code == 400
        assert response.json()["parameter"] == "token"
        assert TOKEN not in response.text


async def test_without_tokens_everything_is_open() -> None:
    """Logging in is answered, since there is nothing to be let in to; links end in the viewer."""
    async with open_service() as service:
        assert (await service.get("/api/status")).json()["authentication"] is False
        response = await log_in(service, json={"link": "of another service"})
        assert (response.status_code, response.headers.get("Set-Cookie")) == (204, None)


# --- guessing ------------------------------------------------------------------------------------


async def test_a_wrong_token_is_answered_late(autojump_clock: trio.abc.Clock) -> None:
    """Only so many a second: none sooner than that, however many there are."""
    attempts = LoginThrottle()
    ends: list[float] = []

    async def guess() -> None:
        await attempts.fail("")
        ends.append(trio.current_time() - start)

    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        for _ in range(500):
            nursery.start_soon(guess)
    turns = 500 // attempts_module.AT_ONCE
    assert ends == pytest.approx(
        [turn * attempts_module.DELAY for turn in range(1, turns + 1)
         for _ in range(attempts_module.AT_ONCE)]
    )  # fmt: skip


async def test_who_does_not_wait_for_the_answer_takes_nobodys_turn(
    autojump_clock: trio.abc.Clock,
) -> None:
    """A client that has gone is not answered."""
    attempts = LoginThrottle()
    async with trio.open_nursery() as nursery:
        for _ in range(500):
            nursery.start_soon(attempts.fail, "")
        await trio.sleep(attempts_module.DELAY / 2)
        nursery.cancel_scope.cancel()
    start = trio.current_time()
    await attempts.fail("")
    assert trio.current_time() - start == attempts_module.DELAY


async def test_an_address_that_goes_on_guessing_is_refused_for_a_while(
    autojump_clock: trio.abc.Clock,
) -> None:
    """With all of its /64; nobody else is, nor anybody whose address is not known."""
    attempts = LoginThrottle()
    for number in range(attempts_module.MAX_FAILURES):
        attempts.check("2001:db8::1")
        await attempts.fail(f"2001:db8::{number}")
        await attempts.fail("")
    with pytest.raises(TooManyAttempts) as caught:
        attempts.check("2001:db8::ffff")
    assert 0 < caught.value.retry_after <= attempts_module.WINDOW
    for other in ("2001:db8:1::1", "192.0.2.1", "no address", ""):
        attempts.check(other)
    await trio.sleep(caught.value.retry_after)
    attempts.check("2001:db8::1")


async def test_addresses_take_bounded_memory(
    autojump_clock: trio.abc.Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that began first are forgotten."""
    monkeypatch.setattr(attempts_module, "MAX_ADDRESSES", 10)
    attempts = LoginThrottle()
    for number in range(100):
        await attempts.fail(f"192.0.2.{number}")
    assert len(attempts._addresses) == 10


async def test_nobody_is_locked_out_by_those_who_guess() -> None:
    """A right token is answered at once while hundreds of wrong ones wait for their turn.

    And none of these is told anything before, neither that it is wrong nor that it is too many.
    """
    answers: list[int] = []
    async with closed_service() as service, trio.open_nursery() as nursery:

        async def guess() -> None:
            answers.append((await service.get("/api/status", headers=bearer("wrong"))).status_code)

        start = trio.current_time()
        for _ in range(300):
            nursery.start_soon(guess)
        counters = service.service.core.metrics.counters
        with trio.fail_after(PATIENCE):
            while counters.wrong_tokens < 300:
                await trio.sleep(0.01)
        with trio.fail_after(PATIENCE):
            assert (await service.get("/api/status", headers=bearer())).status_code == 200
            assert (await log_in(service)).status_code == 204
        await trio.sleep(2 * attempts_module.DELAY)
        turns = (trio.current_time() - start) / attempts_module.DELAY
        assert 0 < len(answers) <= turns * attempts_module.AT_ONCE
        assert set(answers) == {401}
        nursery.cancel_scope.cancel()


async def test_limits_by_address_need_a_trusted_header(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the last of several: what stands before it, the client may have written itself."""
    monkeypatch.setattr(attempts_module, "DELAY", 0)

    async def guess(service: RunningService, address: str, token: str) -> httpx.Response:
        headers = [("Fly-Client-IP", "203.0.113.9"), ("Fly-Client-IP", address)]
        return await service.get("/api/status", headers=[*headers, *bearer(token).items()])

    async with closed_service(NATSTREAM_CLIENT_HEADER="Fly-Client-IP") as service:
        for _ in range(attempts_module.MAX_FAILURES):
            assert (await guess(service, "198.51.100.7", "wrong")).status_code == 401
        response = await guess(service, "198.51.100.7", TOKEN)
        assert response.status_code == 429
        assert int(response.headers["Retry-After"]) > 0
        assert (await guess(service, "198.51.100.8", TOKEN)).status_code == 200
        cookie = cookie_of(await log_in(service))
        headers = {**cookie, "Fly-Client-IP": "198.51.100.7"}
        assert (await service.get("/api/status", headers=headers)).status_code == 200
    async with closed_service() as service:
        for _ in range(attempts_module.MAX_FAILURES + 1):
            assert (await guess(service, "198.51.100.7", "wrong")).status_code == 401
        assert (await guess(service, "198.51.100.7", TOKEN)).status_code == 200


# --- logging in ----------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [{"json": {"token": TOKEN}}, {"data": {"token": f" {TOKEN} "}}])
async def test_a_login_gives_a_cookie_that_reads(body: Mapping[str, Any]) -> None:
    """Out of reach of scripts and of other sites; it ends, and it is not the token."""
    async with closed_service() as service:
        response = await log_in(service, **body)
        assert response.status_code == 204
        assert TOKEN not in response.headers["Set-Cookie"]
        attributes = response.headers["Set-Cookie"].split("; ")[1:]
        assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(attributes)
        assert "Secure" not in attributes
        (age,) = (int(a.partition("=")[2]) for a in attributes if a.startswith("Max-Age"))
        assert 0 < age <= 7 * 86_400
        for path in ("/api/status", "/api/facets", "/readyz", "/metrics"):
            assert (await service.get(path, headers=cookie_of(response))).status_code == 200
        async with service.stream(headers=cookie_of(response)):
            pass
        response = await service.client.post(f"{service.url}/api/logout")
        assert response.status_code == 204
        assert "Max-Age=0" in response.headers["Set-Cookie"]


@pytest.mark.parametrize(
    ("environ", "headers", "secure"),
    [
        ({}, {}, False),
        ({}, {"X-Forwarded-Proto": "https", "Fly-Forwarded-Proto": "https"}, False),
        ({}, {"Origin": "https://logs.example", "Host": "logs.example"}, True),
        ({}, {"Origin": "http://logs.example", "Host": "logs.example"}, False),
        ({"NATSTREAM_CLIENT_HEADER": "Fly-Client-IP"}, {"Fly-Forwarded-Proto": "https"}, True),
        ({"NATSTREAM_CLIENT_HEADER": "Fly-Client-IP"}, {"X-Forwarded-Proto": "https"}, True),
        ({"NATSTREAM_CLIENT_HEADER": "Fly-Client-IP"}, {"X-Forwarded-Proto": "http"}, False),
    ],
)
async def test_the_cookie_is_secure_behind_tls(
    environ: dict[str, Any], headers: dict[str, str], secure: bool
) -> None:
    """As the browser itself says, or a proxy that is configured to be trusted."""
    async with closed_service(**environ) as service:
        response = await log_in(service, headers=headers)
        assert ("Secure" in response.headers["Set-Cookie"].split("; ")) is secure


async def test_a_cookie_outlives_a_restart_and_ends_with_its_token() -> None:
    """The keys are made of the tokens: all machines agree, and rotation needs nothing else."""
    async with closed_service(NATSTREAM_TOKEN="old-one") as service:
        cookie = cookie_of(await log_in(service, json={"token": "old-one"}))
    async with closed_service(NATSTREAM_TOKEN="new-one,old-one") as service:
        assert (await service.get("/api/status", headers=cookie)).status_code == 200
        newer = cookie_of(await log_in(service, json={"token": "new-one"}))
    async with closed_service(NATSTREAM_TOKEN="new-one") as service:
        assert (await service.get("/api/status", headers=cookie)).status_code == 401
        assert (await service.get("/api/status", headers=newer)).status_code == 200


async def test_a_cookie_that_is_not_ours_is_none_and_no_guess() -> None:
    """Cut, changed, expired or another service's: 401, at once."""
    text = grant_text()
    spoiled = [
        text[:-1],
        f"{text[:-2]}{'A' if text[-2] != 'A' else 'B'}{text[-1]}",
        f"x{text}",
        text.partition(".")[0],
        grant_text(seconds=-1),
        grant_text(token="another-service"),
        TOKEN[::-1],
    ]
    async with closed_service() as service:
        assert (await service.get("/api/status", headers={"Cookie": f"{COOKIE}={text}"})).is_success
        for value in spoiled:
            response = await service.get("/api/status", headers={"Cookie": f"{COOKIE}={value}"})
            assert response.status_code == 401, value
        assert service.service.core.metrics.counters.wrong_tokens == 0


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"json": {}}, 400),
        ({"json": []}, 400),
        ({"json": {"token": 7}}, 400),
        ({"json": {"token": ["x"]}}, 400),
        ({"content": b'{"token": ', "headers": {"Content-Type": "application/json"}}, 400),
        ({"content": b"\xff\xfe", "headers": {"Content-Type": "application/json"}}, 400),
        ({"content": TOKEN, "headers": {"Content-Type": "text/plain"}}, 400),
        (
            {"content": b'{"token": "\\ud800"}', "headers": {"Content-Type": "application/json"}},
            401,
        ),
        ({"content": b"x" * 70_000, "headers": {"Content-Type": "application/json"}}, 413),
    ],
)
async def test_what_is_no_login_is_refused(options: dict[str, Any], status: int) -> None:
    """With one sentence, and no cookie."""
    async with closed_service() as service:
        response = await log_in(service, **({"json": None} | options))
        assert response.status_code == status
        assert list(response.json()) == ["error"]
        assert "Set-Cookie" not in response.headers


@pytest.mark.parametrize("path", ["login", "logout"])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "https://evil.example", "Host": "logs.example"}, 403),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "null"}, 204),
        ({"Origin": "https://logs.example", "Host": "logs.example"}, 204),
        ({"Origin": "https://logs.example:8443", "Host": "logs.example:8443"}, 204),
        ({}, 204),
    ],
)
async def test_other_sites_can_neither_log_in_nor_out(
    path: str, headers: dict[str, str], status: int
) -> None:
    """Not even one that may read the API."""
    async with closed_service(NATSTREAM_CORS_ORIGINS="https://evil.example") as service:
        response = await service.client.post(
            f"{service.url}/api/{path}", json={"token": TOKEN}, headers=headers
        )
        assert response.status_code == status


async def test_a_proxy_that_changes_the_host_needs_the_names() -> None:
    """`NATSTREAM_HOSTS` says which origins are this service's own."""
    headers = {"Origin": "https://logs.example", "Host": "127.0.0.1:8080"}
    async with closed_service() as service:
        assert (await log_in(service, headers=headers)).status_code == 403
    async with closed_service(NATSTREAM_HOSTS="logs.example,127.0.0.1") as service:
        assert (await log_in(service, headers=headers)).status_code == 204


# --- grants --------------------------------------------------------------------------------------


@given(st.text())
def test_no_text_is_a_grant_by_chance(text: str) -> None:
    """Nor does any make it fail."""
    assert keyring().grant(text) is None
    assert keyring().find(text) is None


PAIRS = st.tuples(
    st.sampled_from(["app", "region", "machine", "level", "stream", "q", "not"]),
    st.text(min_size=1, max_size=30).filter(lambda text: text.replace(",", "").strip()),
)


@given(st.lists(PAIRS, max_size=5))
def test_a_grant_comes_back_as_it_was_signed(pairs: list[tuple[str, str]]) -> None:
    """With every character of its query."""
    try:
        grant = Grant(math.floor(time.time()) + 60, tuple(pairs))
    except Exception:  # noqa: BLE001 - an expression that is none; the query's tests have these
        return
    text = keyring().sign(grant, TOKEN)
    assert set(text) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
    read = keyring().grant(text)
    assert read == grant
    assert read is not None
    assert read.scope == grant.scope
    assert (read.scope is None) is (not pairs)


def test_a_grant_of_another_release_never_widens() -> None:
    """A parameter that this one does not know makes it worthless."""
    signer = keyring()._signers[TOKEN]
    later = time.time() + 60
    assert keyring().grant(str(signer.dumps({"e": later, "q": [["app", "web"]]}))) is not None
    payloads: list[Any] = [
        {"e": later, "q": [["app", "web"], ["tenant", "7"]]},
        {"e": later, "q": [["app", ""]]},
        {"e": later, "q": [["app"]]},
        {"e": later, "q": 7},
        {"e": "for ever", "q": []},
        {"q": []},
        {"e": later},
        [],
        7,
    ]
    for payload in payloads:
        assert keyring().grant(str(signer.dumps(payload))) is None, payload
