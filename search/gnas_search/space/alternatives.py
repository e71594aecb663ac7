"""Alternatives: the bodies that a space can have in the place of a canonical one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import product

from gnas_search.bodies import SKIP, SUMMED, Body, PolynomialLayers, Setting, canonical_body, runs
from gnas_search.layer_spec import LayerSpec


def bodies_like(
    wanted: Body,
    counts: Iterable[int],
    combinations: Iterable[str],
    inputs: Iterable[bool],
    layers: Mapping[LayerSpec, LayerSpec],
    setting: Setting,
) -> Iterator[Body]:
    """Find the bodies of some layers whose canonical form is ``wanted``.

    Parameters
    ----------
    wanted
        Canonical.
    counts, combinations, inputs
        What numbers of layers, combinations and ``include_input`` there are.
    layers
        Those that there are, by themselves.
    setting
        Of the network.
    """
    counts, combinations, inputs = tuple(counts), tuple(combinations), tuple(inputs)
    known = PolynomialLayers(layers)
    for count, combination, include_input in product(counts, combinations, inputs):
        for found in _candidates(wanted, count, combination, include_input, known, setting):
            body = Body(found, combination, include_input)
            if all(layer in layers for layer in found) and canonical_body(body, setting) == wanted:
                yield body


def _candidates(
    wanted: Body,
    count: int,
    combination: str,
    include_input: bool,
    known: PolynomialLayers,
    setting: Setting,
) -> Iterator[tuple[LayerSpec, ...]]:
    """Give layers that may make a body, all that do among them."""
    if len(wanted.layers) == count:
        yield wanted.layers
    if count == 0 or setting.noisy:
        return
    yield (SKIP,) * count
    if len(wanted.layers) == count - 1:
        yield SKIP, *wanted.layers
    whole = wanted.polynomial
    if whole is not None and combination in SUMMED:
        yield from known.networks(whole, count, combination, include_input, any_scale=setting.any_scale)
    if combination == "last":
        yield from _filled(wanted.layers, count, known, setting)
    elif combination == "max":
        kept = [wanted.layers]
        if wanted.combination == "last":
            kept += [] if whole is None else known.networks(whole, 1, "last", False, any_scale=setting.any_scale)
        for some in kept:
            spare = (SKIP,) * (count - len(some))
            if len(some) <= count:
                yield *some[:1], *spare, *some[1:]
                yield *spare, *some
    elif count == 1 and whole is not None:
        yield from known.networks(whole, 1, "last", False, any_scale=setting.any_scale)


def _filled(
    wanted: tuple[LayerSpec, ...], count: int, known: PolynomialLayers, setting: Setting
) -> Iterator[tuple[LayerSpec, ...]]:
    """Give so many layers with the same others in the same order, and equal products of polynomials between them."""
    found, others = runs(wanted)

    def rest(place: int, left: int) -> Iterator[tuple[LayerSpec, ...]]:
        last = place == len(others)
        for used in (left,) if last else range(left + 1):
            any_scale = last and setting.any_scale
            run = next(known.networks(found[place], used, "last", False, any_scale=any_scale), None)
            if run is None:
                continue
            if last:
                yield run
            else:
                for further in rest(place + 1, left - used):
                    yield *run, others[place], *further

    yield from rest(0, count - len(others)) if count >= len(others) else ()
