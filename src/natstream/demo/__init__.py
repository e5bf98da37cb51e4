"""The demo: invented traffic of a tea shop, through a real NATS server, into the whole service.

In: nothing but the program itself. Out: a running service whose page shows live lines. It needs no
account, writes only to a temporary directory, and removes that at its end.
"""
