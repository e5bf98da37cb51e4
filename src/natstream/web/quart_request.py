"""One request to the application, without the tasks that quart-trio 0.12.0 adds to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import trio
from quart.typing import ResponseTypes
from quart.utils import encode_headers
from quart_trio.asgi import TrioASGIHTTPConnection
from werkzeug.wrappers import Response as WerkzeugResponse

from natstream.server.connection import piece_sender
from natstream.server.request_messages import on_disconnect

__all__ = ["QuartRequest"]


# What ASGI calls receive and send.
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


class QuartRequest(TrioASGIHTTPConnection):
    """Answers one request.

    quart-trio waits for the client's disconnect in a task of its own, beside another one for the
    response. Here a request whose body has arrived is answered in the task that the server has
    started, and our server cancels that at the disconnect. The request is dropped before its
    response is sent. Together this saves 10 KB for each reader.

    A body in pieces is sent to the connection directly once the response has begun, because the
    messages of ASGI and hypercorn's events would take as long as the rest of a small send.
    """

    async def __call__(self, receive: Receive, send: Send) -> None:
        """Answer the request, until the response ends or the client has gone."""
        message: Any = await receive()
        responding = trio.CancelScope()
        is_whole = message["type"] == "http.request" and not message.get("more_body", False)
        if is_whole and on_disconnect(self.scope, responding.cancel):
            with responding:
                response = await self._answer(message.get("body", b""), send)
                # The query of a reader with a large filter has 16 KB.
                self.scope["query_string"] = b""
                await self._send_response(send, response)
            return

        first = [message]

        async def receive_again() -> Any:
            return first.pop() if first else await receive()

        await super().__call__(receive_again, send)

    async def _answer(self, body: bytes, send: Send) -> ResponseTypes:
        """Return the response to a request; the request itself is dropped, and need not stay."""
        request = self._create_request_from_scope(send)
        request.body.append(body)
        request.body.set_complete()
        return await self.app.handle_request(request)

    async def _send_response(self, send: Send, response: ResponseTypes) -> None:
        if isinstance(response, WerkzeugResponse):
            await super()._send_response(send, response)
            return
        headers = encode_headers(response.headers)
        await send(
            {"type": "http.response.start", "status": response.status_code, "headers": headers}
        )
        sender = piece_sender(self.scope)
        async with response.response as body:
            async for data in body:
                piece = data.encode() if isinstance(data, str) else data
                if sender is None:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                elif piece:
                    await sender.send_piece(piece)
        await send({"type": "http.response.body", "body": b"", "more_body": False})
