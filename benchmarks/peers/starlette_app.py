"""A log broadcaster with Starlette, sse-starlette, uvicorn and nats-py, as is usual.

    python starlette_app.py PORT        (NATS_URL, NATS_USER, NATS_PASSWORD in the environment)

Each line is decoded and encoded once; each reader has an asyncio.Queue of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

import uvicorn
from nats.aio.msg import Msg
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

import nats

# A reader that is so many lines behind loses lines, because it would fill the memory otherwise.
QUEUE_SIZE = 10_000

queues: set[asyncio.Queue[str]] = set()


async def on_message(message: Msg) -> None:
    _, app, region, machine = message.subject.split(".")
    line = json.loads(message.data)
    text = json.dumps(
        {
            "message": line["message"],
            "timestamp": int(datetime.fromisoformat(line["timestamp"]).timestamp() * 1000),
            "type": "log",
            "persistent": False,
            "app": app,
            "region": region,
            "machine": machine,
            "stream": "stdout",
            "level": line["log"]["level"],
        }
    )
    for queue in queues:
        try:  # noqa: SIM105 - several times as fast as suppress(), at every line to every reader
            queue.put_nowait(text)
        except asyncio.QueueFull:
            pass


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    connection = await nats.connect(
        os.environ["NATS_URL"], user=os.environ["NATS_USER"], password=os.environ["NATS_PASSWORD"]
    )
    await connection.subscribe("logs.>", cb=on_message)
    await connection.flush()
    yield
    await connection.close()


async def events(request: Request) -> EventSourceResponse:
    queue: asyncio.Queue[str] = asyncio.Queue(QUEUE_SIZE)
    queues.add(queue)

    async def stream() -> AsyncIterator[ServerSentEvent]:
        try:
            while True:
                yield ServerSentEvent(await queue.get())
        finally:
            queues.discard(queue)

    return EventSourceResponse(stream())


async def ready(request: Request) -> PlainTextResponse:
    return PlainTextResponse("ready")


app = Starlette(routes=[Route("/events", events), Route("/ready", ready)], lifespan=lifespan)

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=False, log_level="warning")
