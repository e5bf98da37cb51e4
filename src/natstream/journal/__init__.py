"""A JetStream stream between the sources and the hub, shared by all processes.

In: entries of this process's sources. Out: the stream's entries under the stream's numbers; while
the stream cannot be used, this process's own lines. A line that was acknowledged is stored once.
"""
