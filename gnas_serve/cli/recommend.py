"""`gnas-serve recommend` and `explain`: an artifact asked in this process, without a server."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from gnas_serve.cli.console import Output, OutputOption, emit, warn
from gnas_serve.errors import ConfigError
from gnas_serve.plain_text import counted, listed

if TYPE_CHECKING:
    from gnas_serve.runtime.query import Answer
    from gnas_serve.runtime.recommender import Recommender

ArtifactArgument = Annotated[Path, typer.Argument(metavar="ARTIFACT", help="Folder of an exported artifact.")]
HistoryOption = Annotated[
    list[str] | None, typer.Option(help="Ids of items that the user is known to have: 1,2 or given many times.")
]
FeatureOption = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=VALUE", help="What is known of a newcomer, as age=34; may be given many times."),
]
ItemFeaturesOption = Annotated[
    Path | None,
    typer.Option(
        metavar="JSON",
        help='File with items that the catalogue does not have: {"new-1": {"category": "shoes", "price": 30}}.',
    ),
]
_SHOWN = 20
_NAMED = 5


def recommend(
    artifact: ArtifactArgument,
    user: Annotated[str | None, typer.Option(help="Who asks; an unknown user is answered too.")] = None,
    k: Annotated[int, typer.Option("-k", "--k", help="How many items.")] = 10,
    history: HistoryOption = None,
    exclude_seen: Annotated[bool, typer.Option(help="Leave out the items of the user's own past.")] = True,
    candidate: Annotated[
        list[str] | None, typer.Option(help="Ids of items that may be answered, others may not: 1,2 or many times.")
    ] = None,
    exclude_item: Annotated[
        list[str] | None, typer.Option(help="Ids of items that are not wanted: 1,2 or given many times.")
    ] = None,
    condition: Annotated[
        str | None,
        typer.Option("--filter", help="Condition on the items' attributes: 'category == \"shoes\" and price < 50'."),
    ] = None,
    diversity: Annotated[float, typer.Option(help="0 for the best, 1 for what is least like what stands above.")] = 0.0,
    exploration: Annotated[float, typer.Option(help="0 for the best, 1 for an even draw among the candidates.")] = 0.0,
    seed: Annotated[int | None, typer.Option(help="Of the exploration; another one each time when not given.")] = None,
    explain: Annotated[
        bool, typer.Option(help="Say of each item which items of the past its score comes from.")
    ] = False,
    strict: Annotated[bool, typer.Option(help="Refuse ids that the model does not know.")] = False,
    feature: FeatureOption = None,
    item_features: ItemFeaturesOption = None,
    output: OutputOption = Output.text,
) -> None:
    """Ask an artifact for one user's items."""
    from gnas_serve.cli.item_features import told_in
    from gnas_serve.runtime.query import Query
    from gnas_serve.runtime.recommender import Recommender

    recommender = Recommender.load(artifact)
    told = () if item_features is None else told_in(item_features)
    unseen = {item_id for item_id, _ in told}
    query = Query(
        user_id=user,
        k=k,
        history=_known(recommender, history, "items of the history"),
        exclude_items=_known(recommender, exclude_item, "items to exclude", unseen),
        exclude_seen=exclude_seen,
        candidates=None if candidate is None else _known(recommender, candidate, "candidates", unseen),
        filter=condition,
        diversity=diversity,
        exploration=exploration,
        seed=seed,
        explain=explain,
        strict=strict,
        user_features=_features(feature),
        item_features=told,
    )
    answer = recommender.recommend(query)
    if answer.unknown_user:
        warn(f"user {user} is unknown to this model: answered by {answer.source}")
    items = answer.items()
    table = Table(title=f"for {_asker(user, history, feature)}", title_justify="left")
    for column in ("rank", "item", "score", "source", *(["because of"] if explain else [])):
        table.add_column(column, justify="right" if column in {"rank", "score"} else "left")
    for rank, item in enumerate(items, start=1):
        because = [", ".join(map(str, item["explanation"]["reason"]["items"])) or _crowd(answer)] if explain else []
        table.add_row(str(rank), str(item["item_id"]), f"{item['score']:.4f}", item["source"], *because)
    if answer.underfilled:
        table.caption = f"{len(items)} of {k}: no other items may be answered"
    emit({"items": items, "underfilled": answer.underfilled, "model": recommender.info.signature()}, table, output)


