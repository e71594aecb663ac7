"""What a command shows: its one result on stdout, everything else on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from contextlib import suppress
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Span, Text

from gnas_serve.cli import streams
from gnas_serve.errors import StorageError
from gnas_serve.plain_text import plain_text


class Output(StrEnum):
    """The form of a command's result."""

    text = "text"
    json = "json"


_WIDEST = 10_000
OutputOption = Annotated[Output, typer.Option("--output", help="Form of the result on stdout.")]


def diagnostics() -> Console:
    """Give the console for progress, warnings and logs (stderr)."""
    return _console(is_result=False)


def emit(result: dict[str, Any], text: RenderableType, output: Output) -> None:
    """Print the result of a command: one JSON object, or the same for people; nothing where nobody reads it.

    Raises
    ------
    StorageError
        If stdout takes no more: what it is sent to is full.
    """
    try:
        if output is Output.json:
            sys.stdout.write(json.dumps(result, ensure_ascii=False, allow_nan=False) + "\n")
        else:
            console = _console(is_result=True)
            if not sys.stdout.isatty():
                # A file or a pipe has no width: tables are as wide as what stands in them.
                wide = console.options.update(max_width=_WIDEST)
                console.width = max(console.width, console.measure(text, options=wide).maximum)
            console.print(text)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of stdout went away (`| head`): nothing is wrong, and nothing more can be said there. Typer would
        # end with the code of a bug.
        streams.discard(sys.stdout)
    except OSError as error:
        reason = error.strerror or str(error)
        raise StorageError(f"cannot write the result to stdout: {reason}", hint="send it elsewhere") from error


def warn(message: str) -> None:
    """Say something odd that does not stop the work."""
    with suppress(OSError):
        diagnostics().print(headed("warning:", message, "yellow"))


class _Console(Console):
    """Shows nothing that steers the terminal but styles of our own, and lets go of what no reader is left for.

    Of a reader who left Rich would end the process with the code of a bug.
    """

    def render_str(self, text: str, **options: Any) -> Text:
        """Take a text, of a message or a cell, before it is measured."""
        return super().render_str(plain_text(text, keep_newlines=True), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Take what was made a styled text before it came here."""
        return super().render(_plain(renderable) if isinstance(renderable, Text) else renderable, options)

    def on_broken_pipe(self) -> None:
        """Go on without stderr; of stdout, let the command end."""
        if not self.stderr:
            raise  # noqa: PLE0704  # called while the error is handled
        streams.discard(sys.stderr)


def headed(heading: str, message: str, style: str) -> Text:
    """Give a message with a heading that alone is styled."""
    return Text.assemble((heading, style), " ", plain_text(message, keep_newlines=True))


def _plain(text: Text) -> Text:
    """Spell out what would steer the terminal, each part in the style that it has."""
    places = [0]
    for letter in text.plain:
        places.append(places[-1] + len(plain_text(letter, keep_newlines=True)))
    if places[-1] == len(text.plain):
        return text
    shown = text.blank_copy(plain_text(text.plain, keep_newlines=True))
    shown.spans = [Span(places[span.start], places[span.end], span.style) for span in text.spans]
    return shown


def _console(*, is_result: bool) -> Console:
    """Open a stream for text of all sorts: ids, paths, columns and tags are shown as they are (controls spelled out).

    Nothing is read as markup or emoji, in plain text and in tables alike: styles are given as ``rich.text.Text``
    or ``style=``.
    """
    stream = sys.stdout if is_result else sys.stderr
    return _Console(stderr=not is_result, soft_wrap=not stream.isatty(), markup=False, emoji=False, highlight=False)
