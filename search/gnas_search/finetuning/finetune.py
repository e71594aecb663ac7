"""Fine-tune a checkpoint: what lies between embeddings and scores follows the newer data, the embeddings stay."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gnas_search.checkpoint import Checkpoint
from gnas_search.closed_form import PopularitySpec
from gnas_search.closed_form.fitting import fit_closed_form, with_prior
from gnas_search.data.attributes import updated_attributes
from gnas_search.data.dataset import Dataset, InteractionGraph
from gnas_search.data.interactions import FeatureTable
from gnas_search.evaluate import Validation
from gnas_search.finetuning.before_after import BeforeAfter, before_after, newest_of
from gnas_search.finetuning.fresh import Fresh, fresh_interactions
from gnas_search.finetuning.reweighing import Reweighed, blend_of, reweigh, reweighted, with_weights
from gnas_search.fit import Branch, Fit
from gnas_search.specs import BlendSpec
from gnas_serve.artifact.branches import POPULARITY

SCORES_STAY = (
    "no change of ndcg@20 can be: this model scores by vectors of users and items alone, which fine-tuning leaves as "
    "they are; of the fresh interactions `export` makes a newer ranker, popularity and what users have already; for "
    "newer vectors train a new model"
)
"""What is said of a model that cannot score otherwise than before."""


@dataclass(frozen=True)
class FineTuned:
    """A fine-tuned checkpoint, and how it came about.

    Attributes
    ----------
    checkpoint
        To be saved.
    fresh
        What it was brought up to date with.
    reweighed
        What became of the weights of its blend; None where it is none.
    remarks
        What was left as it was, and why; for people.
    compared
        The checkpoint before and after; None where no fresh interaction is in the data's validation part, or none of
        a user by whom no weights were fitted.
    """

    checkpoint: Checkpoint
    fresh: Fresh
    reweighed: Reweighed | None
    remarks: tuple[str, ...] = ()
    compared: BeforeAfter | None = None


def finetune(checkpoint: Checkpoint, dataset: Dataset, *, seed: int) -> FineTuned:
    """Bring the scoring layers of a checkpoint up to date on the fresh interactions of newer data.

    Both fits of the result have the embeddings of the old final fit, which have learned from none of the fresh
    interactions: labels made of these are honest, and nothing lies between the fit that is judged and the fit that
    ships but what they know of the fresh interactions. ``train`` is what the old checkpoint knew, ``valid`` what is
    fresh. Popularity counts what each fit knows, two hops start from the histories that it knows, and a blend is
    weighed anew where that is better; links, vectors and the maps of fold-in stay, but for the weight that is folded
    into item vectors, links and maps.

    Parameters
    ----------
    checkpoint
        Trained, or fine-tuned before.
    dataset
        The newer data, split; without its test part.
    seed
        Of the halves by which weights are compared, and of the interval.

    Raises
    ------
    DataMismatchError, DataError
        As :func:`~gnas_search.finetuning.fresh.fresh_interactions`.
    IntegrityError
        As :func:`~gnas_search.finetuning.reweighing.blend_of`.
    """
    fresh = fresh_interactions(checkpoint, dataset)
    remarks: list[str] = []
    sides: dict[str, Any] = {}
    alignment = fresh.alignment
    for side, rows, count in zip(("user", "item"), (alignment.users, alignment.items), alignment.shape, strict=True):
        old, new = (getattr(one, f"{side}_features") for one in (checkpoint, dataset))
        sides[f"{side}_features"] = _features(side, old, new, rows, count, remarks)
        old, new = (getattr(one, f"{side}_attributes") for one in (checkpoint, dataset))
        sides[f"{side}_attributes"], left_out = updated_attributes(old, new, rows, count, f"{side}s")
        remarks += [warning.message for warning in left_out]
    if checkpoint.final.is_of_vectors:
        remarks.append(SCORES_STAY)
    # Recency stays: that of the data would tell which items have fresh interactions, which are the labels.
    made = replace(
        checkpoint,
        selection=checkpoint.final,
        train=checkpoint.seen(),
        valid=fresh.interactions,
        config=dataset.config,
        fingerprint=dataset.fingerprint,
        policy=dataset.policy,
        events=dataset.events or checkpoint.events,
        digest="",
        **sides,
    )
    spec, weighed = blend_of(checkpoint), None
    if spec is not None:
        weighed = reweigh(made, spec, seed=seed)
        made = replace(made, selection=reweighted(made.selection, weighed.factors()))
        if weighed.kept:
            spec = with_weights(spec, weighed.after)
            made = replace(made, name=spec.key(), spec=spec.to_json())
    made = replace(made, final=_counted(made, spec))
    judged = Validation(made.train, made.valid, max_users=None, seed=0)
    recall, ndcg = judged.score_with(made.selection.score_rows(made.train)).mean()
    earlier, newest = newest_of(fresh.interactions, alignment.matrix(dataset.valid))
    updated = _counted(replace(made, valid=earlier), spec)
    is_new = weighed is not None and weighed.kept
    compared = before_after(checkpoint, made, updated, newest, weights_are_new=is_new, seed=seed)
    made = replace(
        made,
        metrics={"recall@20": recall, "ndcg@20": ndcg},
        finetuned_from=_lineage(checkpoint, fresh, weighed, seed)
        | {"compared": None if compared is None else compared.to_json()},
    )
    return FineTuned(made, fresh, weighed, tuple(remarks), compared)


def _counted(made: Checkpoint, spec: BlendSpec | None) -> Fit:
    """Let popularity count what is fresh to a checkpoint too, in the fit that ships."""
    branches = made.selection.branches
    seen = made.seen()
    graph = InteractionGraph(seen, seen)
    parts: list[Branch] = []
    for place, branch in enumerate(branches):
        part = branch
        if branch.facts.kind == POPULARITY:
            if spec is not None:
                share = spec.shares[place]
                part = _popularity(branch, graph).weighted(share.weight / share.spread)
            elif len(branches) > 1:  # the prior beside a two-hop model
                part = with_prior(branches[0], graph)[-1]
            else:
                part = _popularity(branch, graph)
        parts.append(part)
    return Fit(tuple(parts), made.selection.epochs)


def _popularity(branch: Branch, graph: InteractionGraph) -> Branch:
    return fit_closed_form(PopularitySpec(), graph, seed=0, history_power=branch.facts.history_power)


def _features(
    side: str,
    old: FeatureTable | None,
    new: FeatureTable | None,
    rows: np.ndarray,
    count: int,
    remarks: list[str],
) -> FeatureTable | None:
    """Take the attributes that the newer data gives, in the same columns; who it does not have keeps the old ones."""
    if new is None or not new.names:
        return old
    if old is not None and old.names and old.names != new.names:
        changed = sorted(set(old.names) ^ set(new.names)) or ["another order"]
        shown = ", ".join(changed[:3]) + (f" and {len(changed) - 3} more" if len(changed) > 3 else "")
        remarks.append(f"the {side} features of the data are other columns ({shown}): the checkpoint's stay")
        return old
    kept = old is not None and old.values.shape[1] == len(new.names)
    values = old.values.copy() if old is not None and kept else np.zeros((count, len(new.names)), np.float32)
    known = rows >= 0
    values[rows[known]] = new.values[known]
    return FeatureTable(new.names, values)


def _lineage(checkpoint: Checkpoint, fresh: Fresh, weighed: Reweighed | None, seed: int) -> dict[str, Any]:
    before = checkpoint.finetuned_from
    return {
        "name": checkpoint.name,
        "digest": checkpoint.digest,
        "fingerprint": checkpoint.fingerprint,
        "times": 1 if before is None else before["times"] + 1,
        "seed": seed,
        "fresh": fresh.counts(),
        "left_out": fresh.left_out,
        "weights": None if weighed is None else weighed.to_json(),
    }
