"""A bound, listening socket, or one sentence about why there is none."""

from __future__ import annotations

import errno
import socket

from natstream.config.settings import Bind
from natstream.errors import ListenError

__all__ = ["bound", "listen"]

# Connections the kernel keeps for us: many clients come back at once after a deploy.
BACKLOG = 2_048


def listen(bind: Bind, *, shared: bool = False) -> socket.socket:
    """A socket that is bound to `bind` and listens; `::` takes IPv4 too, or alone without IPv6.

    Args:
        bind: where.
        shared: other processes of this user that say so too may listen there as well.

    Raises:
        ListenError: the address is taken, not allowed or not of this machine.
    """
    sock = bound(bind, shared=shared)
    try:
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise ListenError(_why_not(bind, error, shared)) from error
    return sock


def bound(bind: Bind, *, shared: bool = False) -> socket.socket:
    """The same, but nobody can connect to it yet.

    Raises:
        ListenError: the address is taken, not allowed or not of this machine.
    """
    try:
        found = socket.getaddrinfo(
            bind.host, bind.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:  # gaierror, or a name that cannot be encoded
        raise ListenError(
            f"{bind.host} is no address of this machine: {error.strerror}."
        ) from error
    # A name of both families (localhost) gets IPv4, which clients of both of them try.
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
        raise ListenError(_why_not(bind, error, shared)) from error
    return sock


def _why_not(bind: Bind, error: OSError, shared: bool) -> str:
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
            return f"{bind.host} is no address of this machine: {error.strerror}."
        case _:
            return f"{bind} cannot be listened on: {error.strerror}."
