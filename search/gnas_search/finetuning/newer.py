"""Newer data, read as the question that a checkpoint answers: its target event, and from which rating one counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from gnas_search.checkpoint import Checkpoint
from gnas_search.data.dataset import Dataset
from gnas_search.data.readers import read_config
from gnas_search.data.splits import load_dataset
from gnas_serve.errors import ConfigError, DataMismatchError


def newer_data(path: Path, settings: Mapping[str, object], checkpoint: Checkpoint) -> Dataset:
    """Read and split newer data for fine-tuning.

    What is predicted and which ratings are positives has to be the same, see
    :func:`~gnas_search.finetuning.fresh.fresh_interactions`; so the checkpoint says it where nobody else does.

    Parameters
    ----------
    path
        The data folder.
    settings
        Flags, as of :func:`~gnas_search.data.readers.read_config`; they win over ``dataset.toml``, and that over the
        checkpoint.

    Raises
    ------
    ConfigError, DataError
        As :func:`~gnas_search.data.splits.load_dataset`.
    DataMismatchError
        If the data has no interaction of the event that the checkpoint predicts.
    """
    given = read_config(path, settings)
    config = given
    if given.target_event is None:
        config = replace(config, target_event=checkpoint.target_event)
    if given.min_rating is None:
        config = replace(config, min_rating=checkpoint.config.min_rating)
    try:
        return load_dataset(path, config)
    except ConfigError as error:
        if error.code == "unknown_event" and given.target_event is None:
            raise DataMismatchError(
                f"the checkpoint predicts {checkpoint.target_event!r}, and {path} has no such event", hint=error.hint
            ) from error
        raise
