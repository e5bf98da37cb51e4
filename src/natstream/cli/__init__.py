"""The commands of `natstream`.

In: arguments and the environment. Out: a service, a terminal's log lines, or a report; and an exit
status. A wrong argument or setting is one sentence and exits with 2.
"""
