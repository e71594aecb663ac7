import numpy as np
import onnx
import pytest
import torch
from scipy import sparse as sp

from gnas_export.candidates import CandidateList
from gnas_export.network import RankerNetwork, Scaling, TrainedRanker
from gnas_export.onnx_graph import retrieval_graph, split_graph
from gnas_export.parity import mean_overlap, relative_difference
from gnas_export.quantize import first_layer_peak, quantise, quantised_nodes, require_quantised
from gnas_export.ranker import _kept_epoch, fit_ranker, learnable
from gnas_serve.errors import ExportError
from gnas_serve.runtime.session import open_session

USERS, ITEMS, CROSS, HIDDEN = 3, 7, 2, (32, 16)


def _network(seed=0, *, trained=True):
    rng = np.random.default_rng(seed)
    network = RankerNetwork((USERS, ITEMS, CROSS), HIDDEN, 0, torch.Generator().manual_seed(seed))
    if trained:
        with torch.no_grad():
            network.last.copy_(0.3 * torch.randn(HIDDEN[1], 1, generator=torch.Generator().manual_seed(seed)))
    scalings = (
        Scaling.of((rng.standard_normal((90, width)) * 3 + 5).astype(np.float32)) for width in (USERS, ITEMS, CROSS)
    )
    return TrainedRanker(network, *scalings)


def _lists(count, candidates, items, seed=1):
    rng = np.random.default_rng(seed)
    lists = []
    for user_row in range(count):
        cross = np.sort(rng.standard_normal((candidates, CROSS)).astype(np.float32), axis=0)[::-1].copy()
        user = rng.standard_normal(USERS).astype(np.float32)
        lists.append(CandidateList(user_row, rng.choice(len(items), candidates, False), cross[:, 0], cross, user))
    return lists


def _feeds(lists, rows):
    return [{"cross": c.cross, "user": c.user[None], "item": rows[c.rows]} for c in lists]


def _run(graph, feeds):
    session = open_session(graph)
    return [session.run(["score"], feed)[0] for feed in feeds]


@pytest.fixture(scope="module")
def forms():
    """Each form's graph and item rows, with the exact scores of some lists."""
    ranker = _network()
    inputs = np.random.default_rng(2).standard_normal((400, ITEMS)).astype(np.float32) * 2
    lists = _lists(30, 120, inputs)
    made = {}
    for name, compact in (("fp32", False), ("u8", True)):
        weights, part = ranker.split(inputs, compact=compact)
        rows = part.rows(inputs)
        made[name] = (split_graph(weights, rows.dtype), rows)
    peak = first_layer_peak(weights, _feeds(lists[:10], rows))
    made["int8"] = (quantise(made["u8"][0], weights, peak), rows)
    return made, lists, [ranker.score(c.user, inputs[c.rows], c.cross) for c in lists]


def test_an_untrained_network_keeps_the_order_of_retrieval():
    ranker = _network(trained=False)
    inputs = np.ones((50, ITEMS), np.float32)
    for c in _lists(5, 40, inputs):
        assert (np.diff(ranker.score(c.user, inputs[c.rows], c.cross)) <= 0).all()


def test_the_split_graph_is_the_network(forms):
    made, lists, exact = forms
    graph, rows = made["fp32"]
    assert rows.dtype == np.float32
    assert relative_difference(_run(graph, _feeds(lists, rows)), exact) < 1e-5


@pytest.mark.parametrize(("name", "least"), [("u8", 0.95), ("int8", 0.93)])
def test_compressed_forms_rank_alike(forms, name, least):
    made, lists, exact = forms
    graph, rows = made[name]
    assert rows.dtype == np.uint8
    assert mean_overlap(_run(graph, _feeds(lists, rows)), exact) >= least


def test_int8_really_is_int8(forms):
    made, _, _ = forms
    assert require_quantised(made["int8"][0]) == 1
    assert quantised_nodes(made["fp32"][0]) == 0
    with pytest.raises(ExportError, match="no node"):
        require_quantised(made["u8"][0])


def test_any_number_of_candidates_and_rows_unknown_at_export(forms):
    made, _, _ = forms
    for graph, rows in made.values():
        for count in (1, 2, 333):
            feed = {"cross": np.ones((count, CROSS), np.float32), "user": np.ones((1, USERS), np.float32)}
            assert _run(graph, [{**feed, "item": rows[:count]}])[0].shape == (count,)


def test_graphs_hold_products_and_nothing_of_this_machine(forms):
    made, _, _ = forms
    for graph, _ in made.values():
        model = onnx.load_model_from_string(graph)
        kinds = {node.op_type for node in model.graph.node}
        assert "MatMul" in kinds
        assert "Gemm" not in kinds
        assert b"site-packages" not in graph
        assert b".py" not in graph


def test_the_simplest_graph_gives_the_scores_back():
    scores = np.random.default_rng(0).standard_normal((77, 1)).astype(np.float32)
    assert np.array_equal(_run(retrieval_graph(), [{"cross": scores}])[0], scores[:, 0])
    assert retrieval_graph() == retrieval_graph()


def test_quantising_a_graph_without_the_product_is_an_error(forms):
    weights, _ = _network(seed=5).split(np.ones((4, ITEMS), np.float32), compact=True)
    with pytest.raises(ExportError, match="no product"):
        quantise(forms[0]["u8"][0], weights, 1.0)


def _task(users=120, seed=0):
    """Users all want items whose first attribute is high; retrieval's order is noise."""
    rng = np.random.default_rng(seed)
    inputs = rng.standard_normal((200, ITEMS)).astype(np.float32)
    lists = _lists(users, 60, inputs, seed)
    wanted = np.zeros((users, 200), np.float32)
    for c in lists:
        wanted[c.user_row, c.rows[np.argsort(-inputs[c.rows, 0])[:3]]] = 1
    return lists, sp.csr_matrix(wanted), inputs


def test_training_finds_what_retrieval_cannot_know():
    lists, relevant, inputs = _task()
    fitted = fit_ranker(lists, relevant, inputs, hidden=HIDDEN, score_column=0, seed=0)
    assert fitted.best_epoch > 0
    assert max(fitted.inner_ndcg) > fitted.inner_ndcg[0] + 0.2


def test_the_last_epoch_that_is_no_worse_is_kept():
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((4, 400)) * 0.1
    level = rng.random(400)

    def kept(*means):
        return _kept_epoch([level + mean + noise[epoch] - noise[epoch].mean() for epoch, mean in enumerate(means)])

    assert kept(0.0, 0.02, 0.019, 0.018) == 3  # within a standard error of .007 of the best
    assert kept(0.0, 0.02, 0.019, 0.0) == 2
    assert kept(0.0, 0.05, 0.01, 0.01) == 1
    assert kept(0.01, 0.0, 0.0, 0.009) == 0  # training brought nothing


def test_training_is_deterministic():
    lists, relevant, inputs = _task(users=60)
    states = [
        fit_ranker(lists, relevant, inputs, hidden=HIDDEN, score_column=0, seed=3).ranker.network.state_dict()
        for _ in range(2)
    ]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_lists_without_a_relevant_candidate_teach_nothing():
    inputs = np.ones((50, ITEMS), np.float32)
    lists = _lists(3, 10, inputs)
    relevant = np.zeros((3, 50), np.float32)
    relevant[0, lists[0].rows[0]] = 1  # one of ten
    relevant[1, lists[1].rows] = 1  # all of them
    assert [c.user_row for c in learnable(lists, sp.csr_matrix(relevant))] == [0]
