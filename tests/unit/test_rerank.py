from dataclasses import replace

import numpy as np
import pytest
from tiny_artifact import BLEND

from gnas_serve.artifact.branches import spans
from gnas_serve.runtime.embeddings import EmbeddingTable
from gnas_serve.runtime.neighbours import Neighbours
from gnas_serve.runtime.rerank import Rerank
from gnas_serve.runtime.topk import top_k

ITEMS, WIDTH = 50, 4
GNN = replace(BLEND[2], width=WIDTH)
PRIOR = BLEND[3]


@pytest.fixture(scope="module")
def vectors():
    return np.random.default_rng(0).standard_normal((ITEMS, WIDTH + 1)).astype(np.float32)


@pytest.fixture(scope="module")
def rerank(vectors):
    branches = (GNN, PRIOR)
    return Rerank(EmbeddingTable(vectors, columns=spans(branches)), branches, None)


def _list(seed, count=30):
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.choice(ITEMS, count, replace=False))
    scores = np.sort(rng.standard_normal(count).astype(np.float32))[::-1].copy()
    return rows, scores


def _textbook(vectors, rows, scores, k, diversity):
    """Maximal marginal relevance, pair by pair, in the words of the paper."""
    units = vectors[rows, :WIDTH].astype(np.float64)
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    relevance = (scores - scores.min()).astype(np.float64) / float(scores.max() - scores.min())
    chosen = [int(np.argmax(relevance))]
    while len(chosen) < k:
        left = [place for place in range(len(rows)) if place not in chosen]
        closest = {place: max(0.0, *(units[place] @ units[other] for other in chosen)) for place in left}
        chosen.append(max(left, key=lambda place: (1 - diversity) * relevance[place] - diversity * closest[place]))
    return chosen


@pytest.mark.parametrize("diversity", [0.2, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("seed", range(5))
def test_diversity_is_maximal_marginal_relevance(vectors, rerank, diversity, seed):
    rows, scores = _list(seed)
    found = rerank.order(rows, scores, 12, diversity=diversity)
    assert found.tolist() == _textbook(vectors, rows, scores, 12, diversity)


def test_without_wishes_the_best_come_first(rerank):
    rows, scores = _list(1)
    assert rerank.order(rows, scores[::-1].copy(), 7).tolist() == top_k(scores[::-1].copy(), 7).tolist()


def test_more_diversity_is_less_alike(vectors, rerank):
    units = vectors[:, :WIDTH] / np.linalg.norm(vectors[:, :WIDTH], axis=1, keepdims=True)

    def alikeness(diversity):
        found = 0.0
        for seed in range(20):
            rows, scores = _list(seed)
            chosen = units[rows[rerank.order(rows, scores, 8, diversity=diversity)]]
            found += (chosen @ chosen.T)[np.triu_indices(8, 1)].mean()
        return found / 20

    assert alikeness(0.0) > alikeness(0.5) > alikeness(1.0)


def test_popularity_alone_tells_nothing_apart(vectors):
    rows, scores = _list(2)
    rerank = Rerank(EmbeddingTable(vectors[:, -1:].copy(), columns=spans((PRIOR,))), (PRIOR,), None)
    assert rerank.order(rows, scores, 9, diversity=1.0).tolist() == list(range(9))


def test_a_model_of_links_tells_by_them(vectors):
    # Item 0 links to 1 and, weakly, to 2; nothing else is linked.
    offsets = np.array([0, 2] + [2] * (ITEMS - 1), dtype=np.int64)
    links = Neighbours(offsets, np.array([1, 2], dtype=np.int32), np.array([8.0, 2.0], dtype=np.float32), 0.0)
    branches = (BLEND[1], PRIOR)
    rerank = Rerank(EmbeddingTable(vectors[:, -1:].copy(), columns=spans(branches)), branches, links)
    scores = np.array([1.0, 0.9, 0.8, 0.0], dtype=np.float32)
    assert rerank.order(np.array([0, 1, 2, 3]), scores, 4, diversity=0.5).tolist() == [0, 2, 3, 1]


class TestExploration:
    def test_equal_seeds_draw_equal_lists_and_others_others(self, rerank):
        rows, scores = _list(3)
        drawn = [
            rerank.order(rows, scores, 10, exploration=0.5, rng=np.random.default_rng(seed)).tolist()
            for seed in (1, 1, 2)
        ]
        assert drawn[0] == drawn[1] != drawn[2]
        assert len(set(drawn[0])) == 10

    def test_the_first_is_drawn_as_the_softmax_says(self, rerank):
        rows = np.arange(4)
        scores = np.array([2.0, 1.0, 0.5, -1.0], dtype=np.float32)
        exploration = 0.4
        logits = (scores - scores.mean()) / scores.std() * ((1 - exploration) / exploration)
        expected = np.exp(logits) / np.exp(logits).sum()
        rng = np.random.default_rng(0)
        draws = 8000
        firsts = [int(rerank.order(rows, scores, 2, exploration=exploration, rng=rng)[0]) for _ in range(draws)]
        shares = np.bincount(firsts, minlength=4) / draws
        assert shares == pytest.approx(expected, abs=4 * np.sqrt(0.25 / draws))

    def test_all_of_it_is_an_even_draw(self, rerank):
        rows, scores = np.arange(5), np.array([9.0, 1.0, 0.5, 0.2, -9.0], dtype=np.float32)
        rng = np.random.default_rng(0)
        firsts = [int(rerank.order(rows, scores, 1, exploration=1.0, rng=rng)[0]) for _ in range(5000)]
        assert np.bincount(firsts, minlength=5) / 5000 == pytest.approx(np.full(5, 0.2), abs=0.03)

    def test_equal_scores_and_one_candidate(self, rerank):
        rng = np.random.default_rng(0)
        assert sorted(rerank.order(np.arange(3), np.ones(3, dtype=np.float32), 3, exploration=0.3, rng=rng)) == [
            0,
            1,
            2,
        ]
        one = np.ones(1, dtype=np.float32)
        assert rerank.order(np.array([7]), one, 5, exploration=0.3, diversity=0.3, rng=rng).tolist() == [0]

    @pytest.mark.parametrize("exploration", [5e-324, 1e-300, 1e-40, 1e-20])
    def test_next_to_none_of_it_takes_the_best(self, rerank, exploration):
        # The temperature's inverse is beyond every number here.
        rows, scores = _list(4)
        scores = np.append(scores, scores.mean()).astype(np.float32)  # one standardises to next to nothing
        rows = np.append(rows, 0)
        for diversity in (0.0, 1e-9):
            rng = np.random.default_rng(0)
            found = rerank.order(rows, scores, 12, exploration=exploration, diversity=diversity, rng=rng)
            assert found.tolist() == top_k(scores, 12).tolist()
