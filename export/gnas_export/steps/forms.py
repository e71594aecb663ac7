"""Steps that draw, weigh and choose the forms of the learned ranker: networks of some width, numbers of some bits."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from gnas_export.decisions import Form, quickest
from gnas_export.draft import Draft, RankerForm
from gnas_export.gates import Gate, at_least, at_most, compared, skipped
from gnas_export.judging.quality import K, relative_change
from gnas_export.ranker.candidates import CandidateList, at_lengths
from gnas_export.ranker.network import SplitNetwork, SplitWeights, TrainedRanker
from gnas_export.ranker.numeric import Drawing, Feed, draw, feed
from gnas_export.ranker.parity import mean_overlap, mean_rank_correlation, relative_difference
from gnas_export.ranker.plan import RankerPlan
from gnas_export.ranker.variants import ATTENTION, FP32, FP32_U8, INTEGER, NUMERIC, PRECISION_OF, wanted
from gnas_export.steps.form_facts import attention_facts, form_facts
from gnas_export.steps.paths import lossy_forms, teacher_form
from gnas_export.steps.scoring import collect_lists, score_lists, unlisted_answers
from gnas_export.timing import median_us
from gnas_search.bootstrap import Interval
from gnas_serve.errors import ExportError
from gnas_serve.runtime.session import open_session
from gnas_serve.runtime.topk import top_k

Floats = npt.NDArray[np.float32]

CALIBRATION_LISTS = 64
MEASURED_LISTS = 256
TIMED_ROUNDS = 300
TIMED_CANDIDATES = (100, 300, 1000)
PARITY = "onnx_parity"


def draw_forms(draft: Draft) -> None:
    """Make the graphs of the learned ranker and hold them against the networks that they were made from.

    Given: ``networks``, ``final``, ``probes``.
    Result: ``lists``, ``forms``.
    """
    if not draft.networks:
        return
    inputs = draft.plan.item_inputs(draft.final.counts)
    lists = collect_lists(draft, draft.final, draft.probes[: CALIBRATION_LISTS + MEASURED_LISTS])
    if not lists:
        raise ExportError("no user has a vector in the final fit", hint="train again: the final fit gave nothing")
    calibration, draft.lists = divided(lists)
    varied = at_lengths(draft.lists)
    taught: list[Floats] = []
    nodes = {}
    for network, fitted in draft.networks.items():
        expected = [fitted.ranker.score(c.user, inputs[c.rows], c.cross) for c in draft.lists]
        taught = taught or expected
        drawings = draw(fitted.ranker, inputs, calibration)
        rows = {numeric: drawing.items.rows(inputs) for numeric, drawing in drawings.items()}
        found = {name: score_lists(one.graph, draft.lists, rows[name]) for name, one in drawings.items()}
        difference = max(
            _difference(fitted.ranker, drawings[name], rows[name], inputs, varied) for name in (FP32, FP32_U8)
        )
        for numeric, drawing in drawings.items():
            form = RankerForm(
                network=network,
                numeric=numeric,
                hidden=fitted.ranker.network.widths,
                graph=drawing.graph,
                items=drawing.items,
                difference=difference,
                overlap=mean_overlap(found[numeric], expected),
                likeness=(mean_overlap(found[numeric], taught), mean_rank_correlation(found[numeric], taught)),
            )
            draft.forms[form.name] = form
            nodes[form.name] = drawing.integer_nodes
    draft.facts["int8_nodes"] = {name: count for name, count in nodes.items() if count}


def weigh_forms(draft: Draft) -> None:
    """Measure every form on the gate users, on candidates that are retrieved once.

    Given: ``forms``, ``selection``, ``jury``.
    Result: ``form_metrics``.
    """
    if not draft.forms or draft.jury.too_small:
        return
    lists = collect_lists(draft, draft.selection, draft.jury.users)
    inputs = draft.plan.item_inputs(draft.selection.counts)
    unknown = unlisted_answers(draft, lists)
    for name, form in draft.forms.items():
        scored = score_lists(form.graph, lists, form.items.rows(inputs))
        tops = {c.user_row: c.rows[top_k(scores, K)] for c, scores in zip(lists, scored, strict=True)}
        tops |= unknown
        draft.form_metrics[name] = draft.jury.judge([tops[user_row] for user_row in draft.jury.users.tolist()])


def choose_form(draft: Draft) -> None:
    """Time every form and keep the one that the tie rules choose among those that are good enough.

    Given: ``forms``, ``form_metrics``, ``lists``, ``final``.
    Result: ``form``, ranker gates ``onnx_parity``, ``rank_overlap`` and ``form_quality``. A graph that is not its
    network breaches ``onnx_parity`` of what ships, though neither it nor any ranker be chosen: what was weighed of it
    was another network.
    """
    if not draft.forms:
        return
    changes = _changes(draft)
    gates = {name: _gates(draft, form, changes.get(name)) for name, form in draft.forms.items()}
    sizes = {name: draft.packed(name, draft.final).size_bytes() for name in draft.forms}
    given = draft.decisions.given("form")
    latency = {} if given is not None else _latencies(draft)
    lossy = lossy_forms(draft) if given is None else set()
    draft.facts["forms"] = form_facts(draft, gates, lossy, sizes, latency, changes)
    if ATTENTION in draft.measured and draft.form_metrics:
        draft.facts["attention"] = attention_facts(draft, teacher_form(draft))
    if given is not None:
        draft.form = given.choice
    else:
        timed = [Form(name, sizes[name], latency[draft.candidates][name]) for name in draft.forms]
        passing = {name for name, of in gates.items() if all(gate.passed for gate in of)}
        # Where the path breaches its gate with every form, it is not the form that has to give.
        good = passing - lossy or passing
        draft.form = chosen_form(timed, good, draft.profile.ranker)
        excluded = sorted(set(gates) - good)
        remark = f"; {len(excluded)} forms of {len(gates)} are not good enough" if excluded else ""
        draft.decisions.take("form", draft.form, f"size and time at C={draft.candidates}{remark}")
    parity = _worst_parity(gates)
    if not parity.passed:
        draft.gates.append(parity)
    draft.ranker_gates += [gate for gate in gates[draft.form] if parity.passed or gate.name != parity.name]


def divided(lists: list[CandidateList]) -> tuple[list[CandidateList], list[CandidateList]]:
    """Divide lists into those that int8 is calibrated on and those that it is measured on.

    A form that was measured on what it was calibrated on would flatter itself. A single list has to do both.
    """
    share = CALIBRATION_LISTS / (CALIBRATION_LISTS + MEASURED_LISTS)
    middle = min(CALIBRATION_LISTS, max(1, round(share * len(lists))))
    return lists[:middle], lists[middle:] or lists


def chosen_form(forms: list[Form], passing: set[str], plan: RankerPlan) -> str:
    """Choose a form of the ranker.

    Parameters
    ----------
    forms
        All of them, timed.
    passing
        Names of those that pass their gates.
    plan
        Of the profile: what it insists on.

    Returns
    -------
    str
        Where no wanted form passes, the one that departs least from the teacher: the gates then say by how much.
    """
    numeric = [one for one in NUMERIC if plan.precision in ("auto", PRECISION_OF[one])]
    networks = [variant.name for variant in wanted(plan)]
    allowed = [one for one in forms if _network(one) in networks and _numeric(one) in numeric]
    good = [one for one in allowed if one.name in passing]
    if not good:
        # The widest network, the most bits: networks and numbers both stand in this order.
        return min(allowed, key=lambda one: (networks.index(_network(one)), NUMERIC.index(_numeric(one)))).name
    floats = [one for one in good if _numeric(one) not in INTEGER]
    fastest = min(good, key=lambda one: one.latency_us)
    # int8 that is not even faster is the more complicated form for nothing.
    return quickest(good if _numeric(fastest) in INTEGER or not floats else floats).name


def _changes(draft: Draft) -> dict[str, Interval]:
    """Bootstrap the change of ndcg of every form against the teacher; none where there are too few labels."""
    if not draft.form_metrics:
        return {}
    teacher = draft.form_metrics[teacher_form(draft)]
    return {name: relative_change(draft.jury, found, teacher) for name, found in draft.form_metrics.items()}


def exacter_form(draft: Draft) -> str | None:
    """Name the most exact form that the profile leaves the choice of; None where it is the one chosen."""
    plan = draft.profile.ranker
    if draft.form == teacher_form(draft) or plan.precision != "auto" or "always" in (plan.distil, plan.prune):
        return None
    return teacher_form(draft)


def _network(form: Form) -> str:
    return form.name.partition("/")[0]


def _numeric(form: Form) -> str:
    return form.name.partition("/")[2]


def _gates(draft: Draft, form: RankerForm, change: Interval | None) -> list[Gate]:
    """Hold a form against its own network by its lists, and against the teacher by what users get."""
    limits = draft.profile.gates
    remark = f"largest relative difference of the graphs of {form.network} from torch, {len(draft.lists)} lists"
    parity = at_most(PARITY, form.difference, limits.parity, remark)
    remark = f"mean overlap of the first {K} of form {form.name} with its exact network, {len(draft.lists)} lists"
    gates = [parity, at_least("rank_overlap", form.overlap, limits.rank_overlap, remark)]
    teacher = teacher_form(draft)
    if form.name == teacher:
        return gates
    if change is not None:
        remark = (
            f"relative change of ndcg@{K} of form {form.name} against {teacher}, low end of the 95 % interval, "
            f"{len(draft.jury.users)} gate users; mean change {change.value:+.4f}"
        )
        gate = at_least("form_quality", change.low, -limits.form_loss, remark)
        return [*gates, compared(gate, teacher, change)]
    gate = skipped("form_quality", -limits.form_loss, draft.jury.too_small)
    insisted = "always" in (draft.profile.ranker.distil, draft.profile.ranker.prune)
    # A narrower network that cannot be judged ships only where it was asked for.
    is_teacher = form.network == draft.forms[teacher].network
    return [*gates, gate if is_teacher or insisted else at_least(gate.name, float("nan"), gate.limit, gate.remark)]


def _worst_parity(gates: dict[str, list[Gate]]) -> Gate:
    """Give the gate ``onnx_parity`` of the network whose graphs differ most from it."""
    found = [gate for of in gates.values() for gate in of if gate.name == PARITY]
    return max(found, key=lambda gate: gate.value or 0.0)


def _latencies(draft: Draft) -> dict[int, dict[str, float]]:
    """Time each form on this machine: C -> form -> median microseconds; the C of the profile comes last."""
    inputs = draft.plan.item_inputs(draft.final.counts)
    sessions = {name: open_session(form.graph) for name, form in draft.forms.items()}
    rows = {name: form.items.rows(inputs) for name, form in draft.forms.items()}
    measured = {}
    for count in [*(one for one in TIMED_CANDIDATES if one != draft.candidates), draft.candidates]:
        feeds = {name: [_resized(feed(c, rows[name]), count) for c in draft.lists[:16]] for name in sessions}
        work = {name: partial(_turn, sessions[name], feeds[name]) for name in sessions}
        measured[count] = median_us(work, rounds=TIMED_ROUNDS)
    return measured


def _resized(feed: Feed, count: int) -> Feed:
    """Repeat or cut the candidates of a list to a given number, for timing."""
    resized = {name: np.resize(feed[name], (count, feed[name].shape[1])) for name in ("cross", "item")}
    return {"user": feed["user"], **resized}


def _turn(session: Any, feeds: list[Feed], turn: int) -> None:
    session.run(["score"], feeds[turn % len(feeds)])


def _difference(
    ranker: TrainedRanker,
    drawing: Drawing,
    rows: npt.NDArray[np.generic],
    inputs: Floats,
    lists: list[CandidateList],
) -> float:
    """Give the largest relative difference of a float32 graph from torch: of exact rows from the trained network."""
    found = score_lists(drawing.graph, lists, rows)
    if rows.dtype == np.float32:
        expected = [ranker.score(c.user, inputs[c.rows], c.cross) for c in lists]
    else:
        expected = _torch_scores(drawing.weights, [feed(c, rows) for c in lists])
    return relative_difference(found, expected)


def _torch_scores(weights: SplitWeights, feeds: list[Feed]) -> list[Floats]:
    network = SplitNetwork(weights)
    with torch.no_grad():
        return [
            network(*(torch.from_numpy(np.ascontiguousarray(feed[name])) for name in ("cross", "user", "item"))).numpy()
            for feed in feeds
        ]
