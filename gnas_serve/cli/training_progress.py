"""What `train` says while it trains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from rich.console import Console

from gnas_serve.cli.progress_lines import ProgressLines

if TYPE_CHECKING:
    from gnas_search.epoch import EpochResult
    from gnas_search.specs import ModelSpec


class TrainingProgress(ProgressLines):
    """Follows the training of one model.

    Parameters
    ----------
    console
        On stderr.
    model
        What is trained.
    """

    def __init__(self, console: Console, model: ModelSpec) -> None:
        super().__init__(console)
        self._model = model

    def __enter__(self) -> Self:
        super().__enter__()
        from gnas_search.architecture import ArchitectureSpec
        from gnas_search.specs import BlendSpec

        self.say(f"training {self._model.summary()}")
        parts = [share.spec for share in self._model.shares] if isinstance(self._model, BlendSpec) else [self._model]
        epochs = sum(part.epochs for part in parts if isinstance(part, ArchitectureSpec))
        if epochs:
            self.begin_bar(0, "epochs", epochs)
        return self

    def epoch_ended(self, epoch: EpochResult) -> None:
        """Move the bar; on no terminal, print a line."""
        found = f"loss {epoch.loss:.4f}, validation ndcg@20 {epoch.ndcg:.4f}"
        self.move_bar(0, epoch.epoch, found)
        if self.is_silent:
            self.say(f"epoch {epoch.epoch}: {found}, {epoch.seconds:.1f} s")
