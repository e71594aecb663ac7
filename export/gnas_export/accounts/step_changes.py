"""What each step of an export did to the model: bytes before and after, and what it was measured to cost or bring.

Nothing here depends on which forms were tried on the way, or on a clock: an export that repeats decisions tries fewer.
"""

from __future__ import annotations

from gnas_export.draft import Draft
from gnas_export.judging.quality import K, relative_change
from gnas_export.retrieval.index import TOP
from gnas_export.retrieval.tables import LINKS, WIDTHS, links
from gnas_export.steps.paths import teacher_form
from gnas_serve.artifact.provenance import StepChange, StoredForm

_ENDS = {"value": "", "low": "_low", "high": "_high"}


def step_changes(draft: Draft) -> tuple[StepChange, ...]:
    """Give the changes of a draft whose steps are done, in their order; steps that changed nothing are left out."""
    found = (_neighbours(draft), _tables(draft), _index(draft), _trained(draft), _formed(draft))
    return tuple(change for change in found if change is not None and change.before != change.after)


def _neighbours(draft: Draft) -> StepChange | None:
    stored = draft.final.tables.neighbours
    exact = links(draft.final.exact, LINKS[-1])
    if stored is None or exact is None:
        return None
    before, after = StoredForm(LINKS[-1], exact.size_bytes), StoredForm(draft.links, stored.size_bytes)
    return StepChange("compress_neighbours", before, after, _compression(draft, "neighbours", draft.links, TOP))


def _tables(draft: Draft) -> StepChange:
    tables = draft.final.tables
    numbers = (len(tables.users) + len(tables.items)) * tables.items.dim
    before = StoredForm(WIDTHS[-1], 4 * numbers)
    after = StoredForm(draft.width, tables.users.size_bytes + tables.items.size_bytes)
    return StepChange("compress_tables", before, after, _compression(draft, "tables", draft.width, draft.candidates))


def _compression(draft: Draft, what: str, form: str, depth: int) -> dict[str, float]:
    facts = draft.facts[what]
    quality = {f"recall@{depth}": float(facts["recall"][form])}
    change = facts["ndcg_change_low"][form]
    if change is not None:
        quality[f"ndcg@{K}_change_low"] = float(change)
    return quality


def _index(draft: Draft) -> StepChange | None:
    index = draft.final.index
    if index is None:
        return None
    top = next(gate.value for gate in draft.gates if gate.name == "index_top_recall")
    quality = {f"recall@{draft.candidates}": float(draft.index.recall), f"recall@{TOP}": float(top or 0.0)}
    return StepChange("build_index", StoredForm("flat", 0), StoredForm(draft.index.kind, index.size_bytes), quality)


def _trained(draft: Draft) -> StepChange | None:
    """Put the learned ranker, the teacher in float32, in the place of the retriever's order."""
    if not draft.learned:
        return None
    teacher = teacher_form(draft)
    quality = {}
    if draft.form_metrics and draft.reference is not None:
        quality[f"ndcg@{K}_of_exact_retrieval"] = float(draft.reference.ndcg.mean())
        quality[f"ndcg@{K}"] = float(draft.form_metrics[teacher].ndcg.mean())
        for name, gain in draft.facts["ranker_against_retrieval"].items():
            quality |= {f"{name}_ndcg@{K}_gain{_ENDS[end]}": value for end, value in gain.items()}
    return StepChange(
        "train_ranker", StoredForm("retrieval", draft.plain.size_bytes()), _ranker(draft, teacher), quality
    )


def _formed(draft: Draft) -> StepChange | None:
    """Distil, prune and quantise the teacher to the form that ships."""
    if not draft.learned:
        return None
    teacher = teacher_form(draft)
    quality = {f"overlap@{K}": float(draft.forms[draft.form].overlap)}
    if draft.form_metrics:
        shipped, first = draft.form_metrics[draft.form], draft.form_metrics[teacher]
        change = relative_change(draft.jury, shipped, first)
        quality |= {
            f"ndcg@{K}": float(shipped.ndcg.mean()),
            f"ndcg@{K}_change": change.value,
            f"ndcg@{K}_change_low": change.low,
            f"ndcg@{K}_change_high": change.high,
        }
    return StepChange("choose_form", _ranker(draft, teacher), _ranker(draft, draft.form), quality)


def _ranker(draft: Draft, form: str) -> StoredForm:
    return StoredForm(form, int(draft.packed(form, draft.final).size_bytes()))
