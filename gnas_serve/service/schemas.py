"""What both doors accept and answer, and how a refused request is described.

Validation is strict: text is no number, ``true`` is no 1, 10.0 is no 10, an unknown field is an error. The gRPC
door builds the same models from its messages, so that the rules exist once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, FailFast, Field, ValidationError

from gnas_serve.errors import RequestError
from gnas_serve.plain_text import plain_text
from gnas_serve.runtime.query import MAX_CANDIDATES, MAX_K, MAX_LIST, Query
from gnas_serve.service.errors import InvalidFieldError
from gnas_serve.vocabulary import MAX_ID_CHARACTERS

MAX_BATCH = 256
_SHOWN_CHARACTERS = 40
_MAX_REPORTED = 1000

_IntegerId = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]
_TextId = Annotated[str, Field(min_length=1, max_length=MAX_ID_CHARACTERS)]
ExternalId = _IntegerId | _TextId
Count = Annotated[int, Field(ge=1, le=MAX_K)]
# FailFast: a list of 200,000 wrong entries must not cost a second of error reports.
IdList = Annotated[tuple[ExternalId, ...], Field(max_length=MAX_LIST), FailFast()]

# The | inside: Python 3.11 hashes both of its sides, and FailFast has no hash.
CandidateList = Annotated[tuple[ExternalId, ...] | None, Field(max_length=MAX_CANDIDATES), FailFast()]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class RecommendRequest(_Request):
    """One question."""

    user_id: ExternalId | None = Field(
        None, description="Who asks; absent for somebody unknown. An integer id may be given as its decimal text."
    )
    k: Count = Field(10, description="How many items.")
    history: IdList = Field(
        (), description="Items that the user has: never recommended, and the basis of fold-in for an unknown user."
    )
    exclude: IdList = Field((), description="Items that are not wanted.")
    exclude_seen: bool = Field(True, description="Whether the user's own past is left out.")

    candidates: CandidateList = Field(
        None, description="What alone may be answered, scored exactly; absent for the whole catalogue."
    )

    def query(self) -> Query:
        """Give the question as the runtime takes it."""
        return Query(self.user_id, self.k, self.history, self.exclude, self.exclude_seen, self.candidates)


class RecommendBatchRequest(_Request):
    """Many questions at once."""

    queries: Annotated[tuple[RecommendRequest, ...], Field(min_length=1, max_length=MAX_BATCH), FailFast()]


class SimilarItemsRequest(_Request):
    """Whose neighbours are wanted."""

    item_id: ExternalId
    k: Count = Field(10, description="How many items.")


class Item(BaseModel):
    """One answer item."""

    item_id: int | str
    score: float
    source: str = Field(description='How it was found: "user", "fold_in", "popularity" or "item".')


class Model(BaseModel):
    """Which model answered."""

    name: str
    version: str


class Ranking(BaseModel):
    """Items, best first."""

    items: list[Item]


class RecommendResponse(Ranking):
    """Items, best first, and who ranked them."""

    model: Model


class RecommendBatchResponse(BaseModel):
    """One ranking per question, in their order."""

    results: list[Ranking]
    model: Model


class ModelResponse(BaseModel):
    """What is being served."""

    name: str
    version: str
    profile: str
    num_users: int
    num_items: int
    embedding_dim: int
    branches: list[str] = Field(description="What the scores add up from: kinds of branches.")
    metrics: dict[str, float]
    index: str
    ranker: str
    precision: str


class Problem(BaseModel):
    """An error, as ``application/problem+json`` (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    code: str = Field(description="Stable machine-readable name.")
    field: str | None = Field(None, description="Which field of the request, where there is one.")


_RequestModel = TypeVar("_RequestModel", bound=_Request)


def from_json(model: type[_RequestModel], body: bytes) -> _RequestModel:
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
        raise _refusal(error) from error


def from_mapping(model: type[_RequestModel], fields: Mapping[str, Any]) -> _RequestModel:
    """Read a request from values that were decoded already, under the same rules.

    Raises
    ------
    RequestError
        Naming the field and what it should be.
    """
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise _refusal(error) from error


# By pydantic's name of what is wrong: our stable code and what is said.
_REFUSALS = {
    "extra_forbidden": ("unknown_field", "there is no such field"),
    "json_invalid": ("invalid_json", "the body is not JSON: {reason}"),
    "missing": ("missing_field", "this field is needed"),
    "too_long": ("list_too_long", "more than {limit} entries"),
    "too_short": ("list_too_short", "at least one entry is needed"),
}
_UNION_MEMBERS = {"constrained-int", "constrained-str", "int", "str"}
_ID_EXPECTED = f"expected a 64-bit integer or a text of 1 to {MAX_ID_CHARACTERS} characters"


def _refusal(error: ValidationError) -> InvalidFieldError:
    if error.error_count() > _MAX_REPORTED:
        # Every report costs microseconds: a body of nothing but unknown fields is not looked at one by one.
        return InvalidFieldError(f"{error.error_count()} fields are unknown or wrong", field="", code="invalid_field")
    first = error.errors(include_url=False, include_context=False)[0]
    parts = [str(part) for part in first["loc"]]
    is_id = bool(parts) and parts[-1] in _UNION_MEMBERS
    field = ".".join(_plain(part) for part in (parts[:-1] if is_id else parts))
    found = "" if isinstance(first["input"], (dict, list, tuple)) else f", found {_described(first['input'])}"
    message = first["msg"][:1].lower() + first["msg"][1:]
    kind, name = first["type"], parts[-1] if parts else ""
    if kind in _REFUSALS:
        code, text = _REFUSALS[kind]
        limit = MAX_BATCH if name == "queries" else MAX_LIST
        return InvalidFieldError(text.format(limit=limit, reason=message), field=field, code=code)
    if is_id:
        # A union reports once per member: the caller knows of one field that takes an id.
        return InvalidFieldError(_ID_EXPECTED + found, field=field, code="invalid_id")
    return InvalidFieldError(message + found, field=field, code="invalid_k" if name == "k" else "invalid_field")


def _described(value: object) -> str:
    # repr() of an integer of some thousand digits raises.
    return "a huge number" if isinstance(value, int) and value.bit_length() > 128 else _plain(repr(value))


def _plain(text: str) -> str:
    # What a caller sent reaches headers and logs: ASCII without control characters, and not much of it.
    shown = plain_text(text[: _SHOWN_CHARACTERS + 1]).encode("ascii", "backslashreplace").decode()
    return shown if len(shown) <= _SHOWN_CHARACTERS else shown[:_SHOWN_CHARACTERS] + "..."
