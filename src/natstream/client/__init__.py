"""A client that reads a running natstream service.

In: the address of the service, and a token or link. Out: its entries, notices and gaps as values.
After each disconnect the client resumes, without losing or repeating a line.
"""
