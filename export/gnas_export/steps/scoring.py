"""Steps of the second stage: the plain ranker, and the learned one as it is trained."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from gnas_export.draft import Draft
from gnas_export.gates import at_most
from gnas_export.judging.quality import K
from gnas_export.package import PackedRanker
from gnas_export.ranker.attention import AttentiveLessons, Histories, fit_attention
from gnas_export.ranker.candidates import CandidateList, collect, plan_features
from gnas_export.ranker.distil import TEACHER_SHARE
from gnas_export.ranker.fitting import MAX_USERS, MIN_USERS, Fitted, fit_ranker, taught
from gnas_export.ranker.lessons import Lessons, learnable, one_thread
from gnas_export.ranker.network import RankerNetwork
from gnas_export.ranker.numeric import feed
from gnas_export.ranker.onnx_graph import retrieval_graph
from gnas_export.ranker.parity import relative_difference
from gnas_export.ranker.variants import ATTENTION, attention_name, planned
from gnas_export.retrieval.reference import popular_answers
from gnas_export.retrieval.shipped import ShippedFit
from gnas_search.bootstrap import paired_interval
from gnas_serve.artifact.manifest import RankerFacts
from gnas_serve.errors import ExportError
from gnas_serve.runtime.ranker import Ranker
from gnas_serve.runtime.session import open_session

Floats = npt.NDArray[np.float32]

SCORE = "score_z"


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

    Given: ``selection`` with its index, ``fitting``, ``plan``, ``jury``.
    Result: ``lessons`` and the teacher among ``networks``; none where no ranker is wanted or there is too little to
    learn from. Where the profile asks for attention, what is measured of it, and ``thoughts`` where it is followed.
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
    inputs = draft.plan.item_inputs(draft.selection.counts)
    draft.lessons = Lessons.of(lists, draft.checkpoint.valid, inputs, seed=draft.seed)
    teacher, score_column = planned(draft.profile.ranker)[0], draft.plan.cross.index(SCORE)
    alone = None
    if draft.profile.ranker.teacher != "attention":
        alone = fit_ranker(draft.lessons, hidden=teacher.hidden, score_column=score_column, seed=draft.seed)
    if draft.profile.ranker.teacher != "mlp":
        with one_thread():
            _attend(draft, teacher.hidden, score_column, alone)
    if draft.thoughts is not None:
        network = RankerNetwork(
            draft.lessons.widths, teacher.hidden, score_column, torch.Generator().manual_seed(draft.seed)
        )
        targets = draft.lessons.mixed(draft.thoughts, TEACHER_SHARE)
        draft.keep(teacher.name, taught(network, draft.lessons, targets, seed=draft.seed))
    else:
        alone = alone or fit_ranker(draft.lessons, hidden=teacher.hidden, score_column=score_column, seed=draft.seed)
        draft.keep(teacher.name, alone)


def _attend(draft: Draft, hidden: tuple[int, int], score_column: int, alone: Fitted | None) -> None:
    """Train the network that attends to histories, and measure it; the others follow it where that is worth it.

    The network itself goes again: what it thinks of the lessons is all that anybody needs of it.
    """
    histories = Histories.of(draft.selection.exact.item_vectors, draft.selection.seen)
    lessons = AttentiveLessons.beside(draft.lessons, histories)
    network, course = fit_attention(lessons, hidden=hidden, score_column=score_column, seed=draft.seed)
    draft.tell(attention_name(draft.profile.ranker), course)
    if not draft.jury.too_small:
        lists = collect_lists(draft, draft.selection, draft.jury.users)
        tops = lessons.tops(network, lessons.batch(lists)) if lists else []
        answers = unlisted_answers(draft, lists) | {c.user_row: top for c, top in zip(lists, tops, strict=True)}
        draft.measured[ATTENTION] = draft.jury.judge([answers[user_row] for user_row in draft.jury.users.tolist()])
    is_followed = course.best_epoch > 0
    if is_followed and alone is not None:
        found, plain = lessons.inner_ndcg(network), draft.lessons.inner_ndcg(alone.ranker.network)
        is_followed = paired_interval(found, plain, draft.seed).low > 0
    if is_followed:
        draft.thoughts = lessons.chances(network)


def unlisted_answers(draft: Draft, lists: list[CandidateList]) -> dict[int, npt.NDArray[np.int64]]:
    """Answer those gate users of whom there is no list as serving does: by popularity."""
    fit = draft.selection
    users = np.setdiff1d(draft.jury.users, [c.user_row for c in lists])
    return dict(zip(users.tolist(), popular_answers(fit.counts, fit.seen, users, K), strict=True))


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
    session: Any = open_session(graph)
    return [session.run(["score"], feed(candidates, rows))[0] for candidates in lists]
