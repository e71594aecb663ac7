"""Differentiable search: weights and the shares of all choices learned in alternation, then made discrete."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gnas_search.data.dataset import InteractionGraph
from gnas_search.evaluate import Validation
from gnas_search.memory import reuse_freed_memory
from gnas_search.memory_check import within_memory
from gnas_search.objective import batches
from gnas_search.optimizer import Adam
from gnas_search.space import NetworkSpace
from gnas_search.space.encoder import NUM_LAYERS
from gnas_search.strategies.shortlist import LISTED
from gnas_search.supernet.choices import Choices, Path, mixed_choices
from gnas_search.supernet.course import Course, Step
from gnas_search.supernet.mixture import MixedNetwork, Mixture
from gnas_search.supernet.one_shot import loss_spec
from gnas_search.supernet.ranking import Ranked, shared_worth
from gnas_search.supernet.requirement import SCORES, mixed_bytes, refuse_above
from gnas_search.supernet.survey import Answer, Survey
from gnas_search.trainer import batch_loss, default_device, learning_rate, optimizer_of

HELD = 0.25
"""Share of the course in which the architecture parameters stay: whoever has no weights to learn is ahead at first."""
TRAVEL = 5.0
"""How far they can move in the rest of it, about as far as in the paper's thousands of steps of 0.0003."""
_FASTEST = 0.1
"""Of one step."""
_BETAS, _DECAY = (0.5, 0.999), 1e-3
_TRIED = 2000
"""Points that are looked at, next-best by next-best, for new and feasible networks."""


def affordable_mixture(space: NetworkSpace, graph: InteractionGraph) -> Choices:
    """Give what shares weights where all choices are mixed, before anything is allocated for it.

    Raises
    ------
    ConfigError
        With code ``"nothing_shared"`` or ``"too_large"``.
    """
    choices = mixed_choices(space)
    refuse_above(mixed_bytes(choices, graph))
    return choices


def darts(survey: Survey) -> Answer:
    """Train the mixture of all choices, and list the networks that its shares point to.

    References
    ----------
    Liu, H., Simonyan, K. and Yang, Y. (2019). DARTS: differentiable architecture search. ICLR (first order).

    Raises
    ------
    ConfigError
        With code ``"nothing_shared"`` or ``"too_large"``.
    NoViableTrialError
        If training diverged.
    """
    choices = affordable_mixture(survey.space, survey.graph)
    with within_memory(choices.any_path.spec, survey.graph):
        network, mixture, course = train_mixture(choices, survey)
        found = discretised(network, mixture, survey) if course.done else []
    return Answer(tuple(one.listed for one in found), course.done, len(found), survey.is_over)


def train_mixture(choices: Choices, survey: Survey) -> tuple[MixedNetwork, Mixture, Course]:
    """Alternate: the shares take a step on held-out items of validation users, the weights one on a batch."""
    # Differs from Liu et al.: validation is what trials are compared by, not a half of the training interactions:
    # a graph of half the edges is another graph, and favours other layers.
    reuse_freed_memory()
    spec, graph = choices.any_path.spec, survey.graph
    network = MixedNetwork(choices, graph, seed=survey.seed).to(default_device())
    device = network.embeddings.device
    optimizer = optimizer_of(network, spec)
    mixture = Mixture(choices, device)
    network.mix(mixture)
    shares = Adam(mixture.free, lr=0.0, betas=_BETAS, weight_decay=_DECAY)
    rng = np.random.default_rng([survey.seed, 0])
    course = Course.of(spec, graph, survey.training_ends, survey.heard)
    before = HELD
    for _ in course.each():
        network.thin(rng)
        for batch in batches(graph.positives, spec.batch_size, rng, device):
            if course.is_over:
                break
            share = course.share_after(len(batch.users))
            if share > before:
                rate = TRAVEL * (share - before) / (1.0 - HELD)
                _step(shares, mixture, held_out_loss(network, survey.validation, rng, spec.temperature), rate)
                before = share
            loss = batch_loss(network, batch, loss_spec(spec), rng)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(spec, share * spec.epochs)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            network.hold_alone()
            optimizer.step()
            course.trained(len(batch.users), float(loss.detach()))
    return network, mixture, course


def _step(optimizer: Adam, mixture: Mixture, loss: Tensor, rate: float) -> None:
    # A choice that no other leaves any effect, as of the input where the last layer alone is scored, has no gradient.
    gradients = torch.autograd.grad(loss, mixture.free, allow_unused=True)
    for logits, gradient in zip(mixture.free, gradients, strict=True):
        logits.grad = gradient
    for group in optimizer.param_groups:
        group["lr"] = min(rate, _FASTEST)
    optimizer.step()