def explain(
    artifact: ArtifactArgument,
    item: Annotated[str, typer.Option(help="Whose score is to be explained.")],
    user: Annotated[str | None, typer.Option(help="Who asks; somebody unknown when not given.")] = None,
    history: HistoryOption = None,
    feature: FeatureOption = None,
    item_features: ItemFeaturesOption = None,
    output: OutputOption = Output.text,
) -> None:
    """Say which items of a user's past the score of one item comes from.

    Graph filters and two-hop links are divided exactly among the items; a trained network or compressed blend by the
    linear map that answers newcomers, which is approximate: what it leaves open and a popularity term are shown as one
    number each. An item that the catalogue does not have, told of with --item-features, is divided through the known
    items that it is like; others in that file are passed over. The score is that of retrieval: a learned ranker may
    order otherwise.
    """
    from gnas_serve.cli.item_features import told_in
    from gnas_serve.runtime.recommender import Recommender

    recommender = Recommender.load(artifact)
    every = () if item_features is None else told_in(item_features)
    told = tuple(one for one in every if one[0] == item)
    if passed_over := len(every) - len(told):
        warn(f"{item_features} tells of {counted(passed_over, 'other item')} than {item}: passed over")
    past = _known(recommender, history, "items of the history", {item_id for item_id, _ in every})
    found = recommender.explain(item, user, past, _features(feature), told)
    table = Table(
        title=f"{found.item_id} for {_asker(user, history, feature)}: {found.score:.4f}",
        title_justify="left",
        caption=f"source: {found.source}; the lines add up to the score{_of_retrieval(recommender)}"
        f"{'' if found.exact else '; what the items add is approximate'}",
    )
    for column in ("because of", "adds"):
        table.add_column(column, justify="left" if column == "because of" else "right")
    for item_id, value in found.contributions[:_SHOWN]:
        table.add_row(f"item {item_id}", f"{value:.4f}")
    others = found.contributions[_SHOWN:]
    if others:
        table.add_row(f"{len(others)} more items", f"{sum(value for _, value in others):.4f}")
    for kind, value in found.remainder.items():
        table.add_row(kind, f"{value:.4f}")
    if found.like:
        like = listed([f"{item_id} ({value:.4f})" for item_id, value in found.like], _NAMED)
        table.caption = f"like {like}; {table.caption}"
    emit({**found.to_json(), "score_of": "retrieval", "model": recommender.info.signature()}, table, output)


def _asker(user: str | None, history: list[str] | None, feature: list[str] | None) -> str:
    """Say for whom an answer is."""
    if user is not None:
        return user
    return "somebody with this history" if history else "somebody with these features" if feature else "anybody"


def _crowd(answer: Answer) -> str:
    return answer.source if answer.source == "segment" else "popularity"


def _features(given: list[str] | None) -> tuple[tuple[str, str], ...]:
    """Divide NAME=VALUE; names may have no ``=``, values may.

    Raises
    ------
    ConfigError
        If a name or the sign is missing, or a name is given twice.
    """
    pairs = {}
    for text in given or ():
        name, sign, value = text.partition("=")
        if not name or not sign or name in pairs:
            raise ConfigError(f"--feature {text!r} is no further NAME=VALUE", hint="give each name once, as age=34")
        pairs[name] = value
    return tuple(pairs.items())


def _of_retrieval(recommender: Recommender) -> str:
    """Say what is not explained, where anything is not."""
    return "" if recommender.info.ranker == "retrieval" else " of retrieval; the learned ranker orders what it finds"


def _known(recommender: Recommender, ids: list[str] | None, what: str, unseen: Collection[str] = ()) -> tuple[str, ...]:
    """Take the given ids, saying how many of them the model neither knows nor is told of.

    Commas divide ids, as in an address, but for one that the model knows as a whole.
    """
    known: tuple[str, ...] = ()
    for text in ids or ():
        known += (text,) if text in unseen or recommender.items.row(text) >= 0 else tuple(text.split(","))
    unknown = int((recommender.items.rows([one for one in known if one not in unseen]) < 0).sum())
    if unknown:
        warn(f"{unknown} of {len(known)} {what} are unknown to this model")
    return known
