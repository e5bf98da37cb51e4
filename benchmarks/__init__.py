"""Load harnesses: the cost and the latency of natstream, beside those of its alternatives.

`python -m benchmarks` runs them all. README.md explains the measurements and how to read them.
"""
