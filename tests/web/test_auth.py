"""Authentication: tokens, guessing, logging in, and signed grants."""

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
from natstream.server import login_throttle
from natstream.server.login_throttle import LoginThrottle
from natstream.web.auth import COOKIE, OPEN, TLS_COOKIE
from natstream.web.grants import Grant, Keyring

# --- tokens --------------------------------------------------------------------------------------


async def test_without_a_token_nothing_is_readable_but_the_pages() -> None:
    """A request without a token gets a 401 on every route that is not named as open."""
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
    """Each of several tokens opens everything, so that the operator can replace them in turn."""
    async with closed_service(NATSTREAM_TOKEN="new-one, old-one") as service:
        for token in ("new-one", "old-one"):
            for path in ("/api/status", "/api/facets", "/readyz", "/metrics"):
                response = await service.get(path, headers=bearer(token))
                assert response.status_code == 200, path
        assert (
            await service.get("/api/status", headers={"authorization": "bEARER new-one"})
        ).is_success


@pytest.mark.parametrize(
    "secret",
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
async def test_a_text_that_is_not_a_token_is_refused(
    secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A text that is not a token is refused, even if it resembles one."""
    monkeypatch.setattr(login_throttle, "DELAY", 0)
    async with closed_service() as service:
        headers = {"Authorization": f"Bearer {secret}".strip().encode()}
        assert (await service.get("/api/status", headers=headers)).status_code == 401
        response = await log_in(service, json={"token": secret})
        assert response.status_code in (400, 401)
        assert "Set-Cookie" not in response.headers


@pytest.mark.parametrize("secret", ["first-one", "second-one", "wrong", "first-on", ""])
def test_tokens_are_compared_in_constant_time(secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each token is compared in constant time, also after a match, and by no other comparison."""
    tokens = ("first-one", "second-one")
    ring = Keyring(tokens)
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return compare_digest(one, other)

    compare_digest = hmac.compare_digest
    monkeypatch.setattr("natstream.server.token_guard.hmac.compare_digest", compare)
    assert ring.find(secret) == (secret if secret in tokens else None)
    assert compared == [(secret.encode(), token.encode()) for token in tokens]
    monkeypatch.setattr(
        "natstream.server.token_guard.hmac.compare_digest", lambda one, other: False
    )
    assert ring.find(secret) is None
    assert ring.grant(secret) is None


async def test_another_scheme_does_not_hide_the_cookie() -> None:
    """The cookie counts even if the browser sends Basic credentials that belong to a proxy."""
    async with closed_service() as service:
        cookie = cookie_of(await log_in(service))
        response = await service.get(
            "/api/status", headers={**cookie, "Authorization": "Basic eDp5"}
        )
        assert response.status_code == 200


async def test_a_token_in_the_address_is_not_accepted() -> None:
    """The service accepts no token in an address, because addresses are logged."""
    async with closed_service() as service:
        assert (await service.get(f"/api/logs?token={TOKEN}")).status_code == 401
        response = await service.get(f"/api/logs?token={TOKEN}", headers=bearer())
        assert response.status_code == 400
        assert response.json()["parameter"] == "token"
        assert TOKEN not in response.text


async def test_without_tokens_everything_is_open() -> None:
    """A service without tokens is open, and a login succeeds so that links lead to the page."""
    async with open_service() as service:
        assert (await service.get("/api/status")).json()["authentication"] is False
        response = await log_in(service, json={"link": "of another service"})
        assert (response.status_code, response.headers.get("Set-Cookie")) == (204, None)


# --- guessing ------------------------------------------------------------------------------------


async def test_a_wrong_token_is_answered_late(autojump_clock: trio.abc.Clock) -> None:
    """Wrong tokens get their answers late, and only a limited number of them each second."""
    throttle = LoginThrottle()
    ends: list[float] = []

    async def guess() -> None:
        await throttle.fail("")
        ends.append(trio.current_time() - start)

    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        for _ in range(500):
            nursery.start_soon(guess)
    turns = 500 // login_throttle.AT_ONCE
    assert ends == pytest.approx(
        [turn * login_throttle.DELAY for turn in range(1, turns + 1)
         for _ in range(login_throttle.AT_ONCE)]
    )  # fmt: skip


async def test_a_client_that_leaves_does_not_use_up_a_turn(
    autojump_clock: trio.abc.Clock,
) -> None:
    """A client that leaves gives up its turn, so that it does not delay the answer to another."""
    throttle = LoginThrottle()
    async with trio.open_nursery() as nursery:
        for _ in range(500):
            nursery.start_soon(throttle.fail, "")
        await trio.sleep(login_throttle.DELAY / 2)
        nursery.cancel_scope.cancel()
    start = trio.current_time()
    await throttle.fail("")
    assert trio.current_time() - start == login_throttle.DELAY


async def test_an_address_that_keeps_guessing_is_refused_for_a_while(
    autojump_clock: trio.abc.Clock,
) -> None:
    """An address that keeps guessing is refused with all of its /64, but no other address is."""
    throttle = LoginThrottle()
    for number in range(login_throttle.MAX_FAILURES):
        throttle.check("2001:db8::1")
        await throttle.fail(f"2001:db8::{number}")
        await throttle.fail("")
    with pytest.raises(TooManyAttempts) as caught:
        throttle.check("2001:db8::ffff")
    assert 0 < caught.value.retry_after <= login_throttle.WINDOW
    for other in ("2001:db8:1::1", "192.0.2.1", "no address", ""):
        throttle.check(other)
    await trio.sleep(caught.value.retry_after)
    throttle.check("2001:db8::1")


async def test_addresses_take_bounded_memory(
    autojump_clock: trio.abc.Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table of addresses is bounded, because the oldest address is removed for a new one."""
    monkeypatch.setattr(login_throttle, "MAX_ADDRESSES", 10)
    throttle = LoginThrottle()
    for number in range(100):
        await throttle.fail(f"192.0.2.{number}")
    assert len(throttle._addresses) == 10


async def test_guessing_clients_lock_out_no_other_client() -> None:
    """A right token gets its answer at once while hundreds of wrong tokens wait for theirs.

    A waiting client gets no answer early, neither that the token is wrong nor that there are too
    many.
    """
    answers: list[int] = []
    async with closed_service() as service, trio.open_nursery() as nursery:

        async def guess() -> None:
            answers.append((await service.get("/api/status", headers=bearer("wrong"))).status_code)

        start = trio.current_time()
        for _ in range(300):
            nursery.start_soon(guess)
        guard = service.service.core.metrics.guard
        with trio.fail_after(PATIENCE):
            while guard.wrong < 300:
                await trio.sleep(0.01)
        with trio.fail_after(PATIENCE):
            assert (await service.get("/api/status", headers=bearer())).status_code == 200
            assert (await log_in(service)).status_code == 204
        await trio.sleep(2 * login_throttle.DELAY)
        turns = (trio.current_time() - start) / login_throttle.DELAY
        assert 0 < len(answers) <= turns * login_throttle.AT_ONCE
        assert set(answers) == {401}
        nursery.cancel_scope.cancel()


async def test_limits_by_address_need_a_trusted_header(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a trusted header names the client's address, and only the last one in it counts."""
    monkeypatch.setattr(login_throttle, "DELAY", 0)

    async def guess(service: RunningService, address: str, token: str) -> httpx.Response:
        headers = [("Fly-Client-IP", "203.0.113.9"), ("Fly-Client-IP", address)]
        return await service.get("/api/status", headers=[*headers, *bearer(token).items()])

    async with closed_service(NATSTREAM_CLIENT_HEADER="Fly-Client-IP") as service:
        for _ in range(login_throttle.MAX_FAILURES):
            assert (await guess(service, "198.51.100.7", "wrong")).status_code == 401
        response = await guess(service, "198.51.100.7", TOKEN)
        assert response.status_code == 429
        assert int(response.headers["Retry-After"]) > 0
        assert (await guess(service, "198.51.100.8", TOKEN)).status_code == 200
        cookie = cookie_of(await log_in(service))
        headers = {**cookie, "Fly-Client-IP": "198.51.100.7"}
        assert (await service.get("/api/status", headers=headers)).status_code == 200
    async with closed_service() as service:
        for _ in range(login_throttle.MAX_FAILURES + 1):
            assert (await guess(service, "198.51.100.7", "wrong")).status_code == 401
        assert (await guess(service, "198.51.100.7", TOKEN)).status_code == 200


# --- logging in ----------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [{"json": {"token": TOKEN}}, {"data": {"token": f" {TOKEN} "}}])
async def test_a_login_gives_a_cookie_that_reads(body: Mapping[str, Any]) -> None:
    """The cookie of a login can read, expires, is closed to scripts, and is not the token."""
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
    """The cookie is marked Secure if the browser or a trusted proxy says that TLS is used."""
    async with closed_service(**environ) as service:
        response = await log_in(service, headers=headers)
        assert ("Secure" in response.headers["Set-Cookie"].split("; ")) is secure
        name = response.headers["Set-Cookie"].partition("=")[0]
        assert name == (TLS_COOKIE if secure else COOKIE)
        assert (await service.get("/api/status", headers=cookie_of(response))).status_code == 200


async def test_behind_tls_only_its_cookie_counts() -> None:
    """Where a trusted proxy says that TLS is used, a cookie of the plain name does not count."""
    async with closed_service(NATSTREAM_CLIENT_HEADER="Fly-Client-IP") as service:
        for name, scheme, status in (
            (COOKIE, "https", 401),
            (TLS_COOKIE, "https", 200),
            (COOKIE, "http", 200),
        ):
            headers = {"Cookie": f"{name}={grant_text()}", "X-Forwarded-Proto": scheme}
            assert (await service.get("/api/status", headers=headers)).status_code == status
        both = {"Cookie": f"{COOKIE}={grant_text(('app', 'web'))}; {TLS_COOKIE}={grant_text()}"}
        assert "scope" not in (await service.get("/api/status", headers=both)).json()
        response = await service.client.post(f"{service.url}/api/logout", headers=both)
        assert len(response.headers.get_list("Set-Cookie")) == 2


@pytest.mark.parametrize("way", ["header", "cookie", "token", "link"])
async def test_every_way_to_show_a_secret_is_counted_and_delayed(way: str) -> None:
    """A wrong secret is counted and answered late, whichever way it came."""
    async with closed_service() as service:
        start = trio.current_time()
        match way:
            case "header":
                answer = await service.get("/api/status", headers=bearer("wrong"))
            case "cookie":
                answer = await service.get("/api/status", headers={"Cookie": f"{COOKIE}=wrong"})
            case _:
                answer = await log_in(service, json={way: "wrong"})
        assert answer.status_code == 401
        assert trio.current_time() - start >= login_throttle.DELAY
        assert service.service.core.metrics.guard.wrong == 1


async def test_a_cookie_outlives_a_restart_and_ends_with_its_token() -> None:
    """A cookie is valid after a restart, and becomes invalid when its token is removed."""
    async with closed_service(NATSTREAM_TOKEN="old-one") as service:
        cookie = cookie_of(await log_in(service, json={"token": "old-one"}))
    async with closed_service(NATSTREAM_TOKEN="new-one,old-one") as service:
        assert (await service.get("/api/status", headers=cookie)).status_code == 200
        newer = cookie_of(await log_in(service, json={"token": "new-one"}))
    async with closed_service(NATSTREAM_TOKEN="new-one") as service:
        assert (await service.get("/api/status", headers=cookie)).status_code == 401
        assert (await service.get("/api/status", headers=newer)).status_code == 200


async def test_an_invalid_cookie_is_refused_and_counts_as_a_guess() -> None:
    """A cookie that is cut, changed or another service's, or holds a token, counts as a guess."""
    text = grant_text()
    spoiled = [
        text[:-1],
        f"{text[:-2]}{'A' if text[-2] != 'A' else 'B'}{text[-1]}",
        f"x{text}",
        text.partition(".")[0],
        grant_text(token="another-service"),
        TOKEN[::-1],
        TOKEN,
    ]
    async with closed_service() as service:
        assert (await service.get("/api/status", headers={"Cookie": f"{COOKIE}={text}"})).is_success
        for value in spoiled:
            response = await service.get("/api/status", headers={"Cookie": f"{COOKIE}={value}"})
            assert response.status_code == 401, value
            assert "Max-Age=0" in response.headers["Set-Cookie"], value
        assert service.service.core.metrics.guard.wrong == len(spoiled)
        expired = {"Cookie": f"{COOKIE}={grant_text(seconds=-1)}"}
        response = await service.get("/api/status", headers=expired)
        assert response.status_code == 401
        assert "Max-Age=0" in response.headers["Set-Cookie"]
        assert service.service.core.metrics.guard.wrong == len(spoiled)


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
async def test_a_malformed_login_is_refused(options: dict[str, Any], status: int) -> None:
    """A malformed login gets one sentence and no cookie."""
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
    """A page of another site can neither log in nor log out, even if it may read the API."""
    async with closed_service(NATSTREAM_CORS_ORIGINS="https://evil.example") as service:
        response = await service.client.post(
            f"{service.url}/api/{path}", json={"token": TOKEN}, headers=headers
        )
        assert response.status_code == status


async def test_a_proxy_that_changes_the_host_needs_the_names() -> None:
    """Behind a proxy that changes the host, a login needs the names in `NATSTREAM_HOSTS`."""
    headers = {"Origin": "https://logs.example", "Host": "127.0.0.1:8080"}
    async with closed_service() as service:
        assert (await log_in(service, headers=headers)).status_code == 403
    async with closed_service(NATSTREAM_HOSTS="logs.example,127.0.0.1") as service:
        assert (await log_in(service, headers=headers)).status_code == 204


# --- grants --------------------------------------------------------------------------------------


@given(st.text())
def test_no_text_is_a_grant_by_chance(text: str) -> None:
    """A random text is neither a token nor a grant, and raises no error."""
    assert keyring().grant(text) is None
    assert keyring().find(text) is None


PAIRS = st.tuples(
    st.sampled_from(["app", "region", "machine", "level", "stream", "q", "not"]),
    st.text(min_size=1, max_size=30).filter(lambda text: text.replace(",", "").strip()),
)


@given(st.lists(PAIRS, max_size=5))
def test_a_grant_comes_back_as_it_was_signed(pairs: list[tuple[str, str]]) -> None:
    """A signed grant is read back with every character of its query."""
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
    """A grant with an unknown parameter is refused, since ignoring it would show more lines."""
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
