"""What both doors accept, and how a refused request is described.

Validation is strict: text is no number, ``true`` is no 1, 10.0 is no 10, an unknown field is an error. The gRPC
door builds the same models from its messages, so that the rules exist once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, FailFast, Field, ValidationError, WithJsonSchema
from pydantic_core import PydanticCustomError

from gnas_serve.errors import RequestError
from gnas_serve.feedback.event import (
    MAX_EVENT_CHARACTERS,
    MAX_EVENT_ID_CHARACTERS,
    MAX_MODEL_CHARACTERS,
    MAX_VALUE,
)
from gnas_serve.runtime.query import MAX_CANDIDATES, MAX_K, MAX_LIST, MAX_SEED, Query
from gnas_serve.service.item_features import ItemFeaturesField, item_features_of
from gnas_serve.service.refusals import refusal
from gnas_serve.service.user_features import UserFeaturesField, pairs_of
from gnas_serve.vocabulary import MAX_ID_CHARACTERS

MAX_BATCH = 256
MAX_EVENTS = 1000
MAX_EXPRESSION = 2000

_IntegerId = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]
_TextId = Annotated[str, Field(min_length=1, max_length=MAX_ID_CHARACTERS)]
ExternalId = _IntegerId | _TextId
Count = Annotated[int, Field(ge=1, le=MAX_K)]
# FailFast: a list of 200,000 wrong entries must not cost a second of error reports.
IdList = Annotated[tuple[ExternalId, ...], Field(max_length=MAX_LIST), FailFast()]

# The | inside: Python 3.11 hashes both of its sides, and FailFast has no hash.
CandidateList = Annotated[tuple[ExternalId, ...] | None, Field(max_length=MAX_CANDIDATES), FailFast()]
RankedList = Annotated[tuple[ExternalId, ...], Field(min_length=1, max_length=MAX_K), FailFast()]
Share = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Expression = Annotated[str | None, Field(min_length=1, max_length=MAX_EXPRESSION)]


_EventId = Annotated[str, Field(min_length=1, max_length=MAX_EVENT_ID_CHARACTERS)]
_Value = Annotated[float, Field(ge=-MAX_VALUE, le=MAX_VALUE, allow_inf_nan=False)]
# The years 1 to 9999, which is what data can hold: a log may hold more, of callers before.
_EARLIEST_S, _LATEST_S = -62_135_596_800, 253_402_300_799


def _time(value: float) -> float:
    if not _EARLIEST_S <= value <= _LATEST_S:
        asked = "are these milliseconds?" if value > _LATEST_S else "it is before the year 1"
        raise PydanticCustomError("time", "expected seconds since 1970 ({asked})", {"asked": asked})
    return value


_Time = Annotated[
    float,
    Field(allow_inf_nan=False),
    AfterValidator(_time),
    WithJsonSchema({"type": "number", "minimum": _EARLIEST_S, "maximum": _LATEST_S}),
]
_Propensity = Annotated[float, Field(gt=0.0, le=1.0, allow_inf_nan=False)]


class Request(BaseModel):
    """What a door accepts."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class RecommendRequest(Request):
    """One question."""

    user_id: ExternalId | None = Field(
        None, description="Who asks; absent for somebody unknown. An integer id may be given as its decimal text."
    )
    k: Count = Field(10, description="How many items.")
    history: IdList = Field(
        (), description="Items that the user has: never recommended, and the basis of fold-in for an unknown user."
    )
    exclude_items: IdList = Field((), description="Items that are not wanted.")
    exclude_seen: bool = Field(True, description="Whether the user's own past is left out.")
    candidates: CandidateList = Field(
        None, description="What alone may be answered, scored exactly; absent for the whole catalogue."
    )
    filter: Expression = Field(
        None, description='A condition on the items\' attributes: category == "shoes" and price < 50.'
    )
    diversity: Share = Field(0.0, description="0 for the best, 1 for what is least like what stands above it.")
    exploration: Share = Field(0.0, description="0 for the best, 1 for an even draw among the candidates.")
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] | None = Field(
        None, description="Of the exploration: equal seeds draw equal lists; another one each time when absent."
    )
    explain: bool = Field(False, description="Whether each item says what its score comes from; k at most 100 then.")
    return_scores: bool = Field(True, description="Whether items have scores.")
    strict: bool = Field(False, description="Whether an id that the model does not know is an error (404).")
    user_features: UserFeaturesField = Field(
        None, description="What is known of a newcomer, by name: what moves the answer where no history does."
    )
    item_features: ItemFeaturesField = Field(
        None,
        description="Items that the catalogue does not have, by id, with their attributes: they may be answered with "
        "the others; among the candidates where these are given. One that the catalogue has is answered as it is known "
        "(422 where strict).",
    )

    def query(self) -> Query:
        """Give the question as the runtime takes it."""
        # Its fields are those of this one, and checked; a frozen dataclass sets each by a call, which takes longer than
        # to check them.
        query = Query.__new__(Query)
        fields = vars(query)
        fields.update(vars(self))
        del fields["return_scores"]
        fields["user_features"] = pairs_of(self.user_features)
        fields["item_features"] = item_features_of(self.item_features)
        return query


