"""An address → a bound, listening socket, or one sentence that says why there is none.

In: a `Bind`. Out: a socket that the caller owns and closes. `ListenError` says whether the address
is in use, forbidden or not of this machine, and what to do.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from natstream.config.settings import Bind
from natstream.errors import ListenError

__all__ = ["bound", "listen", "naming_setting"]

# Connections that the kernel keeps until they are accepted. After a deployment all clients
# reconnect in the same second, and the usual limit of 128 would refuse most of them.
BACKLOG = 2_048


def listen(bind: Bind, *, shared: bool = False) -> socket.socket:
    """Return a socket that listens on an address.

    A socket on `::` accepts IPv4 too. On a machine without IPv6 it accepts IPv4 alone.

    Args:
        bind: the address.
        shared: other processes of this user may listen there too, if they also set `shared`.

    Raises:
        ListenError: the address is in use, forbidden or not of this machine.
    """
    sock = bound(bind, shared=shared)
    try:
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise ListenError(_explain(bind, error, shared)) from error
    return sock


def bound(bind: Bind, *, shared: bool = False) -> socket.socket:
    """Return a socket that is bound to an address, but does not yet accept connections.

    Raises:
        ListenError: the address is in use, forbidden or not of this machine.
    """
    if not bind.host:
        raise ListenError("An empty host is no address: give 127.0.0.1 for this machine, or ::.")
    if not 0 <= bind.port <= 65_535:
        raise ListenError(f"{bind.port} is not a port: choose one from 1 to 65535, or 0 for any.")
    try:
        found = socket.getaddrinfo(
            bind.host, bind.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, ValueError) as error:  # gaierror, or a name that cannot be encoded
        why = error.strerror if isinstance(error, OSError) else error
        raise ListenError(f"{bind.host!r} is not an address of this machine: {why}.") from error
    # For a name with addresses of both families (localhost), IPv4 is chosen, because clients of
    # both families try it.
    family, kind, protocol, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    try:
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if shared:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, bind.host != "::")
            sock.bind(address)
        except BaseException:
            sock.close()
            raise
    except OSError as error:
        if bind.host == "::" and error.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
            return bound(Bind("0.0.0.0", bind.port), shared=shared)  # noqa: S104 - what "::" asks for
        raise ListenError(_explain(bind, error, shared)) from error
    return sock


@contextmanager
def naming_setting(variable: str) -> Iterator[None]:
    """Name the setting that holds the address in every `ListenError` of the block."""
    try:
        yield
    except ListenError as error:
        raise ListenError(f"{variable}: {error}") from error


def _explain(bind: Bind, error: OSError, shared: bool) -> str:
    match error.errno:
        case errno.EADDRINUSE if shared:
            return (
                f"{bind} is taken by a process that does not share it: stop it, start it with "
                "NATSTREAM_SHARE_PORT=on too, or choose another port."
            )
        case errno.EADDRINUSE:
            return f"{bind} is taken by another process: stop it, or choose another port."
        case errno.EACCES:
            return f"{bind} needs privileges that this process lacks: choose a port above 1023."
        case errno.EADDRNOTAVAIL | errno.EAFNOSUPPORT:
            return f"{bind.host} is not an address of this machine: {error.strerror}."
        case _:
            return f"natstream cannot listen on {bind}: {error.strerror}."
