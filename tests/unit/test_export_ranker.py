from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from scipy import sparse as sp

from gnas_export.ranker.candidates import CandidateList
from gnas_export.ranker.distil import TEACHER_SHARE, distilled
from gnas_export.ranker.fitting import _kept_epoch, fit_ranker
from gnas_export.ranker.lessons import Lessons, learnable
from gnas_export.ranker.network import RankerNetwork, Scaling, TrainedRanker
from gnas_export.ranker.numeric import draw, feed, required_nodes
from gnas_export.ranker.onnx_graph import retrieval_graph
from gnas_export.ranker.parity import mean_overlap, mean_rank_correlation, relative_difference
from gnas_export.ranker.prune import cut, pruned
from gnas_export.ranker.quantize import quantise, quantise_dynamically, quantised_nodes
from gnas_export.ranker.variants import NUMERIC
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


def _run(graph, feeds):
    session = open_session(graph)
    return [session.run(["score"], feed)[0] for feed in feeds]


@pytest.fixture(scope="module")
def forms():
    """Each form's graph and item rows, with the exact scores of some lists."""
    ranker = _network()
    inputs = np.random.default_rng(2).standard_normal((400, ITEMS)).astype(np.float32) * 2
    lists = _lists(30, 120, inputs)
    made = draw(ranker, inputs, lists[:10])
    rows = {name: one.items.rows(inputs) for name, one in made.items()}
    return made, rows, lists, [ranker.score(c.user, inputs[c.rows], c.cross) for c in lists]


def test_an_untrained_network_keeps_the_order_of_retrieval():
    ranker = _network(trained=False)
    inputs = np.ones((50, ITEMS), np.float32)
    for c in _lists(5, 40, inputs):
        assert (np.diff(ranker.score(c.user, inputs[c.rows], c.cross)) <= 0).all()


def _scores(graph, lists, rows):
    return _run(graph, [feed(c, rows) for c in lists])


def test_the_split_graph_is_the_network(forms):
    made, rows, lists, exact = forms
    assert tuple(made) == NUMERIC
    assert rows["fp32"].dtype == np.float32
    assert relative_difference(_scores(made["fp32"].graph, lists, rows["fp32"]), exact) < 1e-5


@pytest.mark.parametrize(
    ("name", "stored", "least"),
    [
        ("fp32+u8", np.uint8, 0.95),
        ("fp16", np.float16, 0.99),
        ("int8", np.uint8, 0.93),
        ("int8-dynamic", np.uint8, 0.93),
    ],
)
def test_compressed_forms_rank_alike(forms, name, stored, least):
    made, rows, lists, exact = forms
    assert rows[name].dtype == stored
    found = _scores(made[name].graph, lists, rows[name])
    assert mean_overlap(found, exact) >= least
    assert mean_rank_correlation(found, exact) > 0.99


def test_half_the_bytes_are_really_gone(forms):
    made, rows, _, _ = forms
    assert 2 * rows["fp16"].nbytes == rows["fp32"].nbytes
    kinds = {one.data_type for one in onnx.load_model_from_string(made["fp16"].graph).graph.initializer}
    assert kinds & {onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE} == set()


def test_scores_that_are_no_numbers_are_like_none():
    exact, broken = [np.arange(30.0, dtype=np.float32)], [np.full(30, np.nan, np.float32)]
    assert mean_overlap(broken, exact) == mean_rank_correlation(broken, exact) == 0.0
    assert mean_rank_correlation([-exact[0]], exact) == pytest.approx(-1.0)


def test_int8_really_is_int8(forms):
    made, _, _, _ = forms
    assert [made[name].integer_nodes for name in ("int8", "int8-dynamic")] == [1, 1]
    assert quantised_nodes(made["fp32"].graph) == 0
    with pytest.raises(ExportError, match="no node"):
        required_nodes(made["fp32+u8"].graph)


def _constants(graph):
    return {one.name: numpy_helper.to_array(one) for one in onnx.load_model_from_string(graph).graph.initializer}


def _first_layer(weights, asked):
    sums = asked["item"].astype(np.float32) + asked["cross"] @ weights.cross + asked["user"] @ weights.user
    return np.maximum(sums + weights.user_bias, 0.0)


def test_static_int8_has_a_scale_per_unit_and_spans_the_activations_that_were_measured(forms):
    made, rows, lists, _ = forms
    weights, constants = made["int8"].weights, _constants(made["int8"].graph)
    scale, codes = constants["second.scale"], constants["second.codes"]
    assert scale == pytest.approx(np.abs(weights.second).max(axis=0) / 127, rel=1e-6)
    assert scale.shape == (HIDDEN[1],)
    assert len(set(scale.tolist())) == HIDDEN[1]
    assert np.array_equal(np.abs(codes.astype(int)).max(axis=0), np.full(HIDDEN[1], 127))
    assert np.abs(codes * scale - weights.second).max() <= scale.max() / 2 * 1.001
    peak = max(_first_layer(weights, feed(c, rows["int8"])).max() for c in lists[:10])  # what it was calibrated on
    assert constants["first.scale"] == pytest.approx(peak / 255, rel=1e-5)


