"""For whom a server is asked, and whether what it answers is what an exact search finds."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np

from gnas_serve.artifact.store import storage_errors
from gnas_serve.errors import ConfigError, DataError
from gnas_serve.load.lane import Door, Items
from gnas_serve.plain_text import plain_text
from gnas_serve.runtime.benchmark import NumpyScan
from gnas_serve.runtime.query import Query
from gnas_serve.runtime.recommender import Recommender
from gnas_serve.vocabulary import MAX_ID_CHARACTERS, Id

POOL = 10_000
"""Users at most that one measurement asks for: more would fill the client's memory, not the server's caches."""
_MAX_USERS = 1_000_000
_POOL_STREAM = 3
_SHOWN = 100


def known_users(recommender: Recommender, seed: int) -> list[Id]:
    """Draw users of an artifact, each at most once.

    Raises
    ------
    ConfigError
        If it has none.
    """
    num_users = len(recommender.users)
    if num_users == 0:
        raise ConfigError("the artifact has no users to ask for", hint="bench an artifact with users")
    return recommender.users.ids(_drawn(num_users, seed))


def listed_users(path: Path, seed: int) -> list[Id]:
    """Draw users of a list, one id per line, each line at most once; empty lines are passed over.

    Raises
    ------
    ConfigError
        If there is no such file, or it is not to be read.
    DataError
        If it is no such list.
    """
    if not path.is_file():
        raise ConfigError(f"{path}: there is no such file", hint="give a text file of user ids", code="not_found")
    users: list[Id] = []
    try:
        with storage_errors(path), path.open(encoding="utf-8") as lines:
            for row, line in enumerate(lines, start=1):
                user = line.strip()
                if len(user) > MAX_ID_CHARACTERS:
                    raise DataError(
                        f"{path}, row {row}: an id of {len(user)} characters",
                        hint=f"one id per line, of at most {MAX_ID_CHARACTERS} characters",
                    )
                if len(users) == _MAX_USERS:
                    raise DataError(f"{path}: more than {_MAX_USERS} users", hint="give a part of them")
                if user:
                    users.append(user)
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not text in UTF-8", hint="one user id per line") from error
    if not users:
        raise DataError(f"{path}: no user in it", hint="one user id per line")
    return [users[row] for row in _drawn(len(users), seed)]


class Judge(Protocol):
    """Says how good an answer is."""

    def recall(self, user_id: Id, answered: Items) -> float:
        """Give the share of the exact best items that were answered.

        Raises
        ------
        ConfigError
            If another model answered than it judges by.
        """
        ...


class ExactJudge:
    """Judges by a full scan with the same ranker.

    Parameters
    ----------
    recommender
        Of the artifact that is being served.
    k
        Items per answer.
    """

    def __init__(self, recommender: Recommender, k: int) -> None:
        self._exact = recommender.with_index(NumpyScan(recommender.item_vectors.dense()))
        self._version = recommender.info.version
        self._k = k

    def recall(self, user_id: Id, answered: Items) -> float:
        """Give the share of the exact best items that were answered.

        Raises
        ------
        ConfigError
            If another model answered.
        """
        if answered.version != self._version:
            raise ConfigError(
                f"version {plain_text(answered.version)[:_SHOWN]} answered, the artifact is version {self._version}",
                hint="give the artifact that is being served, or --users FILE alone",
                code="other_model",
            )
        best = self._exact.recommend(Query(user_id=user_id, k=self._k)).item_ids
        return len(set(best) & set(answered.item_ids)) / len(best) if best else 1.0


def mean_recall(door: Door, users: list[Id], sample: list[tuple[int, bytes]], judge: Judge) -> float | None:
    """Judge answers as they came.

    Parameters
    ----------
    users
        For whom the questions were, by their places.
    sample
        Places and answers.

    Returns
    -------
    float or None
        None of no answers.

    Raises
    ------
    DataError
        If one cannot be read.
    ConfigError
        If another model answered.
    """
    if not sample:
        return None
    shares = []
    for place, body in sample:
        try:
            answered = door.read(body)
        except ValueError as error:
            raise DataError(f"{door.address} answers with something else than items: {error}") from error
        shares.append(judge.recall(users[place], answered))
    return float(np.mean(shares))


def _drawn(count: int, seed: int) -> list[int]:
    rng = np.random.default_rng([seed, _POOL_STREAM])
    rows: list[int] = rng.choice(count, min(count, POOL), replace=False).tolist()
    return rows
