import numpy as np
import pytest
import torch
from scipy import sparse as sp

from gnas_export.ranker.attention import MOST_HISTORY, AttentionNetwork, AttentiveLessons, Histories, fit_attention
from gnas_export.ranker.candidates import CandidateList
from gnas_export.ranker.distil import TEACHER_SHARE, distilled
from gnas_export.ranker.fitting import fit_ranker
from gnas_export.ranker.lessons import Lessons
from gnas_serve.runtime.seen import SeenItems

ITEMS, GROUPS, CANDIDATES, HIDDEN = 160, 4, 24, (16, 8)


def _world(users=160, seed=0, *, histories=True):
    """Each user wants the items that are like the history; no input but the vectors tells which those are."""
    rng = np.random.default_rng(seed)
    group = rng.integers(0, GROUPS, ITEMS)
    vectors = (np.eye(GROUPS)[group] + 0.1 * rng.standard_normal((ITEMS, GROUPS))).astype(np.float32)
    lists, wanted, past = [], np.zeros((users, ITEMS), np.float32), []
    for user_row in range(users):
        taste = rng.integers(0, GROUPS)
        known = rng.permutation(np.flatnonzero(group == taste))
        past.append(np.sort(known[: rng.integers(3, 9)]) if histories else known[:0])
        rows = rng.choice(ITEMS, CANDIDATES, replace=False)
        scores = np.sort(rng.standard_normal(CANDIDATES).astype(np.float32))[::-1].copy()
        wanted[user_row, rows[group[rows] == taste]] = 1
        lists.append(CandidateList(user_row, rows, scores, scores[:, None], np.zeros(1, np.float32)))
    inputs = rng.standard_normal((ITEMS, 2)).astype(np.float32)
    offsets = np.concatenate([[0], np.cumsum([len(rows) for rows in past])])
    seen = SeenItems(offsets.astype(np.int64), np.concatenate(past).astype(np.int32))
    lessons = Lessons.of(lists, sp.csr_matrix(wanted), inputs, seed=seed)
    return AttentiveLessons.beside(lessons, Histories.of(vectors, seen)), lessons


def _network(lessons, seed=0):
    components = lessons.histories.vectors.shape[1]
    return AttentionNetwork(lessons.widths, components, HIDDEN, 0, torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def trained():
    lessons, plain = _world()
    network, course = fit_attention(lessons, hidden=HIDDEN, score_column=0, seed=0)
    return lessons, plain, network, course


def test_untrained_it_ranks_as_retrieval_does():
    lessons, _ = _world(users=20)
    network = _network(lessons)
    with torch.no_grad():
        assert (lessons.scores(network, lessons.train).diff(dim=1) <= 0).all()


def test_what_only_history_and_candidate_together_tell_is_learned_with_the_history_alone(trained):
    lessons, plain, network, course = trained
    blind = fit_ranker(plain, hidden=HIDDEN, score_column=0, seed=0)
    assert course.best_epoch > 0
    assert course.inner[course.best_epoch] == pytest.approx(lessons.inner_ndcg(network).mean())
    assert lessons.inner_ndcg(network).mean() > plain.inner_ndcg(blind.ranker.network).mean() + 0.25


def _given(seed=0, length=6):
    rng = torch.Generator().manual_seed(seed)
    shapes = [(3, 1, 1), (3, CANDIDATES, 2), (3, CANDIDATES, 1), (3, CANDIDATES, GROUPS), (3, length, GROUPS)]
    return [torch.randn(shape, generator=rng) for shape in shapes]


def test_the_order_of_a_history_and_its_padding_change_nothing(trained):
    _, _, network, _ = trained
    *inputs, history = _given()
    nowhere = torch.zeros(3, 6, dtype=torch.bool)
    with torch.no_grad():
        expected = network(*inputs, history, nowhere)
        turned = network(*inputs, history[:, torch.randperm(6, generator=torch.Generator().manual_seed(1))], nowhere)
        longer = torch.cat([history, 100.0 * torch.ones(3, 4, GROUPS)], dim=1)
        padded = network(*inputs, longer, torch.cat([nowhere, torch.ones(3, 4, dtype=torch.bool)], dim=1))
        other = network(*inputs, history.flip(0), nowhere)
    assert torch.allclose(turned, expected, atol=1e-5)
    assert torch.allclose(padded, expected, atol=1e-5)
    assert not torch.allclose(other, expected, atol=1e-2)  # whose history it is does matter


def test_users_without_a_history_are_scored_and_learned_from():
    lessons, _ = _world(users=40, histories=False)
    network, _ = fit_attention(lessons, hidden=HIDDEN, score_column=0, seed=0)
    with torch.no_grad():
        assert lessons.scores(network, lessons.train).isfinite().all()
    assert all(parameter.isfinite().all() for parameter in network.parameters())


def test_of_a_long_history_so_many_items_are_spread_over_all_of_it():
    long = 3 * MOST_HISTORY + 7
    seen = SeenItems(np.array([0, 2, 2, 2 + long]), np.arange(2 + long, dtype=np.int32))
    rows, padded = Histories.of(np.eye(2 + long, 8, dtype=np.float32), seen).rows(torch.tensor([0, 1, 2]))
    assert rows.shape == padded.shape == (3, MOST_HISTORY)
    assert padded.sum(dim=1).tolist() == [MOST_HISTORY - 2, MOST_HISTORY, 0]
    assert rows[0, :2].tolist() == [0, 1]
    assert rows[2, 0] == 2
    assert 2 + long - rows[2, -1] <= 4
    assert set(rows[2].diff().tolist()) <= {3, 4}


def test_training_is_deterministic_on_any_number_of_threads():
    def weights(threads):
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            return fit_attention(_world(users=60)[0], hidden=HIDDEN, score_column=0, seed=3)[0].state_dict()
        finally:
            torch.set_num_threads(before)

    one, other = weights(1), weights(2)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_student_follows_the_thoughts_that_it_is_given(trained):
    """Not those of the network whose linear path it begins with."""
    lessons, plain, network, _ = trained
    beginning = fit_ranker(plain, hidden=HIDDEN, score_column=0, seed=0).ranker.network
    thoughts = lessons.chances(network)
    followed = distilled(beginning, plain, (8, 4), seed=0, thoughts=thoughts)
    itself = distilled(beginning, plain, (8, 4), seed=0)
    _, towards = plain.mixed(thoughts, TEACHER_SHARE)
    assert plain.inner_likelihood(followed.ranker.network, towards).mean() == pytest.approx(
        followed.inner[followed.best_epoch]
    )
    assert followed.inner[0] != pytest.approx(itself.inner[0], abs=1e-4)
