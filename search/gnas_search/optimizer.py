"""Adam, as torch has it, without torch's compiler."""

from __future__ import annotations

import inspect
from typing import Any

import torch


class Adam(torch.optim.Adam):
    """Takes the steps of torch's own, bit for bit, in a process that compiles nothing.

    There the first optimiser loads the compiler, and its first step uses it to say that the step is not to be compiled.
    That takes a second of every command and of every process of a search, and nothing here is ever compiled. So what
    torch has wrapped for its compiler is called as it was before.

    Parameters
    ----------
    *arguments, **options
        Those of ``torch.optim.Adam``, ``differentiable`` excepted. With ``decoupled_weight_decay`` it is its ``AdamW``.
    """

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Take parameters in; torch's constructor calls it for each group."""
        inspect.unwrap(torch.optim.Adam.add_param_group)(self, param_group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        inspect.unwrap(torch.optim.Adam.zero_grad)(self, set_to_none)

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]  # nothing here gives it a closure
        """Move the parameters against their gradients."""
        inspect.unwrap(torch.optim.Adam.step)(self)
