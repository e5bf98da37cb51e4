"""The HTTP log drain as a source, and the library's lines by machine.

In: POST requests of log senders. Out: entries for a sink and a collector, and an answer that says
what was accepted. A body is taken whole or not at all.
"""
