"""The operator's side: settings, and how the process is prepared for them.

In: environment variables, read once. Out: one frozen `Settings` object, warnings about settings
that hold each other up, listening sockets, and the service's own log.
"""
