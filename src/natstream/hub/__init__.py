"""The broadcast: entries get numbers, the newest are remembered, and every reader gets each once.

In: entries and notices from sources. Out: for each reader, batches in order and exact gaps. Nothing
here opens a socket; publishing never waits for a reader.
"""
