"""Fly's log subjects as a source: one NATS connection, its messages parsed and published.

In: the server's addresses and credentials. Out: entries for a sink, and how the connection is.
Only this package knows nats-py and trio-asyncio.
"""
