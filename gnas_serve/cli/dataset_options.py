"""How to read a data folder, as flags: defined once for every command that takes one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

DataArgument = Annotated[
    Path, typer.Argument(metavar="DATA", help="Folder with interactions.{parquet,csv,tsv,jsonl}.", show_default=False)
]

_PANEL = "How to read DATA (else DATA/dataset.toml, else the defaults)"
UserColumnOption = Annotated[
    str | None, typer.Option("--user-column", help="Column of the user ids (user_id).", rich_help_panel=_PANEL)
]
ItemColumnOption = Annotated[
    str | None, typer.Option("--item-column", help="Column of the item ids (item_id).", rich_help_panel=_PANEL)
]
EventColumnOption = Annotated[
    str | None, typer.Option("--event-column", help="Column of the events (event).", rich_help_panel=_PANEL)
]
RatingColumnOption = Annotated[
    str | None, typer.Option("--rating-column", help="Column of the ratings (rating).", rich_help_panel=_PANEL)
]
TimestampColumnOption = Annotated[
    str | None, typer.Option("--timestamp-column", help="Column of the times (timestamp).", rich_help_panel=_PANEL)
]
SplitColumnOption = Annotated[
    str | None, typer.Option("--split-column", help="Column of a given split (split).", rich_help_panel=_PANEL)
]
TargetEventOption = Annotated[
    str | None,
    typer.Option("--target-event", help="Event to predict (the only one in test, else all).", rich_help_panel=_PANEL),
]
MinRatingOption = Annotated[
    float | None,
    typer.Option("--min-rating", help="Ratings below are no positives (all are).", rich_help_panel=_PANEL),
]
SplitOption = Annotated[
    str | None,
    typer.Option("--split", help="auto, temporal, random or leave-last-out (auto).", rich_help_panel=_PANEL),
]
IdTypeOption = Annotated[
    str | None, typer.Option("--id-type", help="auto, integer or text (auto).", rich_help_panel=_PANEL)
]


def overrides(
    *,
    user_column: str | None = None,
    item_column: str | None = None,
    event_column: str | None = None,
    rating_column: str | None = None,
    timestamp_column: str | None = None,
    split_column: str | None = None,
    target_event: str | None = None,
    min_rating: float | None = None,
    split: str | None = None,
    id_type: str | None = None,
) -> dict[str, Any]:
    """Collect the flags that were given, under the names of ``DatasetConfig``, for ``read_config``.

    Returns
    -------
    dict
        Without the flags that were not given.
    """
    given = {
        "user_column": user_column,
        "item_column": item_column,
        "event_column": event_column,
        "rating_column": rating_column,
        "timestamp_column": timestamp_column,
        "split_column": split_column,
        "target_event": target_event,
        "min_rating": min_rating,
        "split": split,
        "id_type": id_type,
    }
    return {name: value for name, value in given.items() if value is not None}
