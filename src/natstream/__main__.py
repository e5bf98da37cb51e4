"""`python -m natstream`."""

from natstream.cli.main import main

main(prog_name="natstream")
