"""The embedded sample: an online shop whose shoppers follow tastes that popularity cannot see.

Tastes lie on a circle. Every item has a place on it whatever its category, every user a place or two; a user's
interest in an item falls with the distance between them, and rises with the user's liking of the category, a price
near the user's budget, and the item's popularity (Zipf-like). Each user sees a small part of the catalogue, so that
items of one taste are often joined only through other users: what a graph model follows and counting does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from gnas_search.data.catalogue import AGE_BANDS, CATEGORIES, REGIONS, STYLES
from gnas_search.data.tables import write_table
from gnas_serve.artifact.store import atomic_folder
from gnas_serve.errors import ConfigError

LEAST_USERS, LEAST_ITEMS = 20, 30
MOST_PAIRS = 2_000_000_000
EVENTS = ("view", "favourite", "purchase")
_START = 1_735_689_600  # 2025-01-01 00:00 UTC
_DAYS, _DAY_SECONDS = 181, 86_400
_USERS_AT_ONCE = 1024

_TASTE_WEIGHT = 8.0
_TASTE_WIDTH = 0.6  # radians
_SECOND_TASTE_SHARE = 0.5
_CATEGORY_WEIGHT = 1.7
_BUDGET_WEIGHT = 0.5
_POPULARITY_EXPONENT = 1.0
_MEDIAN_VIEWS, _VIEWS_SPREAD = 44.0, 0.75
_VIEWED_SHARE = 0.25  # nobody views more of the catalogue
_PURCHASED_SHARE, _FAVOURITE_SHARE = 0.42, 0.25
_VIEWS_PER_SESSION = 7


@dataclass(frozen=True)
class _Items:
    ids: list[str]
    categories: npt.NDArray[np.int64]
    places: npt.NDArray[np.float64]
    prices: npt.NDArray[np.float64]
    log_popularity: npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Users:
    ids: npt.NDArray[np.int64]
    places: npt.NDArray[np.float64]  # (U, 2): the main taste and another
    second_weights: npt.NDArray[np.float64]
    category_likings: npt.NDArray[np.float64]  # (U, C)
    budgets: npt.NDArray[np.float64]  # relative to what is usual in a category, log
    num_views: npt.NDArray[np.int64]


def write_sample(out: Path, *, num_users: int = 2000, num_items: int = 1200, seed: int = 0) -> dict[str, Any]:
    """Write the sample as a data folder: ``interactions``, ``items`` and ``users.parquet`` and ``dataset.toml``.

    Parameters
    ----------
    out
        Folder to make; must not exist.
    num_users, num_items
        Size of the shop; some may end up without an event.
    seed
        Equal seeds give equal bytes with equal library versions.

    Returns
    -------
    dict
        ``path``, ``users``, ``items``, ``interactions`` and ``events`` (number of each).

    Raises
    ------
    ConfigError
        If the size is out of bounds or ``out`` exists.
    StorageError
        If it cannot be written.
    """
    for name, number, least in (("users", num_users, LEAST_USERS), ("items", num_items, LEAST_ITEMS)):
        if number < least:
            raise ConfigError(f"{number} {name} are too few for a sample", hint=f"give at least {least}")
    if num_users * num_items > MOST_PAIRS:
        raise ConfigError(
            f"{num_users} x {num_items} is too large for a sample", hint=f"stay below {MOST_PAIRS:,} pairs"
        )
    rng = np.random.default_rng(seed)
    items, item_frame = _make_items(rng, num_items)
    users, user_frame = _make_users(rng, num_users, num_items)
    interactions = _make_interactions(rng, users, items)
    with atomic_folder(out) as folder:
        for name, frame in (("interactions", interactions), ("items", item_frame), ("users", user_frame)):
            write_table(frame, folder / f"{name}.parquet")
        (folder / "dataset.toml").write_text('# How gnas-serve reads this folder.\ntarget_event = "purchase"\n')
    counts = interactions["event"].value_counts()
    return {
        "path": str(out),
        "users": num_users,
        "items": num_items,
        "interactions": interactions.height,
        "events": dict(sorted(zip(counts["event"], counts["count"], strict=True))),
    }


def _make_items(rng: np.random.Generator, count: int) -> tuple[_Items, pl.DataFrame]:
    categories = rng.integers(len(CATEGORIES), size=count)
    places = rng.uniform(0.0, 2 * np.pi, size=count)
    typical = np.array([category.typical_price for category in CATEGORIES])
    prices = np.round(typical[categories] * rng.lognormal(0.0, 0.45, size=count)) - 0.05
    ranks = rng.permutation(count) + 1.0
    width = max(5, len(str(count)))
    ids = [f"sku-{number:0{width}d}" for number in rng.permutation(np.arange(1, count + 1)).tolist()]
    titles = []
    for category, place in zip(categories.tolist(), places.tolist(), strict=True):
        style = STYLES[int(place / (2 * np.pi) * len(STYLES)) % len(STYLES)]
        nouns = CATEGORIES[category].nouns
        words = (rng.choice(style.brands), rng.choice(style.adjectives), rng.choice(nouns))
        titles.append(" ".join(map(str, words)))
    frame = pl.DataFrame(
        {
            "item_id": ids,
            "title": titles,
            "category": [CATEGORIES[category].name for category in categories.tolist()],
            "price": np.maximum(prices, 1.95),
        }
    )
    popularity = -_POPULARITY_EXPONENT * np.log(ranks)
    return _Items(ids, categories, places, np.maximum(prices, 1.95), popularity), frame.sort("item_id")


def _make_users(rng: np.random.Generator, count: int, num_items: int) -> tuple[_Users, pl.DataFrame]:
    main = rng.uniform(0.0, 2 * np.pi, size=count)
    places = np.stack([main, rng.uniform(0.0, 2 * np.pi, size=count)], axis=1)
    bands = rng.choice(len(AGE_BANDS), size=count, p=[0.2, 0.3, 0.22, 0.16, 0.12])
    views = rng.lognormal(np.log(_MEDIAN_VIEWS), _VIEWS_SPREAD, size=count).round().astype(np.int64)
    users = _Users(
        ids=100_000 + np.cumsum(rng.integers(1, 5, size=count)),
        places=places,
        second_weights=np.where(rng.random(count) < _SECOND_TASTE_SHARE, rng.uniform(0.3, 0.9, size=count), 0.0),
        category_likings=rng.normal(size=(count, len(CATEGORIES))),
        budgets=0.15 * (bands - 2) + rng.normal(scale=0.3, size=count),
        num_views=np.clip(views, 6, max(6, int(num_items * _VIEWED_SHARE))),
    )
    frame = pl.DataFrame(
        {
            "user_id": users.ids,
            "region": [REGIONS[region] for region in rng.integers(len(REGIONS), size=count).tolist()],
            "age_band": [AGE_BANDS[band] for band in bands.tolist()],
        }
    )
    return users, frame


def _interest(users: _Users, items: _Items, rows: slice) -> npt.NDArray[np.float64]:
    """Score every item for some users, before chance: (n, I)."""
    bumps = []
    for place in users.places[rows].T:
        distance = np.abs((place[:, None] - items.places + np.pi) % (2 * np.pi) - np.pi)
        bumps.append(np.exp(-0.5 * (distance / _TASTE_WIDTH) ** 2))
    taste = np.maximum(bumps[0], users.second_weights[rows, None] * bumps[1])
    usual = np.array([category.typical_price for category in CATEGORIES])[items.categories]
    price_gap = np.abs(np.log(items.prices / usual) - users.budgets[rows, None])
    liking: npt.NDArray[np.float64] = users.category_likings[rows][:, items.categories]
    interest: npt.NDArray[np.float64] = (
        _TASTE_WEIGHT * taste + _CATEGORY_WEIGHT * liking - _BUDGET_WEIGHT * price_gap + items.log_popularity
    )
    return interest


def _make_interactions(rng: np.random.Generator, users: _Users, items: _Items) -> pl.DataFrame:
    viewed: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]] = []
    for start in range(0, len(users.ids), _USERS_AT_ONCE):
        rows = slice(start, min(start + _USERS_AT_ONCE, len(users.ids)))
        interest = _interest(users, items, rows)
        # Gumbel noise and the n best: n draws without replacement in proportion to exp(interest).
        drawn = np.argsort(-(interest + rng.gumbel(size=interest.shape)), axis=1, kind="stable")
        taken = np.arange(interest.shape[1]) < users.num_views[rows, None]
        lines = np.nonzero(taken)[0]
        chosen = drawn[taken]
        viewed.append((lines + start, chosen, interest[lines, chosen]))
    user_rows, item_rows, interest = (np.concatenate(column) for column in zip(*viewed, strict=True))
    favourite = _keep_share(rng, user_rows, interest, _FAVOURITE_SHARE)
    purchase = _keep_share(rng, user_rows, interest, _PURCHASED_SHARE)

    view_times = _view_times(rng, user_rows, users.num_views)
    favourite_times = view_times + 5 + rng.exponential(600.0, size=len(view_times))
    considered = np.where(favourite, favourite_times, view_times)
    purchase_times = considered + 30 + rng.lognormal(np.log(5 * 3600.0), 1.4, size=len(view_times))
    columns = []
    for event, mask, times in zip(
        EVENTS,
        (np.ones(len(user_rows), dtype=np.bool_), favourite, purchase),
        (view_times, favourite_times, purchase_times),
        strict=True,
    ):
        within = mask & (times < _DAYS * _DAY_SECONDS)  # what happens after the last day is not logged
        columns.append((user_rows[within], item_rows[within], np.full(int(within.sum()), event), times[within]))
    all_users, all_items, events, times = (np.concatenate(column) for column in zip(*columns, strict=True))
    order = np.lexsort((all_users, times))
    return pl.DataFrame(
        {
            "user_id": users.ids[all_users[order]],
            "item_id": np.array(items.ids)[all_items[order]],
            "event": events[order],
            "timestamp": _START + np.floor(times[order]).astype(np.int64),
        }
    )


def _keep_share(
    rng: np.random.Generator, user_rows: npt.NDArray[np.int64], interest: npt.NDArray[np.float64], share: float
) -> npt.NDArray[np.bool_]:
    """Choose a share of each user's views, those of more interest the likelier."""
    keen = 0.5 * interest + rng.gumbel(size=len(interest))
    order = np.lexsort((-keen, user_rows))
    counts = np.bincount(user_rows)
    starts = np.cumsum(counts) - counts
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order)) - starts[user_rows[order]]
    chosen: npt.NDArray[np.bool_] = place < np.round(counts * share)[user_rows]
    return chosen


def _view_times(
    rng: np.random.Generator, user_rows: npt.NDArray[np.int64], num_views: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Give each view a time on a day its user came by, in seconds since the first day."""
    joined = rng.beta(0.6, 1.6, size=len(num_views)) * (_DAYS - 30)
    sessions = np.maximum(2, num_views // _VIEWS_PER_SESSION)
    owners = np.repeat(np.arange(len(num_views)), sessions)
    days = np.floor(joined[owners] + rng.random(len(owners)) * (_DAYS - joined[owners]))
    first_session = np.cumsum(sessions) - sessions
    session = first_session[user_rows] + np.floor(rng.random(len(user_rows)) * sessions[user_rows]).astype(np.int64)
    hour = 8 + 14 * rng.beta(2.5, 2.0, size=len(user_rows))
    times: npt.NDArray[np.float64] = days[session] * _DAY_SECONDS + hour * 3600
    return times
