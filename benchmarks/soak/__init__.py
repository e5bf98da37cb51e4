"""Faults that natstream survives: one fault a module, on the real service and a real nats-server.

    python -m benchmarks.soak [--minutes 5] [--write] [FAULT …]

The service runs in a process of its own. A fault is caused again and again, and its effect is
observed from outside: the lines of readers, the answers to senders, `/readyz`, `/metrics` and
`/proc`. A finding is either right or wrong (for example a lost line), or it is a figure (seconds or
bytes). `tests/test_soak.py` ignores the figures, because they depend on how busy the machine is.
"""
