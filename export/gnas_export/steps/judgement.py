"""Steps that judge: does the learned ranker ship, and is the whole path good enough to ship."""

from __future__ import annotations

from dataclasses import asdict

from gnas_export.decisions import Decision, Decisions
from gnas_export.draft import Draft
from gnas_export.gates import significance
from gnas_export.judging.quality import RETRIEVAL, K, no_loss, not_below_popularity, retained, unjudged
from gnas_export.judging.simple_models import measured_baselines, not_below_baselines
from gnas_export.retrieval.reference import popular_answers
from gnas_export.retrieval.tables import LINKS, WIDTHS
from gnas_export.steps.forms import exacter_form
from gnas_export.steps.paths import UNCOMPRESSED, learned_reference, measured_path, teacher_form, uncompressed_path
from gnas_export.steps.savings import saved_bytes
from gnas_search.bootstrap import paired_interval
from gnas_search.evaluate import UserMetrics
from gnas_serve.artifact.manifest import FLAT

POPULARITY = "popularity"


def choose_ranker(draft: Draft) -> None:
    """Ship the learned ranker where it is better than the retriever's own order, or where it is asked for.

    Given: ``forms`` with the chosen ``form``, ``selection``, ``jury``.
    Result: ``learned``.
    """
    if not draft.networks:
        return
    _choose(draft)
    if not draft.learned:
        # The form of what does not ship was timed: kept, it would tell equal artifacts apart.
        draft.decisions.drop("form")


def _choose(draft: Draft) -> None:
    given = draft.decisions.given("ranker")
    if given is not None:
        draft.learned = given.choice == "mlp"
    elif draft.mode == "always":
        draft.learned = True
        draft.decisions.take("ranker", "mlp", f"asked for{_against_retrieval(draft)}")
    elif draft.jury.too_small:
        draft.decisions.take("ranker", "retrieval", f"cannot be judged: {draft.jury.too_small}")
    else:
        learned = _learned(draft)
        plain = measured_path(draft, draft.selection, draft.plain)
        draft.measured |= {"mlp": learned, "retrieval": plain}
        gain = paired_interval(learned.ndcg, plain.ndcg, draft.seed)
        # The form is one of many that were weighed on these users: better than its own teacher allows is luck.
        lucky = float(draft.form_metrics[teacher_form(draft)].ndcg.mean()) <= float(plain.ndcg.mean())
        draft.learned = gain.low > 0 and not lucky
        if not draft.learned:
            draft.facts["weighed_form"] = draft.form
        draft.facts["ranker_gain"] = {"value": gain.value, "low": gain.low, "high": gain.high}
        # Without figures: they are those of a form that was timed, and it may not even ship.
        better = "significantly better" if gain.low > 0 else "not significantly better"
        reason = f"ndcg@{K} is {better} than that of retrieval on {len(draft.jury.users)} gate users"
        if gain.low > 0 and lucky:
            reason += ", but that of its teacher is not better: one form of many is, by chance"
        draft.decisions.take("ranker", "mlp" if draft.learned else "retrieval", reason)


def _against_retrieval(draft: Draft) -> str:
    """Say what a ranker that was asked for brings, as a part of the reason; of too few users nothing."""
    if draft.reference is None:
        return ""
    # Unlike those of a ranker that is weighed, these figures are of the form that ships: equal choices, equal reasons.
    draft.measured["mlp"] = _learned(draft)
    gain = paired_interval(draft.measured["mlp"].ndcg, draft.reference.ndcg, draft.seed)
    found = significance(gain.low, gain.high)
    figures = f"{gain.value:+.4f} ({gain.low:+.4f} .. {gain.high:+.4f})"
    return f"; ndcg@{K} against {RETRIEVAL} {figures}: {found}, {len(draft.jury.users)} gate users"


