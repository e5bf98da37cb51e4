"""Fly tokens: the header that shows one, and tokens that were cut off."""

from __future__ import annotations

import base64

import msgspec
import pytest

from natstream.fly_api.token import authorization, token_fault

MACAROON = "fm2_" + base64.b64encode(msgspec.msgpack.encode([1, "https://api", b"x" * 40])).decode()


@pytest.mark.parametrize(
    ("token", "header"),
    [
        ("abc", "Bearer abc"),
        ("FlyV1 fm2_abc", "FlyV1 fm2_abc"),
        ("fm2_abc,fm2_def", "FlyV1 fm2_abc,fm2_def"),
        ("  fm1r_abc\n", "FlyV1 fm1r_abc"),
        ("flyv1  fm1a_abc", "FlyV1 fm1a_abc"),
        ("FlyV1 abc", "Bearer abc"),
    ],
)
def test_the_scheme_follows_from_the_kind_of_token(token: str, header: str) -> None:
    """A macaroon is shown as FlyV1, and any other token as a bearer token."""
    assert authorization(token) == header


@pytest.mark.parametrize("token", ["", " ", "a b", "a\nb", "fm2_a\r\nX: y", "gehéim"])
def test_a_token_that_cannot_be_sent_is_refused_without_being_quoted(token: str) -> None:
    """The error about characters of no token does not hold the token."""
    with pytest.raises(ValueError, match="characters of no token") as refused:
        authorization(token)
    assert not token.strip() or token.strip() not in str(refused.value)


def test_a_whole_macaroon_has_no_fault() -> None:
    """Macaroons that decode look complete, with the scheme and in a list too."""
    assert token_fault(MACAROON) == ""
    assert token_fault(f"FlyV1 {MACAROON},{MACAROON}") == ""
    assert token_fault("an-older-opaque-token") == ""


@pytest.mark.parametrize("kept", [5, 8, 20, len(MACAROON) - 5])
def test_a_cut_macaroon_is_told_from_a_wrong_one(kept: int) -> None:
    """A macaroon that was cut anywhere looks cut off."""
    assert "cut off" in token_fault(MACAROON[:kept])
    assert "cut off" in token_fault(f"{MACAROON},{MACAROON[:kept]}")
