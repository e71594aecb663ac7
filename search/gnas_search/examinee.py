"""Examinee: a checkpoint or an artifact on disk, to be measured on the test part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gnas_search.checkpoint import Checkpoint
from gnas_search.data.interactions import DatasetConfig
from gnas_search.exam import Exam
from gnas_search.outcome import Outcome, artifact_outcome, calibrations, checkpoint_outcome, learned_answers
from gnas_serve.artifact.manifest import Manifest
from gnas_serve.artifact.store import stored_kind
from gnas_serve.runtime.recommender import Recommender

CHECKPOINT, ARTIFACT = "checkpoint", "artifact"


@dataclass(frozen=True)
class Examinee:
    """A model in memory.

    Attributes
    ----------
    model
        As it was stored.
    config, fingerprint, policy, target_event
        Of the data that it was made from.
    origin
        Equal for a checkpoint and what was exported from it.
    """

    model: Checkpoint | Recommender
    config: DatasetConfig
    fingerprint: str
    policy: str
    target_event: str | None
    origin: tuple[object, ...]

    @classmethod
    def load(cls, path: Path) -> Examinee:
        """Read a checkpoint or an artifact.

        Raises
        ------
        ConfigError, IntegrityError, FormatVersionError
            If it is neither, damaged, or of a newer format.
        """
        if stored_kind(path) == ARTIFACT:
            recommender = Recommender.load(path)
            manifest = Manifest.read(path, verify=False)
            config = DatasetConfig.from_json(manifest.data["config"])
            fingerprint, policy, target = (manifest.data[name] for name in ("fingerprint", "policy", "target_event"))
            origin = (manifest.name, manifest.model.get("seed"), fingerprint, manifest.model.get("finetuned_from"))
            return cls(recommender, config, fingerprint, policy, target, origin)
        checkpoint = Checkpoint.load(path)
        origin = (checkpoint.name, checkpoint.seed, checkpoint.fingerprint, checkpoint.finetuned_from)
        return cls(
            checkpoint, checkpoint.config, checkpoint.fingerprint, checkpoint.policy, checkpoint.target_event, origin
        )

    @property
    def kind(self) -> str:
        """``"checkpoint"`` or ``"artifact"``."""
        return CHECKPOINT if isinstance(self.model, Checkpoint) else ARTIFACT

    def check(self, exam: Exam, what: str) -> None:
        """Make sure that it was made from the exam's data and split.

        Raises
        ------
        DataMismatchError
            As :meth:`gnas_search.exam.Exam.check`.
        """
        exam.check(self, what)

    def learned_answers(self, exam: Exam) -> tuple[int, int]:
        """Count the test interactions that the model has learned from, and all that it could have.

        None of them where it was trained on the exam's data; of a fine-tuned one, those that the split of newer data
        has put into the test part, as a split by chance does.
        """
        return learned_answers(exam, self.model)

    def outcome(
        self, exam: Exam, others: Sequence[Examinee] = (), on_user: Callable[[], None] | None = None
    ) -> Outcome:
        """Measure it.

        Parameters
        ----------
        exam
            Of its data.
        others
            Among whom an artifact finds the checkpoint it was exported from, by which its scores are calibrated.
        on_user
            Called after each answer of an artifact.
        """
        if isinstance(self.model, Checkpoint):
            return checkpoint_outcome(exam, self.model)
        origins = [one.model for one in others if isinstance(one.model, Checkpoint) and one.origin == self.origin]
        curves = calibrations(exam, origins[0]) if origins else None
        return artifact_outcome(exam, self.model, calibration=curves, on_user=on_user)
