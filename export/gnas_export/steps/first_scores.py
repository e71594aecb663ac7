"""First scores: what the artifact answers gate users with, for serving to tell later how far it is from that."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from gnas_export.draft import Draft
from gnas_serve.artifact.manifest import Manifest
from gnas_serve.artifact.score_facts import ScoreFacts
from gnas_serve.runtime.parts import Parts
from gnas_serve.runtime.query import Query
from gnas_serve.runtime.recommender import Recommender

LEAST_USERS = 30  # of fewer, ten bins say nothing
MOST_USERS = 2000


def first_scores(draft: Draft, folder: Path, manifest: Manifest) -> ScoreFacts | None:
    """Ask the written artifact for the gate users, as a client would who wants items and nothing else.

    The learned ranker's scores depend on what the final fit retrieves, so that those of the selection fit, which the
    gates judge, would be other ones.

    Parameters
    ----------
    folder
        All files but the manifest.
    manifest
        What is going to be written.

    Returns
    -------
    ScoreFacts or None
        None where fewer than :data:`LEAST_USERS` are answered from a vector of theirs: of popularity, for one.
    """
    users = draft.jury.users
    if len(users) > MOST_USERS:
        users = np.sort(np.random.default_rng(draft.seed).choice(users, MOST_USERS, replace=False))
    recommender = Recommender(manifest, Parts.open(folder, manifest, verify=False))
    answers = [recommender.recommend(Query(recommender.users.id(row), k=1)) for row in users.tolist()]
    scores = [answer.scores[0] for answer in answers if answer.source == "user" and answer.scores]
    if len(scores) < LEAST_USERS or not all(map(math.isfinite, scores)):
        return None
    return ScoreFacts.of(np.array(scores))
