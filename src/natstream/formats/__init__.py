"""Entries as bytes on the wire, and back.

In: entries and notices. Out: Server-Sent Events, NDJSON or text; and objects from NDJSON bodies.
Every function is pure. An event id, the text from which a client resumes, is written and read here.
"""