def test_static_int8_is_what_its_codes_and_scales_say(forms):
    """ONNX Runtime rewrites the graph: against the same arithmetic in numpy, over every activation and weight."""
    made, rows, lists, _ = forms
    weights, constants = made["int8"].weights, _constants(made["int8"].graph)
    expected = []
    for c in lists:
        asked = feed(c, rows["int8"])
        step = constants["first.scale"]
        first = np.clip(np.rint(_first_layer(weights, asked) / step), 0, 255) * step
        second = first @ (constants["second.codes"] * constants["second.scale"]) - constants["second.negative_bias"]
        last = np.maximum(second, 0.0) @ weights.last.ravel()
        expected.append((last + asked["cross"] @ weights.wide.ravel() + weights.wide_bias.ravel()).astype(np.float32))
    assert relative_difference(_scores(made["int8"].graph, lists, rows["int8"]), expected) < 1e-4


def test_any_number_of_candidates_and_rows_unknown_at_export(forms):
    made, rows, _, _ = forms
    for name, one in made.items():
        for count in (1, 2, 333):
            asked = {"cross": np.ones((count, CROSS), np.float32), "user": np.ones((1, USERS), np.float32)}
            assert _run(one.graph, [{**asked, "item": rows[name][:count]}])[0].shape == (count,)


def test_graphs_hold_products_and_nothing_of_this_machine(forms):
    for graph in (one.graph for one in forms[0].values()):
        model = onnx.load_model_from_string(graph)
        kinds = {node.op_type for node in model.graph.node}
        assert kinds & {"MatMul", "MatMulInteger"}
        # No product of the hidden layers: its int8 form is made of a MatMul.
        assert [len(node.input) for node in model.graph.node if node.op_type == "Gemm"] == [3, 3, 3, 3]
        assert b"site-packages" not in graph
        assert b".py" not in graph


def test_the_simplest_graph_gives_the_scores_back():
    scores = np.random.default_rng(0).standard_normal((77, 1)).astype(np.float32)
    assert np.array_equal(_run(retrieval_graph(), [{"cross": scores}])[0], scores[:, 0])
    assert retrieval_graph() == retrieval_graph()


def test_quantising_a_graph_without_the_product_is_an_error():
    weights, _ = _network(seed=5).split(np.ones((4, ITEMS), np.float32), stored="uint8")
    graph = retrieval_graph()
    with pytest.raises(ExportError, match="no product"):
        quantise(graph, weights, 1.0)
    with pytest.raises(ExportError, match="no product"):
        quantise_dynamically(graph, weights)


def _task(users=120, seed=0):
    """Users all want items whose first attribute is high; retrieval's order is noise."""
    rng = np.random.default_rng(seed)
    inputs = rng.standard_normal((200, ITEMS)).astype(np.float32)
    lists = _lists(users, 60, inputs, seed)
    wanted = np.zeros((users, 200), np.float32)
    for c in lists:
        wanted[c.user_row, c.rows[np.argsort(-inputs[c.rows, 0])[:3]]] = 1
    return lists, sp.csr_matrix(wanted), inputs


def _lessons(users=120, seed=0):
    lists, relevant, inputs = _task(users, seed)
    return Lessons.of(lists, relevant, inputs, seed=seed)


