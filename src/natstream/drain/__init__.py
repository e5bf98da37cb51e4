"""The HTTP log drain as a source, and the library's lines by machine.

In: POST requests of log senders. Out: entries for a sink and a collector, and an answer with the
number of lines that were accepted and dropped. A body is accepted whole or not at all.
"""
