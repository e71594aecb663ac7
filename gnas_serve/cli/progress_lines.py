"""Progress lines on stderr: bars where it is a terminal, messages that stay everywhere."""

from __future__ import annotations

from contextlib import suppress
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from gnas_serve.plain_text import plain_text


class ProgressLines:
    """Live lines with an epoch bar each; where stderr is no terminal they stay silent and only messages are printed."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            # A column has a switch of its own, whatever the console says.
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[state]}", markup=False),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            refresh_per_second=4,
            disable=not console.is_terminal,
        )
        self._tasks: dict[int, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    @property
    def is_silent(self) -> bool:
        """Whether there is no terminal to show bars on."""
        return self._progress.disable

    def begin_bar(self, number: int, description: str, epochs: int) -> None:
        """Put up a bar, under the number of its trial."""
        if self.is_silent:
            return
        self._tasks[number] = self._progress.add_task(description, total=epochs, state="")

    def move_bar(self, number: int, epoch: int, state: str) -> None:
        """Say which epoch has ended, and how."""
        if self.is_silent:
            return
        self._progress.update(self._tasks[number], completed=epoch, state=state)

    def end_bar(self, number: int) -> None:
        """Take a bar away, where there is one."""
        if number in self._tasks:
            self._progress.remove_task(self._tasks.pop(number))

    def say(self, message: str) -> None:
        """Print one line that stays."""
        # As it is: to wrap it, and to look for words to colour, took a tenth of what passes between two small trials.
        if self.is_silent:
            with suppress(OSError):  # what nobody reads ends no search
                print(
                    plain_text(message, keep_newlines=True), file=self._progress.console.file, flush=True
                )  # there is no bar to write above
        else:
            self._progress.console.print(message, markup=False, highlight=False)