def held_out_loss(
    network: MixedNetwork, validation: Validation, rng: np.random.Generator, temperature: float
) -> Tensor:
    """Compute the cross-entropy of held-out items among all that a user is ranked: those of training are masked.

    Parameters
    ----------
    network
        Computes the vectors, exactly, without what training drops and adds.
    validation
        Of some of its users, as many as :data:`~gnas_search.supernet.requirement.SCORES` allow.
    rng
        Draws them.
    temperature
        Divides cosine scores.
    """
    count = min(len(validation.users), max(1, SCORES // validation.relevant.shape[1]))
    places = np.sort(rng.choice(len(validation.users), count, replace=False)).astype(np.int64)
    part = validation.subset(places)
    users, items = network()
    device = users.device
    scores = users.index_select(0, torch.from_numpy(part.users).to(device)) @ items.T
    masked, relevant = part.masked.tocoo(), part.relevant.tocoo()
    hidden = torch.zeros(scores.shape, dtype=torch.bool, device=device)
    hidden[torch.from_numpy(masked.row).long().to(device), torch.from_numpy(masked.col).long().to(device)] = True
    divisor = temperature if network.spec.scorer == "cosine" else 1.0
    logs = (scores / divisor).masked_fill(hidden, -torch.inf).log_softmax(dim=1)
    weights = 1.0 / (np.diff(part.relevant.indptr)[relevant.row] * count)
    found = logs[torch.from_numpy(relevant.row).long().to(device), torch.from_numpy(relevant.col).long().to(device)]
    loss: Tensor = -(found * torch.from_numpy(weights.astype(np.float32)).to(device)).sum()
    return loss


def discretised(network: MixedNetwork, mixture: Mixture, survey: Survey) -> list[Ranked]:
    """List the networks that a mixture points to: of each gene its likeliest choice, then next-best ones.

    Returns
    -------
    list
        Of :data:`LISTED` at most, likeliest first; of equal networks one; those that are known already are left out.
    """
    found: list[Ranked] = []
    known = set(survey.known)
    for number, path in enumerate(likeliest(mixture)):
        if number >= _TRIED or len(found) >= LISTED or (found and survey.is_over):
            break
        key = path.spec.key()
        if key in known or not survey.allowed(path.spec):
            continue
        known.add(key)
        found.append(Ranked(path, key, shared_worth(network, path, survey.validation)))
        survey.heard(Step("network", len(found), LISTED, max(one.worth for one in found)))
    return found


def likeliest(mixture: Mixture) -> Iterator[Path]:
    """Give the paths of a mixture, least cost first.

    What a choice costs is the logarithm of how much less likely it is than the best of its gene. So a deep network is
    no dearer than a shallow one for having more choices; layers beyond its own cost nothing.
    """
    choices = mixture.choices
    costs = {name: sorted(one.items(), key=lambda pair: pair[1]) for name, one in mixture.costs().items()}
    names = list(costs)
    depths = range(len(costs[NUM_LAYERS]) if NUM_LAYERS in costs else 1)
    waiting: list[tuple[float, tuple[int, ...]]] = []
    for depth in depths:  # a number of layers stays what it is: which other choices count depends on it
        _push(waiting, costs, tuple(depth if name == NUM_LAYERS else 0 for name in names))
    seen = {places for _, places in waiting}
    while waiting:
        _, places = heapq.heappop(waiting)
        chosen = {name: costs[name][place][0] for name, place in zip(names, places, strict=True)}
        yield choices.path(chosen)
        layers = chosen.get(NUM_LAYERS, choices.depth)
        for number, name in enumerate(names):
            following = (*places[:number], places[number] + 1, *places[number + 1 :])
            idle = name == NUM_LAYERS or (name.startswith("layer.") and int(name.split(".")[1]) >= layers)
            if not idle and following[number] < len(costs[name]) and following not in seen:
                seen.add(following)
                _push(waiting, costs, following)


def _push(
    waiting: list[tuple[float, tuple[int, ...]]], costs: dict[str, list[tuple[Any, float]]], places: tuple[int, ...]
) -> None:
    total = sum(one[place][1] for one, place in zip(costs.values(), places, strict=True))
    heapq.heappush(waiting, (total, places))
