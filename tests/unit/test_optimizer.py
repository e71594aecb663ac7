"""Adam without torch's compiler: what it computes, and that it does without."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from gnas_search.optimizer import Adam


def _course(make: Callable[..., torch.optim.Optimizer], **options: Any) -> list[torch.Tensor]:
    """Move some weights by steps of many rates; of one that every other step does not reach, and of two groups."""
    generator = torch.Generator().manual_seed(0)
    weights = [torch.nn.Parameter(torch.randn((7, 3), generator=generator)) for _ in range(4)]
    groups = [{"params": weights[:2], "weight_decay": 0.1}, {"params": weights[2:], "weight_decay": 0.0}]
    optimizer = make(groups, lr=0.1, betas=(0.9, 0.99), **options)
    for step in range(30):
        for group in optimizer.param_groups:
            group["lr"] = 0.01 * (1 + step % 3)
        reached = weights if step % 2 else weights[:3]
        optimizer.zero_grad()
        assert all(weight.grad is None for weight in weights)
        torch.stack([((weight**3 - 1) ** 2).sum() for weight in reached]).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return [weight.detach() for weight in weights]


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize(
    ("reference", "options"), [(torch.optim.Adam, {}), (torch.optim.AdamW, {"decoupled_weight_decay": True})]
)
def test_its_steps_are_those_of_torch(
    reference: type[torch.optim.Optimizer], options: dict[str, Any], *, fused: bool
) -> None:
    found = _course(Adam, fused=fused, **options)
    wanted = _course(reference, fused=fused)
    assert all(torch.equal(one, other) for one, other in zip(found, wanted, strict=True))


def test_a_schedule_moves_its_rate() -> None:
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = Adam([weight], lr=1.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 4)
    rates = []
    for _ in range(4):
        weight.grad = torch.ones(3)
        optimizer.step()
        rates.append(optimizer.param_groups[0]["lr"])
        schedule.step()
    assert rates == pytest.approx([1.0, 0.8536, 0.5, 0.1464], abs=1e-4)


_FITS = """
import sys

import numpy as np
import torch
from random_graph import random_graph

from gnas_export.ranker.fitting import optimizer_of
from gnas_search.architecture import ArchitectureSpec
from gnas_search.trainer import Trainer

spec = ArchitectureSpec(layers=("gat", "gcn"), embedding_dim=8, epochs=1)
trainer = Trainer(spec, random_graph(60, 50), seed=0, device="cpu")
assert trainer.advance(1) == 1
network = torch.nn.Linear(4, 1)
optimizer = optimizer_of(network)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 2)
optimizer.zero_grad()
network(torch.ones(3, 4)).sum().backward()
optimizer.step()
schedule.step()
print(sorted(name for name in ("torch._dynamo", "torch._inductor", "sympy") if name in sys.modules))
"""


def test_a_training_does_not_load_the_compiler() -> None:
    folder = Path(__file__).parents[1]  # of the graph's module
    done = subprocess.run([sys.executable, "-c", _FITS], capture_output=True, text=True, check=True, cwd=folder)
    assert done.stdout == "[]\n"
