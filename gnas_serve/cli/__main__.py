"""`python -m gnas_serve.cli`: the same as the `gnas-serve` script, for child processes."""

from gnas_serve.cli.app import main

main()
