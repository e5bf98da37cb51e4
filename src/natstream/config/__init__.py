"""The operator's side: the settings, and a process that is prepared for them.

In: environment variables, read once. Out: one frozen `Settings` object, warnings about settings
that have no effect or are dangerous, listening sockets, and the service's own log.
"""
