"""Steps of the second stage: the ranker, its graphs, its forms."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from gnas_export.candidates import CandidateList, collect, plan_features
from gnas_export.decisions import Form, quickest
from gnas_export.draft import Draft, RankerForm
from gnas_export.gates import at_least, at_most
from gnas_export.network import SplitNetwork, SplitWeights
from gnas_export.onnx_graph import retrieval_graph, split_graph
from gnas_export.package import PackedRanker
from gnas_export.parity import mean_overlap, relative_difference
from gnas_export.quantize import first_layer_peak, quantise, require_quantised
from gnas_export.ranker import MAX_USERS, MIN_USERS, fit_ranker, learnable
from gnas_export.shipped import ShippedFit
from gnas_export.timing import median_us
from gnas_serve.artifact.manifest import RankerFacts
from gnas_serve.errors import ExportError
from gnas_serve.runtime.ranker import Ranker
from gnas_serve.runtime.session import open_session

Floats = npt.NDArray[np.float32]
Feed = dict[str, npt.NDArray[Any]]

_CALIBRATION_LISTS = 64
_MEASURED_LISTS = 256
_TIMED_ROUNDS = 300
_TIMED_CANDIDATES = (100, 300)
_SCORE = "score_z"
_EXACT_FORM = "fp32"
_INTEGER_FORM = "int8"


def draw_plain_ranker(draft: Draft) -> None:
    """Make the simplest ranker; it needs nothing and every artifact can fall back to it.

    Given: the checkpoint.
    Result: ``plan``, ``plain``, gate ``onnx_parity`` of the simplest form.
    """
    draft.plan = plan_features(draft.checkpoint)
    graph = retrieval_graph()
    facts = RankerFacts(kind="retrieval", precision="fp32", candidates=draft.candidates, cross=("score",))
    draft.plain = PackedRanker(graph, facts)
    scores = np.random.default_rng(draft.seed).standard_normal((draft.candidates, 1)).astype(np.float32)
    found = open_session(graph).run(["score"], {"cross": scores})[0]
    difference = relative_difference([found], [scores[:, 0]])
    remark = "largest relative difference of the retrieval form from the scores themselves"
    draft.gates.append(at_most("onnx_parity_plain", difference, draft.profile.gates.parity, remark))


def train_ranker(draft: Draft) -> None:
    """Train the learned ranker on candidates of the selection fit, labelled by validation.

    Given: ``selection`` with its index, ``fitting``, ``plan``.
    Result: ``fitted``, or None where it is not wanted or there is too little to learn from.
    """
    given = draft.decisions.given("ranker")
    if draft.mode == "never":
        draft.decisions.take("ranker", "retrieval", "no learned ranker is wanted")
        return
    if given is not None and given.choice == "retrieval":
        return
    users = np.random.default_rng(draft.seed).permutation(draft.fitting)[:MAX_USERS]
    lists = learnable(collect_lists(draft, draft.selection, np.sort(users)), draft.checkpoint.valid)
    if len(lists) < MIN_USERS:
        reason = f"{len(lists)} ranker-fitting users have a held-out item among their candidates, below {MIN_USERS}"
        if draft.mode == "always":
            raise ExportError(
                f"no ranker can be trained: {reason}", hint="give more data, or export with --ranker auto"
            )
        draft.decisions.take("ranker", "retrieval", reason)
        return
    draft.fitted = fit_ranker(
        lists,
        draft.checkpoint.valid,
        draft.plan.item_inputs(draft.selection.counts),
        hidden=draft.profile.ranker.hidden,
        score_column=draft.plan.cross.index(_SCORE),
        seed=draft.seed,
    )
    draft.facts["ranker_training"] = {
        "users": draft.fitted.users,
        "best_epoch": draft.fitted.best_epoch,
        "inner_ndcg": list(draft.fitted.inner_ndcg),
    }


def draw_forms(draft: Draft) -> None:
    """Make the graphs of the learned ranker and hold them against the network that they were made from.

    Given: ``fitted``, ``final``, ``probes``.
    Result: ``lists``, ``forms``, ranker gate ``onnx_parity``.
    """
    if draft.fitted is None:
        return
    ranker, inputs = draft.fitted.ranker, draft.plan.item_inputs(draft.final.counts)
    lists = collect_lists(draft, draft.final, draft.probes[: _CALIBRATION_LISTS + _MEASURED_LISTS])
    if not lists:
        raise ExportError("no user has a vector in the final fit", hint="train again: the final fit gave nothing")
    calibration, measured = divided(lists)
    draft.lists = measured
    expected = [ranker.score(c.user, inputs[c.rows], c.cross) for c in measured]
    worst = 0.0
    for name, compact in (("fp32", False), ("fp32+u8", True)):
        weights, items = ranker.split(inputs, compact=compact)
        rows = items.rows(inputs)
        graph = split_graph(weights, rows.dtype)
        feeds = [_feed(c, rows) for c in measured]
        found = _run(graph, feeds)
        reference = _torch_scores(weights, feeds) if compact else expected
        worst = max(worst, relative_difference(found, reference))
        draft.forms[name] = RankerForm(name, graph, weights, items, mean_overlap(found, expected))
    compact_form = draft.forms["fp32+u8"]
    rows = compact_form.items.rows(inputs)
    peak = first_layer_peak(compact_form.weights, [_feed(c, rows) for c in calibration])
    graph = quantise(compact_form.graph, compact_form.weights, peak)
    draft.facts["int8_nodes"] = require_quantised(graph)
    overlap = mean_overlap(_run(graph, [_feed(c, rows) for c in measured]), expected)
    draft.forms["int8"] = RankerForm("int8", graph, compact_form.weights, compact_form.items, overlap)
    remark = f"largest relative difference of the graphs from torch, {len(measured)} candidate lists"
    draft.ranker_gates.append(at_most("onnx_parity", worst, draft.profile.gates.parity, remark))


def choose_form(draft: Draft) -> None:
    """Time every form and keep the one that the tie rules choose among those that rank as the exact network does.

    Given: ``forms``, ``lists``, ``final``.
    Result: ``form``, ranker gate ``rank_overlap``.
    """
    if not draft.forms:
        return
    limit, wanted = draft.profile.gates.rank_overlap, draft.profile.ranker.precision
    sizes = {name: draft.packed(name, draft.final).size_bytes() for name in draft.forms}
    given = draft.decisions.given("form")
    latency = {} if given is not None else _latencies(draft)
    draft.facts["forms"] = {
        name: {
            "size_bytes": sizes[name],
            "overlap@20": form.overlap,
            **({"latency_us": {str(c): times[name] for c, times in latency.items()}} if latency else {}),
        }
        for name, form in draft.forms.items()
    }
    if given is not None:
        draft.form = given.choice
    else:
        timed = [Form(name, sizes[name], latency[draft.candidates][name]) for name in draft.forms]
        alike = {name for name, form in draft.forms.items() if form.overlap >= limit}
        draft.form = chosen_form(timed, alike, wanted)
        excluded = "".join(
            f"; {name} overlaps {form.overlap:.3f}" for name, form in draft.forms.items() if name not in alike
        )
        asked = f"precision {wanted}: " if wanted != "auto" else ""
        draft.decisions.take("form", draft.form, f"{asked}size and time at C={draft.candidates}{excluded}")
    remark = f"mean overlap of the first 20 of form {draft.form} with the exact network, {len(draft.lists)} lists"
    draft.ranker_gates.append(at_least("rank_overlap", draft.forms[draft.form].overlap, limit, remark))


def divided(lists: list[CandidateList]) -> tuple[list[CandidateList], list[CandidateList]]:
    """Divide lists into those that int8 is calibrated on and those that it is measured on.

    A form that was measured on what it was calibrated on would flatter itself. A single list has to do both.
    """
    share = _CALIBRATION_LISTS / (_CALIBRATION_LISTS + _MEASURED_LISTS)
    middle = min(_CALIBRATION_LISTS, max(1, round(share * len(lists))))
    return lists[:middle], lists[middle:] or lists


def chosen_form(forms: list[Form], alike: set[str], wanted: str) -> str:
    """Choose a form of the ranker.

    Parameters
    ----------
    forms
        All of them, timed.
    alike
        Names of those that rank as the exact network does.
    wanted
        The profile's precision: ``"auto"``, ``"fp32"`` or ``"int8"``.

    Returns
    -------
    str
        The plain fp32 form where no wanted form ranks alike: the gate then says by how much.
    """
    if wanted == "int8":
        return _INTEGER_FORM
    allowed = [form for form in forms if form.name in alike and (wanted == "auto" or form.name != _INTEGER_FORM)]
    if not allowed:
        return _EXACT_FORM
    floats = [form for form in allowed if form.name != _INTEGER_FORM]
    fastest = min(allowed, key=lambda form: form.latency_us)
    # int8 that is not even faster is the more complicated form for nothing.
    return quickest(allowed if fastest.name == _INTEGER_FORM or not floats else floats).name


def _latencies(draft: Draft) -> dict[int, dict[str, float]]:
    """Time each form on this machine: C -> form -> median microseconds."""
    inputs = draft.plan.item_inputs(draft.final.counts)
    sessions = {name: open_session(form.graph) for name, form in draft.forms.items()}
    rows = {name: form.items.rows(inputs) for name, form in draft.forms.items()}
    measured = {}
    for count in sorted({*_TIMED_CANDIDATES, draft.candidates}):
        feeds = {name: [_resized(_feed(c, rows[name]), count) for c in draft.lists[:16]] for name in sessions}
        work = {name: partial(_turn, sessions[name], feeds[name]) for name in sessions}
        measured[count] = median_us(work, rounds=_TIMED_ROUNDS)
    return measured


def collect_lists(draft: Draft, fit: ShippedFit, users: npt.NDArray[np.integer]) -> list[CandidateList]:
    """Retrieve for some users, with the inputs of the learned ranker."""
    scorer = Ranker(
        open_session(draft.plain.graph),
        draft.plan.cross,
        fit.counts,
        num_parts=len(fit.exact.branches),
        user_table=draft.plan.users,
        content=draft.plan.content,
    )
    return collect(fit, draft.plan, scorer, users, draft.candidates)


def score_lists(graph: bytes, lists: list[CandidateList], rows: npt.NDArray[np.generic]) -> list[Floats]:
    """Run a graph over candidate lists; ``rows`` are the stored item rows that it reads."""
    return _run(graph, [_feed(candidates, rows) for candidates in lists])


def _feed(candidates: CandidateList, rows: npt.NDArray[np.generic]) -> Feed:
    return {"cross": candidates.cross, "user": candidates.user[None, :], "item": rows[candidates.rows]}


def _resized(feed: Feed, count: int) -> Feed:
    """Repeat or cut the candidates of a list to a given number, for timing."""
    resized = {name: np.resize(feed[name], (count, feed[name].shape[1])) for name in ("cross", "item")}
    return {"user": feed["user"], **resized}


def _run(graph: bytes, feeds: list[Feed]) -> list[Floats]:
    session: Any = open_session(graph)
    return [session.run(["score"], feed)[0] for feed in feeds]


def _turn(session: Any, feeds: list[Feed], turn: int) -> None:
    session.run(["score"], feeds[turn % len(feeds)])


def _torch_scores(weights: SplitWeights, feeds: list[Feed]) -> list[Floats]:
    network = SplitNetwork(weights)
    with torch.no_grad():
        return [
            network(*(torch.from_numpy(np.ascontiguousarray(feed[name])) for name in ("cross", "user", "item"))).numpy()
            for feed in feeds
        ]
