"""The two questions that every artifact is asked before it is trusted."""

from __future__ import annotations

import math

from gnas_serve.errors import IntegrityError
from gnas_serve.runtime.query import Query
from gnas_serve.runtime.recommender import Recommender
from gnas_serve.vocabulary import Id


def smoke_answers(recommender: Recommender) -> dict[str, Id]:
    """Ask for the first user, ``"known"``, where there is one, and for nobody in particular, ``"unknown"``.

    Returns
    -------
    dict
        The best item for each.

    Raises
    ------
    IntegrityError
        If an answer is empty or its scores are no numbers.
    """
    users = recommender.users
    questions = {"unknown": Query(k=1)}
    if len(users):
        questions["known"] = Query(user_id=users.id(0), k=1, exclude_seen=False)
    answers = {}
    for name, query in questions.items():
        answer = recommender.recommend(query)
        if not answer.item_ids or not all(math.isfinite(score) for score in answer.scores):
            raise IntegrityError(f"no usable answer to {'an' if name == 'unknown' else 'a'} {name} user")
        answers[name] = answer.item_ids[0]
    return answers
