"""Unseen items: those that the catalogue does not have, and a question tells of by their attributes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from gnas_serve.errors import FeatureError
from gnas_serve.plain_text import plain_text
from gnas_serve.runtime.content_encoder import ContentEncoder, Lean
from gnas_serve.runtime.filters import Filters
from gnas_serve.runtime.parts import Parts
from gnas_serve.runtime.query import ItemFeatures, Query, check_item_features
from gnas_serve.runtime.seen import RecentItems
from gnas_serve.runtime.told_attributes import told_attributes
from gnas_serve.runtime.told_values import ItemValue, TypedValue, known_names, shown, typed
from gnas_serve.vocabulary import Id, Vocabulary

_MAX_REASON = 300


@dataclass(frozen=True)
class UnseenItems:
    """The unseen items of one question; the first has the row after the last of the catalogue, and so on.

    Attributes
    ----------
    told
        Their attributes in their types, by id in the type that ids have.
    leans
        What each leans on; None where nothing known is told of it.
    """

    told: Mapping[Id, Mapping[str, TypedValue]]
    leans: tuple[Lean | None, ...]
    encoder: ContentEncoder
    filters: Filters
    items: Vocabulary

    @classmethod
    def of(cls, features: ItemFeatures, parts: Parts, *, strict: bool) -> UnseenItems:
        """Read what a question tells.

        What is told of an item that the catalogue has meanwhile is passed over: it is asked for as the known item that
        it is, so that one question can be put to two versions of a model of which one has it.

        Parameters
        ----------
        strict
            Whether that is an error.

        Raises
        ------
        FeatureError
            If there is no encoder, no attribute of a name, a value is not of its attribute's kind, or of a strict
            question the catalogue has one of the items.
        """
        items, encoder, filters = parts.items, parts.content, parts.filters
        if encoder is None:
            raise FeatureError(
                "item_features: this model has no content encoder",
                hint=f"its export shipped none: {plain_text(parts.no_content[:_MAX_REASON])}"
                if parts.no_content
                else "export it from data with an items file whose columns tell what users want; the report of an "
                "export says why none ships",
                code="no_content_encoder",
            )
        check_item_features(features)
        told: dict[Id, Mapping[str, TypedValue]] = {}
        kinds = filters.kinds
        # In the order of their ids: a map of a message has none.
        for text, attributes in sorted(features, key=_id):
            values = _values(text, attributes, kinds)
            if items.row(text) >= 0:
                if not strict:
                    continue
                raise FeatureError(
                    f"item_features: the catalogue has item {shown(text)} already",
                    hint="tell attributes of items that it does not have, and name the others in candidates; or leave "
                    "out strict, and it is answered as it is known",
                    code="known_item",
                )
            told[items.as_id(text)] = values
        return cls(told, tuple(encoder.lean(one) for one in told.values()), encoder, filters, items)

    def divided(self, query: Query, unwanted: set[Id]) -> tuple[Query, UnseenItems]:
        """Take these items out of the lists of a question, where others would not be known.

        Parameters
        ----------
        unwanted
            Of these items, which may not be answered.

        Returns
        -------
        query
            Of items of the catalogue alone.
        unseen
            Those that may be answered.
        """
        may = set(self.told) - unwanted
        if query.candidates is not None:
            may &= {self.items.as_id(one) for one in query.candidates}
        known = replace(
            query,
            history=self._others(query.history),
            exclude_items=self._others(query.exclude_items),
            candidates=None if query.candidates is None else self._others(query.candidates),
        )
        return known, self._only([place for place, one in enumerate(self.told) if one in may])

    def passing(self, expression: str) -> UnseenItems:
        """Leave those that pass a filter by what is told of them.

        Raises
        ------
        RequestError
            As :meth:`gnas_serve.runtime.filters.Filters.select`.
        """
        attributes = told_attributes(self.filters.kinds, tuple(self.told.values()))
        return self._only(Filters(attributes, len(self.told)).select(expression).rows.tolist())

    def check_alone(self, item_id: Id) -> None:
        """Check that nothing is told but of one item.

        Raises
        ------
        FeatureError
            If it is told of another.
        """
        others = [one for one in self.told if one != self.items.as_id(item_id)]
        if others:
            raise FeatureError(
                f"item_features: {shown(str(others[0]))} is not the item that is asked about",
                hint="tell of item_id alone",
                code="other_item",
            )

    def lean_of(self, item_id: Id) -> Lean | None:
        """Give what one item leans on, of which alone is told.

        Returns
        -------
        Lean or None
            None where no unseen item is told of.

        Raises
        ------
        FeatureError
            If it is told of another, or nothing that any known item has.
        """
        self.check_alone(item_id)
        if not self.leans:
            return None
        if self.leans[0] is None:
            raise FeatureError(
                f"item_features: nothing is told of {shown(str(item_id))} that any item of the catalogue has",
                hint=f"tell {', '.join(column.name for column in self.encoder.facts.columns)}",
                code="nothing_known",
            )
        return self.leans[0]

    def _others(self, ids: tuple[Id, ...]) -> tuple[Id, ...]:
        return tuple(one for one in ids if self.items.as_id(one) not in self.told)

    def _only(self, places: list[int]) -> UnseenItems:
        ids = list(self.told)
        told = {ids[place]: self.told[ids[place]] for place in places}
        return replace(self, told=told, leans=tuple(self.leans[place] for place in places))


def told_apart(
    query: Query, parts: Parts, recent: RecentItems | None, *, excluding: bool
) -> tuple[Query, UnseenItems | None]:
    """Divide a question into that of the catalogue's items and the unseen ones that may be answered beside them.

    Parameters
    ----------
    recent
        What users have had since the model was made; None where nobody listens.
    excluding
        Whether those that the question excludes are left out, that are in its history, or that the user has.

    Raises
    ------
    RequestError, FeatureError
        As :meth:`UnseenItems.of`.
    """
    if not query.item_features:
        return query, None
    unseen = UnseenItems.of(query.item_features, parts, strict=query.strict)
    if not unseen.told:
        return query, None
    unwanted: set[Id] = set()
    if excluding:
        unwanted = {parts.items.as_id(one) for one in (*query.exclude_items, *query.history)}
        if query.exclude_seen and recent is not None and query.user_id is not None:
            unwanted |= recent.outside(query.user_id, unseen.told)
    return unseen.divided(query, unwanted)


def _id(one: tuple[str, object]) -> str:
    return one[0]


def _values(
    item_id: str, attributes: tuple[tuple[str, ItemValue], ...], kinds: Mapping[str, str]
) -> dict[str, TypedValue]:
    """Read what is told of one item; of several mistakes the first by name is told of, whatever their order."""
    unknown = min((name for name, _ in attributes if name not in kinds), default=None)
    if unknown is not None:
        raise FeatureError(
            f"item_features: {shown(unknown)} is no attribute of this model's items",
            hint=known_names(tuple(kinds)),
            code="unknown_attribute",
        )
    return {
        name: typed(kinds[name], value, "item_features", item_id, name) for name, value in sorted(attributes, key=_id)
    }
