"""The demo: the whole service, and the invented traffic of a tea shop on a real NATS server.

In: nothing but the program itself. Out: a running service whose page shows live lines. The demo
needs no account. It writes only to a temporary directory, which it removes at its end, unless it
is asked to keep the lines in a journal.
"""
