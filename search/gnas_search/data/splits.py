"""From interactions to a split dataset: what search and training see, and the test part apart from it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gnas_search.data import policies
from gnas_search.data.attributes import encode_attributes
from gnas_search.data.columns import TEST, TRAIN, VALID, to_unit_range
from gnas_search.data.dataset import Dataset, InteractionGraph, TestPart
from gnas_search.data.edge_log import Clock, edge_log
from gnas_search.data.interactions import DatasetConfig, DataWarning, Interactions
from gnas_search.data.low_rated import low_rated, negatives_of
from gnas_search.data.pairs import Known, Pairs, binary_csr, subset_features, subset_ids
from gnas_search.data.readers import SINGLE_EVENT, read_interactions
from gnas_serve.errors import ConfigError, DataError, DataMismatchError
from gnas_serve.plain_text import counted
from gnas_serve.runtime.attributes import Attributes

_SHOWN_DIGITS = 12


def load_dataset(path: Path, config: DatasetConfig, *, maker: str = "") -> Dataset:
    """Read and split a data folder and let go of the test part: for search and training.

    Raises
    ------
    DataError, ConfigError
        As :func:`~gnas_search.data.readers.read_interactions` and :func:`split`.
    """
    return split(read_interactions(path, config, maker=maker))[0]


def load_with_test(path: Path, config: DatasetConfig, *, maker: str = "") -> tuple[Dataset, TestPart]:
    """Read and split a data folder: for `evaluate` alone.

    Raises
    ------
    DataError, ConfigError
        As :func:`load_dataset`, and if the test part is empty.
    """
    dataset, test = split(read_interactions(path, config, maker=maker))
    if not test.user_ids:
        raise DataError(
            f"{path} has no test interaction of the target event", hint="give one in the split column, or another split"
        )
    return dataset, test


def check_same_data(dataset: Dataset, fingerprint: str, what: str) -> None:
    """Make sure that a study or checkpoint was made from this data.

    Parameters
    ----------
    dataset
        The data given now.
    fingerprint
        The one stored.
    what
        For people, e.g. ``"STUDY runs/first"``.

    Raises
    ------
    DataMismatchError
        If it was made from other data.
    """
    if dataset.fingerprint != fingerprint:
        raise DataMismatchError(
            f"{what} was made from other data: {fingerprint[:_SHOWN_DIGITS]} there, "
            f"{dataset.fingerprint[:_SHOWN_DIGITS]} here",
            hint="give the data it was made from, with the same flags, or start anew",
        )


def split(interactions: Interactions) -> tuple[Dataset, TestPart]:
    """Split the target-event interactions into train, validation and test.

    Only target events are split, after merging those of one user with one item: the earliest stays, and one in an
    earlier part of a given split wins over a later, so that nothing is asked for that is masked. Other events are
    edges of the graph. Where the split follows time, a user's other events from the first validation interaction on
    are kept out of ``selection``, and from the first test interaction on out of ``final``: what comes later must
    not tell what is asked. Target events rated below ``min_rating`` are in no graph and no part; those of the time of
    validation and test are known negatives.

    Parameters
    ----------
    interactions
        With the policy in its config.

    Raises
    ------
    ConfigError
        If the policy needs timestamps and there are none.
    DataError
        If train or validation would be empty.
    """
    config = interactions.config
    warnings = list(interactions.warnings)
    is_target = np.ones(len(interactions.user_rows), dtype=np.bool_)
    if interactions.target_event is not None:
        is_target = interactions.event_codes == interactions.events.index(interactions.target_event)
    positive = is_target
    if config.min_rating is not None and interactions.ratings is not None:
        positive = is_target & ~(interactions.ratings < np.float32(config.min_rating))
    targets, repeats = Pairs.of(interactions, positive).merged()
    if repeats:
        told = counted(repeats, "validation or test interaction", "repeat")
        message = f"{told} an earlier part of the user's: not asked for"
        warnings.append(DataWarning("repeats_across_parts", repeats, message))
    targets, policy = _apply_policy(targets, interactions)
    train, valid, test = (targets.part(part) for part in (TRAIN, VALID, TEST))
    for part, name in ((train, "train"), (valid, "validation")):
        if not len(part.users):
            raise DataError(
                f"no interaction of the target event ({interactions.target_event or 'all'}) is left for {name}",
                hint=f"give more data (users with {policies.LEAST_TO_SPLIT} or more), lower min_rating, "
                "or choose another target event or split",
            )
    others = Pairs.of(interactions, ~is_target)
    selection_others, final_others = _before_held_out(others, valid, test, policy, len(interactions.users), warnings)

    known = Known.within((train, valid, final_others), len(interactions.users), len(interactions.items))
    _warn_of_test_only(test, known, warnings)
    low = low_rated(interactions, is_target & ~positive, targets, policy)
    names = {int(code): interactions.events[code] for code in np.unique(final_others.events)}
    clock = Clock.of(train, selection_others)
    final_clock = clock and clock.until(train, valid, final_others)
    item_features = subset_features(interactions.item_features, known.items)
    user_features = subset_features(interactions.user_features, known.users)
    features = {"item_features": item_features, "user_features": user_features}
    attributes: dict[str, Attributes | None] = {}
    for side, kept in (("item", known.items), ("user", known.users)):
        columns = getattr(interactions, f"{side}_attributes")
        if columns is not None:
            attributes[f"{side}_attributes"], too_large = encode_attributes(columns[kept], f"{side}s")
            warnings += too_large
    dataset = Dataset(
        users=subset_ids(interactions.users, known.users),
        items=subset_ids(interactions.items, known.items),
        selection=InteractionGraph(
            known.matrix(train),
            known.matrix(train, selection_others),
            log=edge_log((train,), selection_others, known, clock, names),
            **features,
        ),
        final=InteractionGraph(
            known.matrix(train, valid),
            known.matrix(train, valid, final_others),
            log=edge_log((train, valid), final_others, known, final_clock, names),
            **features,
        ),
        valid=known.matrix(valid),
        item_features=item_features,
        user_features=user_features,
        item_recency=_recency(known, train, selection_others),
        target_event=interactions.target_event,
        policy=policy,
        fingerprint=interactions.fingerprint,
        config=config,
        warnings=tuple(warnings),
        valid_negatives=None if low is None else negatives_of(low.part(VALID), known, known.users),
        events=() if interactions.events == (SINGLE_EVENT,) else interactions.events,
        **attributes,
    )
    return dataset, _test_part(interactions, test, known, None if low is None else low.part(TEST))


def _apply_policy(targets: Pairs, interactions: Interactions) -> tuple[Pairs, str]:
    config, times = interactions.config, targets.times
    if interactions.parts is not None:
        if np.any(targets.parts == VALID):
            return targets, "given"
        in_train = np.flatnonzero(targets.parts == TRAIN)
        parts = targets.parts.copy()
        train_times = None if times is None else times[in_train]
        parts[in_train] = policies.carve_validation(targets.users[in_train], train_times, config.split_seed)
        return replace(targets, parts=parts), "given+random" if times is None else "given+temporal"
    if config.split == "random" or (config.split == "auto" and times is None):
        # By user and item: the draw must not depend on the order of the file.
        targets = targets.take(np.argsort(targets.users * len(interactions.items) + targets.items))
        return replace(targets, parts=policies.random(targets.users, config.split_seed)), "random"
    if times is None:
        raise ConfigError(
            f"split {config.split!r} needs timestamps and there are none",
            hint="name their column with --timestamp-column, or choose --split random",
        )
    if config.split == "leave-last-out":
        return replace(targets, parts=policies.leave_last_out(targets.users, times)), "leave-last-out"
    return replace(targets, parts=policies.temporal(targets.users, times)), "temporal"


def _before_held_out(
    others: Pairs, valid: Pairs, test: Pairs, policy: str, num_users: int, warnings: list[DataWarning]
) -> tuple[Pairs, Pairs]:
    """Give the other events that the selection and the final graph may know."""
    in_selection, in_final = others.parts == TRAIN, others.parts != TEST
    if others.times is None and len(others.users):
        message = "no timestamps: other events may lie after the held-out ones"
        warnings.append(DataWarning("untimed_events", len(others.users), message))
    if others.times is not None and policy != "random":
        asked = np.full((2, num_users), np.inf)
        for line, part in zip(asked, (valid, test), strict=True):
            if part.times is not None:
                np.minimum.at(line, part.users, part.times)
        before_test = others.times < asked[1][others.users]
        before_valid = before_test & (others.times < asked[0][others.users])
        late_selection = int(np.count_nonzero(in_selection & ~before_valid))
        late_final = int(np.count_nonzero(in_final & ~before_test))
        if late_selection or late_final:
            message = (
                f"{counted(late_selection, 'other event')} from the user's first validation interaction on kept out of "
                f"the selection graph, {late_final} from the first test interaction on out of the final graph"
            )
            warnings.append(DataWarning("later_events", late_selection, message))
        in_selection, in_final = in_selection & before_valid, in_final & before_test
    return others.take(in_selection), others.take(in_final)


def _warn_of_test_only(test: Pairs, known: Known, warnings: list[DataWarning]) -> None:
    sides = (("users", test.users, known.user_rows), ("items", test.items, known.item_rows))
    for kind, rows, known_rows in sides:
        count = len(np.unique(rows[known_rows[rows] < 0]))
        if count:
            message = f"{counted(count, kind[:-1], 'occur')} in test only"
            warnings.append(DataWarning(f"test_only_{kind}", count, message))


def _recency(known: Known, *groups: Pairs) -> npt.NDArray[np.float32] | None:
    """Scale when each item was last seen in train to 0 .. 1; 0 also for items not seen there."""
    last = np.full(len(known.items), -np.inf)
    for group in groups:
        if group.times is None:
            return None
        np.maximum.at(last, known.item_rows[group.items], group.times)
    seen = np.isfinite(last)
    times = to_unit_range(last[seen])
    oldest, newest = times.min(), times.max()
    scaled = np.zeros(len(last), dtype=np.float32)
    if newest > oldest:
        scaled[seen] = (times - oldest) / (newest - oldest)
    return scaled


def _test_part(interactions: Interactions, test: Pairs, known: Known, low: Pairs | None) -> TestPart:
    users, lines = np.unique(test.users, return_inverse=True)
    items = known.item_rows[test.items]
    in_dataset = items >= 0
    return TestPart(
        user_ids=interactions.users.ids(users),
        user_rows=known.user_rows[users],
        relevant=binary_csr(lines[in_dataset], items[in_dataset], (len(users), len(known.items))),
        num_relevant=np.bincount(lines, minlength=len(users)).astype(np.int64),
        negatives=None if low is None else negatives_of(low, known, users),
        unknown_counts=np.unique(test.items[~in_dataset], return_counts=True)[1].astype(np.int64),
    )
