"""The genes that a space of networks may have, and which values each may take."""

from __future__ import annotations

from typing import Any

from gnas_search.architecture import ArchitectureSpec
from gnas_search.bodies import MAX_LAYERS
from gnas_search.space import graphs, layers
from gnas_search.space.encoder import FIELDS, NUM_LAYERS
from gnas_search.space.genes import at
from gnas_serve.errors import ConfigError

GENE_NAMES = (NUM_LAYERS, *layers.NAMES, *graphs.NAMES, *FIELDS)


def checked(where: str, name: str, value: object) -> Any:
    """Give a gene's value in the type of its field.

    Raises
    ------
    ConfigError
        If it may not have it; begins with ``where``.
    """
    if name in layers.NAMES or graphs.is_gene(name):
        try:
            return (layers if name in layers.NAMES else graphs).checked(name, value)
        except ConfigError as error:
            raise at(where, error) from error
    if name == NUM_LAYERS:
        if type(value) is not int or not 0 <= value <= MAX_LAYERS:
            raise ConfigError(f"{where}: {value!r} is no number of layers", hint=f"use 0 to {MAX_LAYERS}")
        return value
    try:
        return getattr(ArchitectureSpec.from_json({name: value}), name)
    except ConfigError as error:
        raise at(where, error) from error
