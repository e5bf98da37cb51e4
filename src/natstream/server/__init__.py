"""hypercorn, mended: it serves an ASGI application, and no client can hold it up or end it.

In: listening sockets, an application and limits. Out: its responses over HTTP/1.1. Each fault of
hypercorn and h11 is mended in one named place, because a new release may not need it any more.
"""
