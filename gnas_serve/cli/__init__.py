"""The gnas-serve command line; each file is one group of commands."""
