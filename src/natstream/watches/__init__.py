"""Watches: the operator is told when lines match, or when none has matched for too long.

In: a TOML file, and the lines of the hub. Out: messages to Slack, Discord, ntfy or another web
server, each sent once for an event, with the number of matches and up to five lines.
"""
