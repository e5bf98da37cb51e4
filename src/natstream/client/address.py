"""The address of a service, as short as a person types it → the URL of its stream. No I/O.

The address may also be a link that `natstream link` has made, which holds a token. A text that is
not an address raises `ConfigurationError`.
"""

from __future__ import annotations

import ipaddress
import re

import httpx

from natstream.errors import ConfigurationError

__all__ = ["DEFAULT_URL", "is_private", "link_token", "parse_url"]

DEFAULT_URL = "http://127.0.0.1:8080"
DEFAULT_PORT = 8080
PATH = "/api/logs"
LINK = "/link"


def parse_url(text: str) -> httpx.URL:
    """Return the URL of the stream of the service at `text`.

    `text` may lack a scheme. Then a public name gets https, and a private one (see `is_private`)
    gets http. A private name without a scheme and a port gets the service's default port.
    Flycast is an exception, because it listens on port 80.

    Raises:
        ConfigurationError: `text` is not an address, or is a link without its token.
    """
    text = text.strip()
    shown = _without_secrets(text)
    try:
        url = httpx.URL(text if "://" in text else f"http://{text}")
        if "://" not in text and url.port is None:
            if not is_private(url.host):
                url = url.copy_with(scheme="https")
            elif not url.host.endswith(".flycast"):
                url = url.copy_with(port=DEFAULT_PORT)
    except httpx.InvalidURL as error:
        reason = f": {error}" if shown == text else "."
        raise ConfigurationError(f"{shown!r} is not an address{reason}") from None
    if url.scheme not in ("http", "https") or not url.host or (url.port or 0) > 65535:
        raise ConfigurationError(
            f"{shown!r} is not an address. Write it as http://host:port or https://host."
        )
    path = url.path.rstrip("/")
    if path.endswith(LINK):
        if not url.fragment:
            raise ConfigurationError(
                "This link lacks the part after the #, which is what gives access. Copy the whole "
                "link as `natstream link` has printed it, and put it in quotes."
            )
        path = path.removesuffix(LINK)
    return url.copy_with(path=path if path.endswith(PATH) else path + PATH, fragment=None)


def _without_secrets(text: str) -> str:
    """Return an address for people: without a link's token, and without a user and a password."""
    return re.sub(r"^(.*?://)?.*@|#.*", r"\1", text, flags=re.DOTALL)


def link_token(text: str) -> str:
    """Return the token in a link (`https://host/link#token`), or "" for any other text."""
    address, _, token = text.strip().partition("#")
    return token if address.partition("?")[0].rstrip("/").endswith(LINK) else ""


def is_private(host: str) -> bool:
    """Return whether `host` is this machine, or an address or a name in a private network.

    Fly's private network counts as private, because WireGuard encrypts its traffic.
    """
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith((".internal", ".flycast", ".local", ".localhost"))
