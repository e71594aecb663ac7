"""Steps that compress: links and vectors, each as narrow as retrieval does not notice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from gnas_export.draft import Draft
from gnas_export.gates import at_least
from gnas_export.judging.quality import K, relative_change
from gnas_export.retrieval.index import TOP
from gnas_export.retrieval.reference import exact_answers
from gnas_export.retrieval.shipped import ShippedFit, item_counts, seen_items
from gnas_export.retrieval.tables import LINKS, WIDTHS, Tables, branch_bytes, compress, exact_lists, links, mean_recall
from gnas_search.evaluate import UserMetrics

_FITS = ("selection", "final")


@dataclass(frozen=True)
class _Limits:
    """What a form may cost.

    Attributes
    ----------
    gate
        Name of the gate on the recall.
    depth
        Length of the lists.
    recall
        Least recall of them.
    loss
        Largest relative loss of ndcg.
    """

    gate: str
    depth: int
    recall: float
    loss: float


@dataclass(frozen=True)
class _Trial:
    """What one form costs.

    Attributes
    ----------
    recall
        Of the exact lists.
    change
        Of ndcg, relative to uncompressed search, low end of the interval; None where that was not measured.
    """

    recall: float
    change: float | None

    def breaches(self, limits: _Limits) -> list[str]:
        """Say which limits it breaches."""
        breached = [f"the recall limit of {limits.recall:g}"] if self.recall < limits.recall else []
        if self.change is not None and self.change < -limits.loss:
            breached.append(f"the quality limit of {100 * limits.loss:g} %")
        return breached

    def figures(self, form: str, limits: _Limits) -> str:
        """Say what was measured, and what of it is too much."""
        changed = "" if self.change is None else f" and changes ndcg@{K} by {self.change:+.4f} at worst"
        breached = self.breaches(limits)
        said = f" (breaches {' and '.join(breached)})" if breached else ""
        return f"{form} has recall@{limits.depth} {self.recall:.4f}{changed}{said}"


def compress_neighbours(draft: Draft) -> None:
    """Store the links of a two-hop branch as few and as narrow as the head of the lists allows.

    Given: ``probes``, ``jury``.
    Result: both fits, uncompressed but for their neighbours; ``links``, ``reference``.
    """
    checkpoint, profile = draft.checkpoint, draft.profile
    for name, seen in (("final", seen_items(checkpoint.seen())), ("selection", seen_items(checkpoint.train))):
        fit = getattr(checkpoint, name)
        exact = compress(fit, WIDTHS[-1], links(fit, LINKS[-1]))
        setattr(draft, name, ShippedFit(fit, exact, item_counts(seen, len(checkpoint.items)), seen))
    if not draft.jury.too_small:
        draft.reference = _answered(draft, draft.selection.tables)
    if draft.final.tables.neighbours is None:
        return
    exact_heads = exact_lists(draft.final.tables, draft.final.seen, draft.probes, TOP)

    def stored(name: str, form: str) -> Tables:
        fit: ShippedFit = getattr(draft, name)
        return replace(fit.tables, neighbours=links(fit.exact, form, profile.neighbours))

    def tried(form: str) -> _Trial:
        heads = exact_lists(stored("final", form), draft.final.seen, draft.probes, TOP)
        # Rounding that leaves the heads alone costs nothing; of links that are gone the labels are asked as well.
        change = _change(draft, stored("selection", form)) if form == LINKS[0] else None
        return _Trial(mean_recall(heads, exact_heads), change)

    start = LINKS[-1] if profile.tables == WIDTHS[-1] else LINKS[0] if profile.neighbours else LINKS[1]
    limits = _Limits("neighbour_recall", TOP, profile.gates.top_recall, profile.gates.quality_loss)
    draft.links = _narrowest(draft, "neighbours", LINKS, start, tried, limits)
    for name in _FITS:
        setattr(draft, name, replace(getattr(draft, name), tables=stored(name, draft.links)))


def compress_tables(draft: Draft) -> None:
    """Store the vectors as narrow as recall@C allows, starting where the profile says.

    Given: ``probes``, both fits with their neighbours, ``reference``.
    Result: ``width``; both fits with the tables that ship.
    """
    exact_candidates = exact_lists(draft.final.tables, draft.final.seen, draft.probes, draft.candidates)

    def stored(name: str, width: str) -> Tables:
        fit: ShippedFit = getattr(draft, name)
        return compress(fit.exact, width, fit.tables.neighbours)

    def tried(width: str) -> _Trial:
        found = exact_lists(stored("final", width), draft.final.seen, draft.probes, draft.candidates)
        change = None if width == WIDTHS[-1] else _change(draft, stored("selection", width))
        return _Trial(mean_recall(found, exact_candidates), change)

    gates = draft.profile.gates
    limits = _Limits("table_recall", draft.candidates, gates.table_recall, gates.quality_loss)
    draft.width = _narrowest(draft, "tables", WIDTHS, draft.profile.tables, tried, limits)
    for name in _FITS:
        setattr(draft, name, replace(getattr(draft, name), tables=stored(name, draft.width)))
    draft.facts["branches"] = [
        {
            "name": branch.facts.name,
            "kind": branch.facts.kind,
            "width": branch.facts.width,
            "size_bytes": branch_bytes(branch, draft.final.tables),
        }
        for branch in draft.final.exact.branches
    ]


def _narrowest(
    draft: Draft, what: str, forms: tuple[str, ...], start: str, tried: Callable[[str], _Trial], limits: _Limits
) -> str:
    """Try forms from narrow to wide until one breaches no limit, and write the choice down; the widest stays anyway."""
    given = draft.decisions.given(what)
    trials: dict[str, _Trial] = {}
    for form in forms[forms.index(given.choice if given else start) :]:
        trials[form] = tried(form)
        if not trials[form].breaches(limits):
            break
    remark = f"recall@{limits.depth} of {form} {what} against exact ones, {len(draft.probes)} users"
    draft.gates.append(at_least(limits.gate, trials[form].recall, limits.recall, remark))
    draft.facts[what] = {
        "form": form,
        "recall": {name: trial.recall for name, trial in trials.items()},
        "ndcg_change_low": {name: trial.change for name, trial in trials.items()},
    }
    if given is None or given.choice != form:
        draft.decisions.take(what, form, ", ".join(trial.figures(name, limits) for name, trial in trials.items()))
    return form


def _change(draft: Draft, tables: Tables) -> float | None:
    if draft.reference is None:
        return None
    return relative_change(draft.jury, _answered(draft, tables), draft.reference).low


def _answered(draft: Draft, tables: Tables) -> UserMetrics:
    """Measure exact search with some tables of the selection fit on the gate users."""
    fit = draft.selection
    return draft.jury.judge(exact_answers(fit.exact, tables, fit.seen, fit.counts, draft.jury.users, K))
