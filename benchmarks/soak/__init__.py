"""What natstream survives: one fault a module, against the real service and a real nats-server.

    python -m benchmarks.soak [--minutes 5] [--write] [FAULT …]

The service runs in a process of its own; a fault is brought about again and again, and what was to
hold is looked at from outside: what readers and senders got, `/readyz`, `/metrics`, `/proc`. What
is right or wrong (nothing lost, doubled, leaked or hung) is told apart from figures (seconds and
bytes), which a busy machine spoils: `tests/test_soak.py` looks at the first only.
"""
