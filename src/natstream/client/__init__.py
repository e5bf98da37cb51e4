"""A running natstream service, read by a program.

In: its address and a token or link. Out: its entries, notices and gaps as values, resumed after
each disconnect without losing or repeating a line.
"""
