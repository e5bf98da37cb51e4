"""Load harnesses: what natstream costs and how late it is, beside what one would use instead.

`python -m benchmarks` runs them all; README.md says what is measured and how to read it.
"""