def judge(draft: Draft) -> None:
    """Measure the path that ships, and every other form beside it, on the gate users.

    Given: everything that ships.
    Result: ``metrics``, gates ``quality``, ``popularity`` and ``baseline``.
    """
    jury, limits = draft.jury, draft.profile.gates
    draft.facts["savings"] = saved_bytes(draft)
    if draft.reference is None:
        draft.gates.extend(unjudged(jury.too_small, limits))
        return
    selection = draft.selection
    kind = "mlp" if draft.learned else "retrieval"
    shipped = draft.measured.get(kind)
    if shipped is None:
        shipped = _learned(draft) if draft.learned else measured_path(draft, selection, draft.plain)
    popularity = measured_popularity(draft)
    draft.measured["shipped"] = shipped
    paths = {**draft.measured, "exact_retrieval": draft.reference}
    paths |= {f"mlp_{name}": found for name, found in draft.form_metrics.items()}
    # What compression costs shows against the same path without any: exact search, and the teacher where it ranks.
    whole = draft.reference
    if draft.learned:
        whole = paths[UNCOMPRESSED] = uncompressed_path(draft)
    draft.facts["savings"]["retained"] = {
        f"{metric}@{K}": retained(jury, metric, shipped, whole) for metric in ("ndcg", "recall")
    }
    reference, what = learned_reference(draft) if draft.learned else (draft.reference, RETRIEVAL)
    if draft.form_metrics:
        against = {
            "teacher": draft.form_metrics[teacher_form(draft)],
            **({"shipped": shipped} if draft.learned else {}),
        }
        draft.facts["ranker_against_retrieval"] = {
            name: asdict(paired_interval(found.ndcg, draft.reference.ndcg, draft.seed))
            for name, found in against.items()
        }
    baselines = measured_baselines(draft.checkpoint, jury, {POPULARITY: popularity})
    paths |= {f"baseline_{name}": metrics for name, metrics in baselines.items() if name != POPULARITY}
    draft.facts["quality"] = {name: jury.summary(metrics) for name, metrics in paths.items()}
    draft.gates.append(no_loss(jury, shipped, reference, limits.quality_loss, what))
    if not draft.is_popularity:
        draft.gates.append(not_below_popularity(jury, shipped, popularity))
    if baselines:
        draft.gates.append(not_below_baselines(jury, shipped, baselines, limits.baseline_loss))
    recall, ndcg = shipped.mean()
    draft.metrics = {f"ndcg@{K}": ndcg, f"recall@{K}": recall}
    if draft.newcomer_metrics is not None:
        draft.metrics[f"fold_in_ndcg@{K}"] = float(draft.newcomer_metrics.ndcg.mean())
    if draft.segment_metrics is not None:
        draft.metrics[f"segment_ndcg@{K}"] = float(draft.segment_metrics.ndcg.mean())


def less_compressed(draft: Draft) -> Decisions | None:
    """Give up compression where the quality gate alone is breached, as far as the profile leaves the choice open.

    An interval on few users, or a learned ranker that magnifies small differences, can ask for more exactness than
    recall does. Wider vectors and the fp32 form come first, then exact search, which a profile leaves open that asks
    for flat search and is given a projection of wide vectors.

    Returns
    -------
    Decisions
        To run the steps again with; None where nothing is left to give up, or another gate was breached.
    """
    breached = [gate for gate in draft.binding_gates() if not gate.passed]
    if [gate.name for gate in breached] != ["quality"]:
        return None
    with_form = f", form {draft.form}" if draft.learned else ""
    with_links = f", {draft.links} links" if draft.links else ""
    reason = (
        f"{draft.width} vectors{with_links}, {draft.index.kind} index{with_form}: ndcg@{K} changes by "
        f"{breached[0].value:+.4f} at worst, over the quality limit of {abs(100 * breached[0].limit):g} %"
    )
    forced = {}
    if draft.learned and (exacter := exacter_form(draft)):
        forced["form"] = Decision(exacter, reason)
    for name, form, forms in (("tables", draft.width, WIDTHS), ("neighbours", draft.links, LINKS)):
        if form and form != forms[-1]:
            forced[name] = Decision(forms[forms.index(form) + 1], reason)
    if not forced and draft.index.kind != FLAT and draft.profile.index in {"auto", FLAT}:
        forced["index"] = Decision(FLAT, reason)
    return draft.decisions.revised(forced) if forced else None


def _learned(draft: Draft) -> UserMetrics:
    return measured_path(draft, draft.selection, draft.packed(draft.form, draft.selection))


def measured_popularity(draft: Draft) -> UserMetrics:
    """Measure popularity on the gate users, once for all who ask."""
    if POPULARITY not in draft.measured:
        fit, users = draft.selection, draft.jury.users
        draft.measured[POPULARITY] = draft.jury.judge(popular_answers(fit.counts, fit.seen, users, K))
    return draft.measured[POPULARITY]
