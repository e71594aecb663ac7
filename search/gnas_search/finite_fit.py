"""A fit that holds a value that is no finite number: refused with the branch and the part before it is written."""

from __future__ import annotations

from gnas_search.fit import Fit, Stored, is_finite
from gnas_serve.errors import NoViableTrialError


def check_finite(name: str, fit: Fit, arrays: dict[str, Stored]) -> None:
    """Refuse what is no finite number.

    Parameters
    ----------
    name
        Of the fit, for people.
    fit, arrays
        And its arrays as they will be stored.

    Raises
    ------
    NoViableTrialError
        With code ``"not_finite"``.
    """
    for array_name, array in arrays.items():
        place, _, part = array_name.partition(".")
        if not is_finite(array):
            facts = fit.branches[int(place)].facts
            raise NoViableTrialError(
                f"{name} fit: {part} of the {facts.kind} branch {facts.name} hold a value that is no finite number",
                hint="give a network a lower learning_rate, a branch of a blend another weight and spread",
                code="not_finite",
            )
