"""Fly's log subjects as a source: one NATS connection, whose messages become entries.

In: the servers' addresses, and the credentials. Out: entries for a sink, and the state of the
connection. No other package knows nats-py and trio-asyncio.
"""
