"""Variants: what the ranker of an export may be: networks, each by how it is made of another, and their numbers."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from gnas_export.ranker.plan import RankerPlan

FP32, FP32_U8, FP16, INT8, INT8_DYNAMIC = "fp32", "fp32+u8", "fp16", "int8", "int8-dynamic"
NUMERIC = (FP32, FP32_U8, FP16, INT8, INT8_DYNAMIC)
"""All in float32; item rows in uint8; item rows and weights in float16, calculated in float32; item rows in uint8 and
the hidden product in int8, its activations by a scale that was measured before, or by each list's own."""
PRECISION_OF = {FP32: "fp32", FP32_U8: "fp32", FP16: "fp16", INT8: "int8", INT8_DYNAMIC: "int8"}
INTEGER = (INT8, INT8_DYNAMIC)
TRAINED, DISTILLED, PRUNED = "teacher", "distilled", "pruned"
ATTENTION = "attention"
"""A network that others learn from and that no form is drawn of: serving gives its graph no history."""
_NAME = re.compile(rf"({TRAINED}|{DISTILLED})-\d{{1,4}}x\d{{1,4}}(-{PRUNED}-\d{{1,4}}x\d{{1,4}})?")
_LEAST = 4
"""Units of a hidden layer that a network is pruned to."""


@dataclass(frozen=True)
class Variant:
    """One network of the ranker.

    Attributes
    ----------
    name
        As in ``"distilled-32x16-pruned-16x8"``.
    hidden
        Widths of its hidden layers.
    parent
        Name of the one that it is made of; empty for the teacher.
    """

    name: str
    hidden: tuple[int, int]
    parent: str = ""

    @property
    def is_distilled(self) -> bool:
        """Whether it, or what it was pruned from, learned from the teacher."""
        return self.name.startswith(DISTILLED)

    @property
    def is_pruned(self) -> bool:
        """Whether units were cut out of it."""
        return PRUNED in self.name


def planned(plan: RankerPlan) -> tuple[Variant, ...]:
    """Give the networks that a profile wants to be tried, each after the one that it is made of.

    The teacher first; of the students those that are narrower; then each of these with a part of its units.
    """
    teacher = Variant(_name(TRAINED, plan.hidden), plan.hidden)
    found = [teacher]
    if plan.distil != "never":
        narrower = [hidden for hidden in plan.students if _is_narrower(hidden, plan.hidden)]
        found += [Variant(_name(DISTILLED, hidden), hidden, teacher.name) for hidden in narrower]
    if plan.prune != "never":
        for whole in list(found):
            hidden = _part(whole.hidden, plan.keep)
            if _is_narrower(hidden, whole.hidden):
                found.append(Variant(f"{whole.name}-{_name(PRUNED, hidden)}", hidden, whole.name))
    return tuple(found)


def attention_name(plan: RankerPlan) -> str:
    """Name the network that attends to histories."""
    return _name(ATTENTION, plan.hidden)


def wanted(plan: RankerPlan) -> tuple[Variant, ...]:
    """Give those of the networks that may ship: where a profile insists on a way, no others."""
    found = planned(plan)
    if plan.distil == "always":
        found = tuple(one for one in found if one.is_distilled)
    if plan.prune == "always":
        found = tuple(one for one in found if one.is_pruned)
    return found


def with_parents(names: set[str], plan: RankerPlan) -> tuple[Variant, ...]:
    """Give some of the planned networks and all that they are made of, in order."""
    variants = {one.name: one for one in planned(plan)}
    needed, waiting = set(), list(names)
    while waiting:
        name = waiting.pop()
        needed.add(name)
        if parent := variants[name].parent:
            waiting.append(parent)
    return tuple(one for name, one in variants.items() if name in needed)


def is_form(text: str) -> bool:
    """Tell whether a text names a form: a network and its numbers, as in ``"distilled-32x16/int8"``."""
    network, _, numeric = text.partition("/")
    return _NAME.fullmatch(network) is not None and numeric in NUMERIC


def _name(how: str, hidden: tuple[int, int]) -> str:
    return f"{how}-{hidden[0]}x{hidden[1]}"


def _part(hidden: tuple[int, int], keep: float) -> tuple[int, int]:
    first, second = (max(_LEAST, math.ceil(keep * width)) for width in hidden)
    return first, second


def _is_narrower(hidden: tuple[int, int], other: tuple[int, int]) -> bool:
    return hidden != other and hidden[0] <= other[0] and hidden[1] <= other[1]
