"""The command line, run in this process."""

import pytest

from gnas_serve.cli.app import main


def call(*arguments):
    """Run a command, and give its exit code."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return ended.value.code
