"""What the HTTP door answers, described for its OpenAPI document and for BentoML's twins of the calls."""

from __future__ import annotations

from pydantic import BaseModel, Field


class Contribution(BaseModel):
    """What one item of a history adds to a score, or a known item that an unseen one is like."""

    item_id: int | str
    contribution: float


class Others(BaseModel):
    """What the items add that are not named."""

    count: int
    contribution: float = Field(description="Of all of them together.")


class Reason(BaseModel):
    """An explanation in words."""

    template: str = Field(description="A sentence with the places {0}, {1}, ... for the items.")
    items: list[int | str]


class Explanation(BaseModel):
    """Where a score comes from: contributions, those of others and remainder add up to it."""

    score: float = Field(description="Of retrieval; a learned ranker may order otherwise.")
    contributions: list[Contribution] = Field(description="The greatest first; beside an item of a list at most five.")
    remainder: dict[str, float] = Field(
        description='By kind of branch, what is not due to any item; of "segment" also what each feature adds; of '
        '"content" what an item of average liking does.'
    )
    exact: bool = Field(description="False where a linear map stands for a trained network.")
    reason: Reason
    others: Others | None = Field(
        None, description="Beside an item of a list: how many contributions are not named, and their sum."
    )


class Item(BaseModel):
    """One answer item."""

    item_id: int | str
    score: float | None = Field(None, description="Absent where it was not wanted.")
    source: str = Field(
        description='How it was found: "user", "fold_in", "segment", "popularity" or "item"; "content" of one that the '
        'catalogue does not have, and of items like it; "unknown" of one of which nothing known is told.'
    )
    explanation: Explanation | None = Field(None, description="Where it was asked for.")


class User(BaseModel):
    """One user like another."""

    user_id: int | str
    score: float
    source: str = Field(description='What they are compared by: "vector" or "history".')


class Model(BaseModel):
    """Which model answered."""

    name: str
    version: str
    variant: str | None = Field(None, description='While a canary runs: "stable" or "canary".')
    propensity: float | None = Field(None, description="While a canary runs: the share of the users who get this one.")


class Ranking(BaseModel):
    """Items, best first."""

    items: list[Item]
    underfilled: bool = Field(description="Whether there are fewer than were asked for: no others may be answered.")


class RecommendResponse(Ranking):
    """Items, best first, and who ranked them."""

    model: Model


class RecommendBatchResponse(BaseModel):
    """One ranking per question, in their order; the model of all is the stable one."""

    results: list[RecommendResponse]
    model: Model


class SimilarUsersResponse(BaseModel):
    """Users, best first, and which model compared them."""

    users: list[User]
    model: Model


class ExplainResponse(Explanation):
    """Where one score comes from, and of which model."""

    item_id: int | str
    source: str = Field(
        description='How the asker was represented: "user", "fold_in", "segment" or "popularity"; of an unseen item '
        '"content", or "unknown" where nothing known is told of it.'
    )
    like: list[Contribution] | None = Field(
        None,
        description="Of an unseen item: the known items that it is like, with what each adds; its contributions are "
        "what items of the history add through their scores.",
    )
    model: Model


class FeedbackResponse(BaseModel):
    """What became of the events: all are in the log."""

    written: int = Field(description="How many are in the log now that were not before.")
    duplicates: int = Field(description="How many had been sent before.")
    warnings: list[str] = Field(
        default_factory=list,
        description="What is unlike the model's data, and kept all the same: kinds of events that it does not have, "
        "ids of text where it has integers. Absent where there is nothing of the kind.",
    )


class Canary(BaseModel):
    """A version for a share of the users."""

    artifact: str
    weight: float
    salt: str


class DeploymentResponse(BaseModel):
    """What is served to whom: names of artifacts."""

    stable: str
    previous: str | None
    canary: Canary | None
    shadow: str | None
    revision: int = Field(description="Counts the changes.")


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
    attributes: list[str] = Field(description="Of the items, by which answers can be filtered.")
    user_features: list[str] = Field(description="Of newcomers, which move their answers.")
    item_features: list[str] = Field(
        description="Attributes by which items are scored that the catalogue does not have; none without an encoder."
    )
    item_features_metrics: dict[str, float] = Field(
        description="How well, measured at export on items that were left out."
    )
    attribute_types: dict[str, str] = Field(
        description='Of each of the attributes: "number" (times are seconds since 1970; yes and no are 1 and 0, true '
        'and false in a filter), "text", or "words", a list of texts.'
    )


class Problem(BaseModel):
    """An error, as ``application/problem+json`` (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    code: str = Field(description="Stable machine-readable name.")
    field: str | None = Field(None, description="Which field of the request, where there is one.")
