"""One-shot search: a supernet trained path by path, then its paths ranked."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from gnas_search.architecture import ArchitectureSpec
from gnas_search.data.dataset import InteractionGraph
from gnas_search.memory import reuse_freed_memory
from gnas_search.memory_check import within_memory
from gnas_search.objective import batches
from gnas_search.space import NetworkSpace
from gnas_search.strategies.shortlist import LISTED
from gnas_search.supernet.choices import Choices, path_choices
from gnas_search.supernet.course import Course
from gnas_search.supernet.network import SharedNetwork
from gnas_search.supernet.ranking import ranking
from gnas_search.supernet.requirement import path_bytes, refuse_above
from gnas_search.supernet.survey import Answer, Survey
from gnas_search.trainer import batch_loss, default_device, learning_rate, optimizer_of


def affordable_paths(space: NetworkSpace, graph: InteractionGraph) -> Choices:
    """Give what shares weights where one path is trained at a time, before anything is allocated for it.

    Raises
    ------
    ConfigError
        With code ``"nothing_shared"`` or ``"too_large"``.
    """
    choices = path_choices(space)
    refuse_above(path_bytes(choices, graph))
    return choices


def one_shot(survey: Survey) -> Answer:
    """Train a supernet path by path, and list the best of its paths.

    References
    ----------
    Guo, Z. et al. (2020). Single path one-shot neural architecture search with uniform sampling. ECCV.

    Raises
    ------
    ConfigError
        With code ``"nothing_shared"`` or ``"too_large"``.
    NoViableTrialError
        If training diverged.
    """
    choices = affordable_paths(survey.space, survey.graph)
    with within_memory(choices.any_path.spec, survey.graph):
        network, course = train_paths(choices, survey)
        found = ranking(network, choices, survey) if course.done else []
    return Answer(tuple(one.listed for one in found[:LISTED]), course.done, len(found), survey.is_over)


def train_paths(choices: Choices, survey: Survey) -> tuple[SharedNetwork, Course]:
    """Train the shared weights: for each batch a path is drawn, every choice alike, and it alone takes a step.

    There are as many epochs as the setting has, times the operators of a layer: each of them learns from about as many
    batches as it would in a training of its own.
    """
    reuse_freed_memory()
    spec, graph = choices.any_path.spec, survey.graph
    network = SharedNetwork(choices, graph, seed=survey.seed).to(default_device())
    device = network.embeddings.device
    optimizer = optimizer_of(network, spec)
    rng = np.random.default_rng([survey.seed, 0])
    times = max([1, *(len(choices.operators(layer, 1)) for layer in range(choices.depth))])
    course = Course.of(spec, graph, survey.training_ends, survey.heard, times=times)
    for _ in course.each():
        network.thin(rng)
        for batch in batches(graph.positives, spec.batch_size, rng, device):
            if course.is_over:
                break
            path = choices.draw(rng, survey.allowed)
            network.choose(path.spec)
            loss = batch_loss(network, batch, loss_spec(path.spec), rng)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(spec, course.share_after(len(batch.users)) * spec.epochs)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            network.hold_alone()
            optimizer.step()
            course.trained(len(batch.users), float(loss.detach()))
    return network, course


def loss_spec(spec: ArchitectureSpec) -> ArchitectureSpec:
    """Give a spec whose settings of the loss and its regularisers are those that the spec is trained with."""
    # Whatever the layers are: canonical ones may take long to find, and no loss reads them.
    return _canonical(replace(spec, layers=("gcn",) if spec.layers else ()))


@lru_cache(maxsize=64)
def _canonical(spec: ArchitectureSpec) -> ArchitectureSpec:
    return spec.canonical()
