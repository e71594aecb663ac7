"""The root of the command line, and the only place where errors become exit codes."""

from __future__ import annotations

import errno
import os
import signal
import sys
import traceback
from contextlib import suppress
from functools import cache
from types import FrameType
from typing import Any

import typer
from rich.text import Text

from gnas_serve import __version__
from gnas_serve.cli import (
    api_key,
    artifact,
    bench,
    containerize,
    data,
    doctor,
    evaluate,
    export,
    feedback,
    finetune,
    quickstart,
    recommend,
    schema,
    search,
    serve,
    streams,
    study,
)
from gnas_serve.cli.console import Output, OutputOption, diagnostics, emit, headed
from gnas_serve.errors import GnasError
from gnas_serve.plain_text import plain_text

EXIT_BUG = 1
EXIT_USAGE = 2
EXIT_IO = 10
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143

# From 0.29 on typer brings a click of its own; the class is taken from what typer exports, whichever click that is.
_CLICK_ERROR: Any = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")

# What the operating system refuses because of a path, a right or a disk: the world outside, no bug.
_OUTSIDE = frozenset(
    {
        errno.EACCES,
        errno.EDQUOT,
        errno.EEXIST,
        errno.EFBIG,
        errno.EIO,
        errno.EISDIR,
        errno.ELOOP,
        errno.EMFILE,
        errno.ENAMETOOLONG,
        errno.ENFILE,
        errno.ENOENT,
        errno.ENOSPC,
        errno.ENOTDIR,
        errno.EPERM,
        errno.EROFS,
    }
)

app = typer.Typer(
    name="gnas-serve",
    help="From interaction logs to a served graph recommender: search, train, export, serve.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(data.app, name="data", help="Make, check and describe interaction data.")
app.command()(search.search)
app.add_typer(study.app, name="study", help="Look at a study, or go on with it.")
app.command()(search.train)
app.command()(finetune.finetune)
app.command()(evaluate.evaluate)
app.command()(export.export)
app.command()(artifact.inspect)
app.command()(artifact.verify)
app.command()(artifact.sign)
app.command()(artifact.diff)
app.command()(recommend.recommend)
app.command()(recommend.explain)
app.command()(bench.bench)
app.command()(serve.build)
app.command()(containerize.containerize)
app.command()(serve.serve)
app.command()(api_key.api_key)
app.add_typer(feedback.app, name="feedback", help="Look at what servers have logged, and hand it to the next training.")
app.command()(quickstart.quickstart)
app.command()(doctor.doctor)
app.command()(schema.schema)


@app.command()
def version(output: OutputOption = Output.text) -> None:
    """Print the version."""
    emit({"version": __version__}, __version__, output)


class _TerminatedError(BaseException):
    """SIGTERM arrived: unwinds like Ctrl-C, so that temporary folders go and studies stay resumable."""


def _on_terminate(_signal: int, _frame: FrameType | None) -> None:
    raise _TerminatedError


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with the code of what happened.

    0 ok, 1 bug, 2 usage or config, 3 data, 4 no viable trial, 5 export or parity, 6 quality gate,
    7 latency objective, 8 integrity, 9 missing extra or environment, 10 IO, 130 / 143 interrupted.
    An ``OSError`` that no command foresaw is IO as well where a path, a right or a disk is to blame.
    """
    signal.signal(signal.SIGTERM, _on_terminate)
    streams.prepare()
    # Read when torch first loads OpenMP. Its threads spin between two kernels otherwise, on cores that the next
    # kernel needs: on two busy cores a training step took up to 70 times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # From 1.29 on ONNX Runtime tells its makers of every process and model that loads it, on Linux and macOS too.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    code = _run(arguments)
    if streams.flush() is not None and code == 0:
        code = EXIT_IO
    sys.exit(code)


@cache  # reading all signatures takes typer 40 ms, and a process may run many commands
def _command() -> Any:
    return typer.main.get_command(app)


def _run(arguments: list[str] | None) -> int:  # noqa: PLR0911  # one return per way to end
    try:
        code: Any = _command()(args=arguments, standalone_mode=False)
    except _CLICK_ERROR as error:
        error.message = plain_text(error.message, keep_newlines=True)
        with suppress(OSError):
            error.show()
        return EXIT_USAGE
    except GnasError as error:
        _say(headed("error:", error.message, "bold red"))
        if error.hint:
            _say(headed("hint:", error.hint, "bold"))
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort) as error:
        if isinstance(error.__cause__, EOFError):  # click takes any for Ctrl-D at a prompt; no command prompts
            return _bug(error.__cause__)
        _say("interrupted")
        return EXIT_INTERRUPTED
    except _TerminatedError:
        _say("terminated")
        return EXIT_TERMINATED
    except OSError as error:
        if error.errno not in _OUTSIDE:
            return _bug(error)
        where = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
        _say(headed("error:", f"{where}{error.strerror}", "bold red"))
        return EXIT_IO
    except Exception as error:  # noqa: BLE001  # the last line of defence: a bug is shown as one
        return _bug(error)
    return code if isinstance(code, int) else 0


def _say(message: str | Text) -> None:
    """Write a line on stderr; where it takes no more, the exit code has to say it all."""
    with suppress(OSError):
        diagnostics().print(message)


def _bug(error: BaseException) -> int:
    with suppress(OSError):
        sys.stderr.write(plain_text("".join(traceback.format_exception(error)), keep_newlines=True))
    _say(Text.assemble(("this is a bug in gnas-serve", "bold red"), ": please report the lines above"))
    return EXIT_BUG
