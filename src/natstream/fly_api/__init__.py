"""Fly's own HTTP interfaces: the past of an app's logs, and the names of its machines.

In: a Fly token and the apps. Out: entries of the past, and what is known of a machine. Fly does not
promise these interfaces, so every failure leaves the service as it is without them.
"""
