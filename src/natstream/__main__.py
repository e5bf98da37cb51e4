"""`python -m natstream`."""

from natstream.cli import main

main(prog_name="natstream")
