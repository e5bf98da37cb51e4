"""The page and the HTTP API, on quart-trio.

In: HTTP requests. Out: the live page, streams from the hub, counts, and health for operators.
Every answer stays within the reader's scope, and every failure under `/api` is a JSON object.
"""
