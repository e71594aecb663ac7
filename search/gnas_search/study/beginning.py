"""The beginning of a study: its folder is made, or an existing one is held against what is asked of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gnas_search.data.dataset import Dataset
from gnas_search.data.splits import check_same_data
from gnas_search.space import SearchSpace
from gnas_search.strategies import DEFAULT_STRATEGY, require_strategy
from gnas_search.study.header import HEADER, StudyHeader
from gnas_search.study.objectives import NDCG, Objectives
from gnas_search.study.transfer import Transfer
from gnas_search.study.warm_source import WarmSource
from gnas_serve.errors import ConfigError, StorageError


def begin(
    folder: Path,
    dataset: Dataset,
    *,
    space: SearchSpace | None,
    strategy: str | None,
    seed: int | None,
    objectives: Objectives | None = None,
    source: WarmSource | None = None,
) -> StudyHeader:
    """Make a study, or make sure that an existing one is about the same.

    Parameters
    ----------
    folder
        Of the study; made when absent.
    dataset
        The data.
    space, strategy, seed, objectives
        None takes the existing study's, and for a new one ``"standard"``, ``"gp"``, 0 and ndcg@20. Another strategy
        than before is welcome.
    source
        Another study to start from; None for none, and for an existing study whichever it was.

    Raises
    ------
    ConfigError
        If ``folder`` is something else, the study has another space, seed, objective, source or way to read the data,
        the strategy is unknown, an objective cannot be measured on this data, or another process makes the study at
        the same time.
    DataMismatchError
        If the study is about other data.
    """
    if strategy is not None:
        require_strategy(strategy)
    if not folder.exists():
        new = new_header(dataset, space=space, strategy=strategy, seed=seed, objectives=objectives)
        new.objectives.judge(dataset, new.seed)  # refused before anything is made
        new.space.restrict(dataset)  # a start that breaks a limit is refused before anything is made
        transfer = None if source is None else Transfer.of(source, new.space, dataset)
        new = replace(new, warm_start="" if transfer is None else transfer.warm.digest)
        try:
            new.write(folder, transfer)
        except (ConfigError, StorageError) as error:
            if not (folder / HEADER).is_file():
                raise
            raise ConfigError(
                f"{folder}: another search began this study meanwhile",
                hint="wait for it or stop it, then run the same command again to go on with it",
                code="locked",
            ) from error
        return new
    header = StudyHeader.read(folder)
    check_same_data(dataset, header.fingerprint, f"the study {folder}")
    header.require_config(dataset.config.to_json(), folder)
    require_same(header, folder, space=space, seed=seed, objectives=objectives, source=source)
    return header


def new_header(
    dataset: Dataset,
    *,
    space: SearchSpace | None,
    strategy: str | None,
    seed: int | None,
    objectives: Objectives | None,
) -> StudyHeader:
    """Say what a new study is about; the parameters are those of :func:`begin`."""
    return StudyHeader(
        fingerprint=dataset.fingerprint,
        policy=dataset.policy,
        config=dataset.config,
        space=space if space is not None else SearchSpace.load("standard"),
        strategy=strategy if strategy is not None else DEFAULT_STRATEGY,
        seed=seed if seed is not None else 0,
        objectives=objectives if objectives is not None else NDCG,
    )


def require_same(
    header: StudyHeader,
    folder: Path,
    *,
    space: SearchSpace | None,
    seed: int | None,
    objectives: Objectives | None,
    source: WarmSource | None,
) -> None:
    """Refuse to go on with a study otherwise than it was begun; the parameters are those of :func:`begin`.

    Raises
    ------
    ConfigError
        If the study has another space, seed, objective or source.
    """
    if space is not None:
        header.require_space(space, folder)
    if seed is not None:
        header.require_seed(seed, folder)
    if objectives is not None:
        header.require_objectives(objectives, folder)
    if source is not None:
        header.require_source(source, folder)