class RecommendBatchRequest(Request):
    """Many questions at once."""

    queries: Annotated[tuple[RecommendRequest, ...], Field(min_length=1, max_length=MAX_BATCH), FailFast()]


class SimilarItemsRequest(Request):
    """Whose neighbours are wanted."""

    item_id: ExternalId
    k: Count = Field(10, description="How many items.")
    item_features: ItemFeaturesField = Field(
        None, description="The attributes of the item, by its id, where the catalogue does not have it."
    )


class SimilarUsersRequest(Request):
    """Whose like are wanted."""

    user_id: ExternalId
    k: Count = Field(10, description="How many users.")


class RankRequest(Request):
    """Items to be put in the order of one user's liking."""

    user_id: ExternalId | None = Field(None, description="Who asks; absent for somebody unknown.")
    history: IdList = Field((), description="Items that an unknown user has: the basis of fold-in.")
    candidates: RankedList = Field(
        description="To be ordered, also such as the user has. Those that the model does not know are left out."
    )
    explain: bool = Field(False, description="Whether each item says what its score comes from; at most 100 then.")
    return_scores: bool = Field(True, description="Whether items have scores.")
    strict: bool = Field(False, description="Whether an id that the model does not know is an error (404).")
    user_features: UserFeaturesField = Field(None, description="What is known of a newcomer, by name.")
    item_features: ItemFeaturesField = Field(
        None, description="Items that the catalogue does not have, by id, with their attributes: those of candidates."
    )

    def query(self) -> Query:
        """Give the question as the runtime takes it."""
        return Query(
            user_id=self.user_id,
            history=self.history,
            candidates=self.candidates,
            explain=self.explain,
            strict=self.strict,
            user_features=pairs_of(self.user_features),
            item_features=item_features_of(self.item_features),
        )


class ExplainRequest(Request):
    """One item and who asks for it."""

    item_id: ExternalId = Field(
        description="Any item of the catalogue, also one that the user has; or an unseen one that is told of."
    )
    user_id: ExternalId | None = Field(None, description="Who asks; absent for somebody unknown.")
    history: IdList = Field((), description="Items that an unknown user has: the basis of fold-in.")
    user_features: UserFeaturesField = Field(None, description="What is known of a newcomer, by name.")
    item_features: ItemFeaturesField = Field(
        None, description="The attributes of the item, by its id, where the catalogue does not have it."
    )


class FeedbackEvent(Request):
    """One thing that a user did."""

    event_id: _EventId = Field(description="The caller's key: an event of the same key is the same event.")
    user_id: ExternalId
    item_id: ExternalId
    event: Annotated[str, Field(min_length=1, max_length=MAX_EVENT_CHARACTERS)] | None = Field(
        None, description="view, purchase, ...; what the model predicts when absent."
    )
    value: _Value | None = Field(None, description="A rating, an amount.")
    timestamp: _Time | None = Field(None, description="Seconds since 1970 (UTC); now when absent.")
    propensity: _Propensity | None = Field(None, description="With what probability the item was shown.")
    model: Annotated[str, Field(min_length=1, max_length=MAX_MODEL_CHARACTERS)] | None = Field(
        None, description="Version of the model that the item came from; the one being served when absent."
    )


class FeedbackRequest(Request):
    """What users did."""

    events: Annotated[tuple[FeedbackEvent, ...], Field(min_length=1, max_length=MAX_EVENTS), FailFast()]


RequestModel = TypeVar("RequestModel", bound=Request)
"""One of the requests above."""


def from_json(model: type[RequestModel], body: bytes) -> RequestModel:
    """Read a request from a JSON body.

    Raises
    ------
    RequestError
        Naming the field and what it should be.
    """
    if not body:
        raise RequestError("the body is empty", hint="send a JSON object", code="empty_body")
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise refusal(error) from error


def from_mapping(model: type[RequestModel], fields: Mapping[str, Any]) -> RequestModel:
    """Read a request from values that were decoded already, under the same rules.

    Raises
    ------
    RequestError
        Naming the field and what it should be.
    """
    try:
        validated: RequestModel = model.__pydantic_validator__.validate_python(fields)
    except ValidationError as error:
        raise refusal(error) from error
    return validated
