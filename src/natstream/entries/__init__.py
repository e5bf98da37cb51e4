"""Log lines as values: payloads become entries, and filters choose among entries.

In: bytes and decoded objects. Out: `LogEntry` values, and predicates over them. Every function is
pure, and no log line makes one raise, because a bad line is data.
"""
