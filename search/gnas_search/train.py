"""Training to keep: the two fits of a checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from gnas_search.architecture import ArchitectureSpec
from gnas_search.blend import assemble, compress
from gnas_search.checkpoint import Checkpoint
from gnas_search.data.dataset import Dataset, InteractionGraph
from gnas_search.epoch import EpochResult
from gnas_search.evaluate import Judge, validation_of
from gnas_search.fit import Fit
from gnas_search.initial_weights import InitialWeights
from gnas_search.memory_check import check_checkpoint_memory, check_memory, within_memory
from gnas_search.selection import fit_closed, fit_selected, network_branch
from gnas_search.specs import BlendSpec, BranchSpec, ModelSpec
from gnas_search.trainer import Trainer


def _refit(spec: BranchSpec, graph: InteractionGraph, seed: int, epochs: int, initial: InitialWeights | None) -> Fit:
    """Fit a selected model to another graph: a network for as many epochs as were selected."""
    check_memory(spec, graph, held=int(initial is not None))
    with within_memory(spec, graph):
        if not isinstance(spec, ArchitectureSpec):
            return Fit(fit_closed(spec, graph, seed, None), 0)
        # Same spec, same schedule: the final fit walks the learning rates that the selection fit walked.
        trainer = Trainer(spec, graph, seed=seed, initial=initial)
        trainer.advance(epochs)
        return Fit((network_branch(trainer.spec, *trainer.vectors()),), epochs)


def train_checkpoint(
    dataset: Dataset,
    spec: ModelSpec,
    *,
    seed: int,
    on_epoch: Callable[[EpochResult], None] | None = None,
    initial: Mapping[str, InitialWeights] | None = None,
    judge: Judge | None = None,
) -> Checkpoint:
    """Make both fits of a checkpoint: one selected on validation, one on train + validation with the same settings.

    Parameters
    ----------
    dataset
        The split data.
    spec
        A network, a closed form, or a blend: its weights are kept for both fits.
    seed
        Of both fits.
    on_epoch
        Called after every validation of the selection fit.
    initial
        What networks begin with, in both fits, by the key of their spec: those that a study started warm.
    judge
        By what a network's epoch is selected, as a study with other objectives did; ndcg@20 when None.

    Raises
    ------
    ConfigError
        With code ``"too_large"``, if both fits would not go into memory: before the first of them.
    """
    spec = spec.canonical()
    check_checkpoint_memory(spec, dataset.final)
    validation = validation_of(dataset).judged_by(judge)
    parts: Sequence[BranchSpec] = [share.spec for share in spec.shares] if isinstance(spec, BlendSpec) else [spec]
    begun = [(initial or {}).get(part.key()) for part in parts]
    selected = [
        fit_selected(part, dataset.selection, validation, seed=seed, on_epoch=on_epoch, initial=begins)
        for part, begins in zip(parts, begun, strict=True)
    ]
    refitted = [
        _refit(part, dataset.final, seed, found.best_epoch, begins)
        for part, found, begins in zip(parts, selected, begun, strict=True)
    ]
    with within_memory(spec, dataset.final):
        selection = _joined(spec, [found.fit for found in selected], dataset.selection, seed)
        final = _joined(spec, refitted, dataset.final, seed)
        everybody = validation_of(dataset, max_users=None)
        recall, ndcg = everybody.score_with(selection.score_rows(dataset.selection.positives)).mean()
    return Checkpoint.of(
        dataset,
        name=spec.key(),
        spec=spec.to_json(),
        selection=selection,
        final=final,
        seed=seed,
        metrics={"recall@20": recall, "ndcg@20": ndcg},
    )


def _joined(spec: ModelSpec, fits: Sequence[Fit], graph: InteractionGraph, seed: int) -> Fit:
    """Make one fit of the fits of a model's parts."""
    if not isinstance(spec, BlendSpec):
        return fits[0]
    epochs = max(fit.epochs for fit in fits)
    # The first branch is the model itself: a two-hop model alone has a prior beside it.
    whole = assemble(spec.shares, [fit.branches[0] for fit in fits], graph, epochs)
    return whole if spec.dims is None else compress(whole, graph.positives, spec.dims, name=spec.key(), seed=seed)
