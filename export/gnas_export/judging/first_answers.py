"""The first questions to an artifact that is about to ship."""

from __future__ import annotations

from gnas_serve.errors import ExportError, IntegrityError
from gnas_serve.runtime.recommender import Recommender
from gnas_serve.runtime.smoke import smoke_answers


def check_answers(recommender: Recommender) -> None:
    """Ask an artifact that is about to ship.

    Raises
    ------
    ExportError
        If it has no usable answer.
    """
    try:
        smoke_answers(recommender)
    except IntegrityError as error:
        raise ExportError(f"the artifact has {error.message}", hint="train on more data") from error