def test_training_finds_what_retrieval_cannot_know():
    fitted = fit_ranker(_lessons(), hidden=HIDDEN, score_column=0, seed=0)
    assert fitted.best_epoch > 0
    assert max(fitted.inner) > fitted.inner[0] + 0.2


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
    def trained():
        lessons = _lessons(users=60)
        teacher = fit_ranker(lessons, hidden=HIDDEN, score_column=0, seed=3).ranker.network
        student = distilled(teacher, lessons, (8, 4), seed=3).ranker.network
        return [one.state_dict() for one in (teacher, student, pruned(student, lessons, (4, 4), seed=3).ranker.network)]

    for one, other in zip(trained(), trained(), strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def teacher():
    lessons = _lessons()
    return lessons, fit_ranker(lessons, hidden=HIDDEN, score_column=0, seed=0).ranker.network


def test_a_student_begins_as_the_linear_path_and_comes_near_its_teacher(teacher):
    lessons, network = teacher
    fitted = distilled(network, lessons, (8, 4), seed=0)
    begun = RankerNetwork(lessons.widths, (8, 4), 0, torch.Generator().manual_seed(0))
    with torch.no_grad():
        begun.wide.copy_(network.wide)
    _, held_back = lessons.softened(network, TEACHER_SHARE)
    assert fitted.ranker.network.widths == (8, 4)
    assert fitted.inner[0] == pytest.approx(lessons.inner_likelihood(begun, held_back).mean())
    assert fitted.inner[fitted.best_epoch] == pytest.approx(max(fitted.inner), abs=0.05)
    # Nothing is liker to what is taught than itself.
    assert max(fitted.inner) < torch.special.entr(held_back).sum(dim=1).mean().neg()
    ndcg = lessons.inner_ndcg(fitted.ranker.network).mean()
    assert ndcg > lessons.inner_ndcg(begun).mean() + 0.2
    assert ndcg > lessons.inner_ndcg(network).mean() - 0.1


def test_a_teacher_that_learned_nothing_the_labels_tell_is_followed_all_the_same(teacher):
    """An epoch is kept for being like the teacher, though no label says that it is better."""
    lessons, _ = teacher
    odd = RankerNetwork(lessons.widths, HIDDEN, 0, torch.Generator().manual_seed(5))
    with torch.no_grad():
        odd.last.normal_(generator=torch.Generator().manual_seed(6))
    fitted = distilled(odd, lessons, (8, 4), seed=0)
    assert fitted.best_epoch > 0
    assert max(fitted.inner) > fitted.inner[0] + 0.05


def test_a_student_learns_what_no_label_says(teacher):
    """Of labels drawn at random a teacher that knows the task is still a teacher."""
    lessons, network = teacher
    rng = torch.Generator().manual_seed(0)
    noise = torch.rand(lessons.labels.shape, generator=rng).topk(3).indices
    shuffled = torch.zeros_like(lessons.labels).scatter_(1, noise, 1.0 / 3.0)
    blind = replace(lessons, labels=shuffled)
    found = distilled(network, blind, (8, 4), seed=0).ranker.network
    assert lessons.inner_ndcg(found).mean() > fit_ranker(blind, hidden=(8, 4), score_column=0, seed=0).inner[-1] + 0.2


def test_what_a_network_does_not_use_is_cut_without_a_change(teacher):
    lessons, network = teacher
    wide = RankerNetwork(lessons.widths, (HIDDEN[0] + 5, HIDDEN[1] + 3), 0, torch.Generator().manual_seed(1))
    first, second = torch.randperm(HIDDEN[0] + 5)[: HIDDEN[0]], torch.randperm(HIDDEN[1] + 3)[: HIDDEN[1]]
    first, second = first.sort().values, second.sort().values
    with torch.no_grad():
        # The units beside those of the teacher are constant, or lead nowhere.
        for name in ("user", "item", "cross"):
            getattr(wide, name).zero_()[:, first] = getattr(network, name)
        wide.first_bias.fill_(0.5)[first] = network.first_bias
        wide.last.zero_()[second] = network.last
        wide.second[first[:, None], second] = network.second
        constant = torch.ones(len(wide.first_bias), dtype=torch.bool)
        constant[first] = False
        wide.second[constant] = 0.25
        wide.second_bias[second] = network.second_bias - 0.5 * 0.25 * 5
        wide.wide.copy_(network.wide)
    left = cut(wide, lessons, HIDDEN)
    for name, value in network.named_parameters():
        assert torch.allclose(getattr(left, name), value, atol=1e-5), name


def test_a_pruned_network_is_tuned_to_what_it_was(teacher):
    lessons, network = teacher
    raw = cut(network, lessons, (16, 8))
    _, held_back = lessons.softened(network, TEACHER_SHARE)
    fitted = pruned(network, lessons, (16, 8), seed=0)
    assert fitted.ranker.network.second.shape == (16, 8)
    assert fitted.inner[0] == pytest.approx(lessons.inner_likelihood(raw, held_back).mean())
    assert fitted.inner[fitted.best_epoch] > fitted.inner[0]
    assert lessons.inner_ndcg(fitted.ranker.network).mean() > lessons.inner_ndcg(network).mean() - 0.1


def test_lists_without_a_relevant_candidate_teach_nothing():
    inputs = np.ones((50, ITEMS), np.float32)
    lists = _lists(3, 10, inputs)
    relevant = np.zeros((3, 50), np.float32)
    relevant[0, lists[0].rows[0]] = 1  # one of ten
    relevant[1, lists[1].rows] = 1  # all of them
    assert [c.user_row for c in learnable(lists, sp.csr_matrix(relevant))] == [0]
