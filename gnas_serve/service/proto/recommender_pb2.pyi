from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Id(_message.Message):
    __slots__ = ("integer", "text")
    INTEGER_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    integer: int
    text: str
    def __init__(self, integer: _Optional[int] = ..., text: _Optional[str] = ...) -> None: ...

class RecommendRequest(_message.Message):
    __slots__ = ("user_id", "k", "history", "exclude_items", "exclude_seen", "candidates", "filter", "diversity", "exploration", "seed", "explain", "return_scores", "strict", "user_features", "item_features")
    class UserFeaturesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: FeatureValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[FeatureValue, _Mapping]] = ...) -> None: ...
    class ItemFeaturesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: ItemAttributes
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[ItemAttributes, _Mapping]] = ...) -> None: ...
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    EXCLUDE_ITEMS_FIELD_NUMBER: _ClassVar[int]
    EXCLUDE_SEEN_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    DIVERSITY_FIELD_NUMBER: _ClassVar[int]
    EXPLORATION_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    EXPLAIN_FIELD_NUMBER: _ClassVar[int]
    RETURN_SCORES_FIELD_NUMBER: _ClassVar[int]
    STRICT_FIELD_NUMBER: _ClassVar[int]
    USER_FEATURES_FIELD_NUMBER: _ClassVar[int]
    ITEM_FEATURES_FIELD_NUMBER: _ClassVar[int]
    user_id: Id
    k: int
    history: _containers.RepeatedCompositeFieldContainer[Id]
    exclude_items: _containers.RepeatedCompositeFieldContainer[Id]
    exclude_seen: bool
    candidates: Ids
    filter: str
    diversity: float
    exploration: float
    seed: int
    explain: bool
    return_scores: bool
    strict: bool
    user_features: _containers.MessageMap[str, FeatureValue]
    item_features: _containers.MessageMap[str, ItemAttributes]
    def __init__(self, user_id: _Optional[_Union[Id, _Mapping]] = ..., k: _Optional[int] = ..., history: _Optional[_Iterable[_Union[Id, _Mapping]]] = ..., exclude_items: _Optional[_Iterable[_Union[Id, _Mapping]]] = ..., exclude_seen: bool = ..., candidates: _Optional[_Union[Ids, _Mapping]] = ..., filter: _Optional[str] = ..., diversity: _Optional[float] = ..., exploration: _Optional[float] = ..., seed: _Optional[int] = ..., explain: bool = ..., return_scores: bool = ..., strict: bool = ..., user_features: _Optional[_Mapping[str, FeatureValue]] = ..., item_features: _Optional[_Mapping[str, ItemAttributes]] = ...) -> None: ...

class ItemAttributes(_message.Message):
    __slots__ = ("attributes",)
    class AttributesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: AttributeValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[AttributeValue, _Mapping]] = ...) -> None: ...
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    attributes: _containers.MessageMap[str, AttributeValue]
    def __init__(self, attributes: _Optional[_Mapping[str, AttributeValue]] = ...) -> None: ...

class AttributeValue(_message.Message):
    __slots__ = ("text", "number", "truth", "texts")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TRUTH_FIELD_NUMBER: _ClassVar[int]
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    text: str
    number: float
    truth: bool
    texts: Texts
    def __init__(self, text: _Optional[str] = ..., number: _Optional[float] = ..., truth: bool = ..., texts: _Optional[_Union[Texts, _Mapping]] = ...) -> None: ...

class Texts(_message.Message):
    __slots__ = ("texts",)
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    texts: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, texts: _Optional[_Iterable[str]] = ...) -> None: ...

class FeatureValue(_message.Message):
    __slots__ = ("text", "number", "truth")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TRUTH_FIELD_NUMBER: _ClassVar[int]
    text: str
    number: float
    truth: bool
    def __init__(self, text: _Optional[str] = ..., number: _Optional[float] = ..., truth: bool = ...) -> None: ...

class Ids(_message.Message):
    __slots__ = ("ids",)
    IDS_FIELD_NUMBER: _ClassVar[int]
    ids: _containers.RepeatedCompositeFieldContainer[Id]
    def __init__(self, ids: _Optional[_Iterable[_Union[Id, _Mapping]]] = ...) -> None: ...

class Item(_message.Message):
    __slots__ = ("item_id", "score", "source", "explanation")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    item_id: Id
    score: float
    source: str
    explanation: Explanation
    def __init__(self, item_id: _Optional[_Union[Id, _Mapping]] = ..., score: _Optional[float] = ..., source: _Optional[str] = ..., explanation: _Optional[_Union[Explanation, _Mapping]] = ...) -> None: ...

class Explanation(_message.Message):
    __slots__ = ("score", "contributions", "remainder", "exact", "reason", "others", "like")
    class RemainderEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    SCORE_FIELD_NUMBER: _ClassVar[int]
    CONTRIBUTIONS_FIELD_NUMBER: _ClassVar[int]
    REMAINDER_FIELD_NUMBER: _ClassVar[int]
    EXACT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    OTHERS_FIELD_NUMBER: _ClassVar[int]
    LIKE_FIELD_NUMBER: _ClassVar[int]
    score: float
    contributions: _containers.RepeatedCompositeFieldContainer[Contribution]
    remainder: _containers.ScalarMap[str, float]
    exact: bool
    reason: Reason
    others: Others
    like: _containers.RepeatedCompositeFieldContainer[Contribution]
    def __init__(self, score: _Optional[float] = ..., contributions: _Optional[_Iterable[_Union[Contribution, _Mapping]]] = ..., remainder: _Optional[_Mapping[str, float]] = ..., exact: bool = ..., reason: _Optional[_Union[Reason, _Mapping]] = ..., others: _Optional[_Union[Others, _Mapping]] = ..., like: _Optional[_Iterable[_Union[Contribution, _Mapping]]] = ...) -> None: ...

class Others(_message.Message):
    __slots__ = ("count", "contribution")
    COUNT_FIELD_NUMBER: _ClassVar[int]
    CONTRIBUTION_FIELD_NUMBER: _ClassVar[int]
    count: int
    contribution: float
    def __init__(self, count: _Optional[int] = ..., contribution: _Optional[float] = ...) -> None: ...

class Contribution(_message.Message):
    __slots__ = ("item_id", "contribution")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    CONTRIBUTION_FIELD_NUMBER: _ClassVar[int]
    item_id: Id
    contribution: float
    def __init__(self, item_id: _Optional[_Union[Id, _Mapping]] = ..., contribution: _Optional[float] = ...) -> None: ...

class Reason(_message.Message):
    __slots__ = ("template", "items")
    TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    template: str
    items: _containers.RepeatedCompositeFieldContainer[Id]
    def __init__(self, template: _Optional[str] = ..., items: _Optional[_Iterable[_Union[Id, _Mapping]]] = ...) -> None: ...

class Model(_message.Message):
    __slots__ = ("name", "version", "variant", "propensity")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    VARIANT_FIELD_NUMBER: _ClassVar[int]
    PROPENSITY_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    variant: str
    propensity: float
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., variant: _Optional[str] = ..., propensity: _Optional[float] = ...) -> None: ...

class RecommendResponse(_message.Message):
    __slots__ = ("items", "model", "underfilled")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    UNDERFILLED_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[Item]
    model: Model
    underfilled: bool
    def __init__(self, items: _Optional[_Iterable[_Union[Item, _Mapping]]] = ..., model: _Optional[_Union[Model, _Mapping]] = ..., underfilled: bool = ...) -> None: ...

class RecommendBatchRequest(_message.Message):
    __slots__ = ("queries",)
    QUERIES_FIELD_NUMBER: _ClassVar[int]
    queries: _containers.RepeatedCompositeFieldContainer[RecommendRequest]
    def __init__(self, queries: _Optional[_Iterable[_Union[RecommendRequest, _Mapping]]] = ...) -> None: ...

class Ranking(_message.Message):
    __slots__ = ("items", "underfilled", "model")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    UNDERFILLED_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[Item]
    underfilled: bool
    model: Model
    def __init__(self, items: _Optional[_Iterable[_Union[Item, _Mapping]]] = ..., underfilled: bool = ..., model: _Optional[_Union[Model, _Mapping]] = ...) -> None: ...

class RecommendBatchResponse(_message.Message):
    __slots__ = ("results", "model")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[Ranking]
    model: Model
    def __init__(self, results: _Optional[_Iterable[_Union[Ranking, _Mapping]]] = ..., model: _Optional[_Union[Model, _Mapping]] = ...) -> None: ...

class SimilarItemsRequest(_message.Message):
    __slots__ = ("item_id", "k", "item_features")
    class ItemFeaturesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: ItemAttributes
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[ItemAttributes, _Mapping]] = ...) -> None: ...
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    ITEM_FEATURES_FIELD_NUMBER: _ClassVar[int]
    item_id: Id
    k: int
    item_features: _containers.MessageMap[str, ItemAttributes]
    def __init__(self, item_id: _Optional[_Union[Id, _Mapping]] = ..., k: _Optional[int] = ..., item_features: _Optional[_Mapping[str, ItemAttributes]] = ...) -> None: ...

class SimilarItemsResponse(_message.Message):
    __slots__ = ("items", "model", "underfilled")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    UNDERFILLED_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[Item]
    model: Model
    underfilled: bool
    def __init__(self, items: _Optional[_Iterable[_Union[Item, _Mapping]]] = ..., model: _Optional[_Union[Model, _Mapping]] = ..., underfilled: bool = ...) -> None: ...

class RankRequest(_message.Message):
    __slots__ = ("user_id", "history", "candidates", "explain", "return_scores", "strict", "user_features", "item_features")
    class UserFeaturesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: FeatureValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[FeatureValue, _Mapping]] = ...) -> None: ...
    class ItemFeaturesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: ItemAttributes
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[ItemAttributes, _Mapping]] = ...) -> None: ...
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    EXPLAIN_FIELD_NUMBER: _ClassVar[int]
    RETURN_SCORES_FIELD_NUMBER: _ClassVar[int]
    STRICT_FIELD_NUMBER: _ClassVar[int]
    USER_FEATURES_FIELD_NUMBER: _ClassVar[int]
    ITEM_FEATURES_FIELD_NUMBER: _ClassVar[int]
    user_id: Id
    history: _containers.RepeatedCompositeFieldContainer[Id]
    candidates: _containers.RepeatedCompositeFieldContainer[Id]
    explain: bool
    return_scores: bool
    strict: bool
    user_features: _containers.MessageMap[str, FeatureValue]
    item_features: _containers.MessageMap[str, ItemAttributes]
    def __init__(self, user_id: _Optional[_Union[Id, _Mapping]] = ..., history: _Optional[_Iterable[_Union[Id, _Mapping]]] = ..., candidates: _Optional[_Iterable[_Union[Id, _Mapping]]] = ..., explain: bool = ..., return_scores: bool = ..., strict: bool = ..., user_features: _Optional[_Mapping[str, FeatureValue]] = ..., item_features: _Optional[_Mapping[str, ItemAttributes]] = ...) -> None: ...

class SimilarUsersRequest(_message.Message):
    __slots__ = ("user_id", "k")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    user_id: Id
    k: int
    def __init__(self, user_id: _Optional[_Union[Id, _Mapping]] = ..., k: _Optional[int] = ...) -> None: ...

class User(_message.Message):
    __slots__ = ("user_id", "score", "source")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    user_id: Id
    score: float
    source: str
    def __init__(self, user_id: _Optional[_Union[Id, _Mapping]] = ..., score: _Optional[float] = ..., source: _Optional[str] = ...) -> None: ...

class SimilarUsersResponse(_message.Message):
    __slots__ = ("users", "model")
    USERS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    users: _containers.RepeatedCompositeFieldContainer[User]
    model: Model
    def __init__(self, users: _Optional[_Iterable[_Union[User, _Mapping]]] = ..., model: _Optional[_Union[Model, _Mapping]] = ...) -> None: ...

class ExplainRequest(_message.Message):
    __slots__ = ("item_id", "user_id", "history", "user_features", "item_features")
    class UserFeaturesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: FeatureValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[FeatureValue, _Mapping]] = ...) -> None: ...
    class ItemFeaturesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: ItemAttributes
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[ItemAttributes, _Mapping]] = ...) -> None: ...
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    USER_FEATURES_FIELD_NUMBER: _ClassVar[int]
    ITEM_FEATURES_FIELD_NUMBER: _ClassVar[int]
    item_id: Id
    user_id: Id
    history: _containers.RepeatedCompositeFieldContainer[Id]
    user_features: _containers.MessageMap[str, FeatureValue]
    item_features: _containers.MessageMap[str, ItemAttributes]
    def __init__(self, item_id: _Optional[_Union[Id, _Mapping]] = ..., user_id: _Optional[_Union[Id, _Mapping]] = ..., history: _Optional[_Iterable[_Union[Id, _Mapping]]] = ..., user_features: _Optional[_Mapping[str, FeatureValue]] = ..., item_features: _Optional[_Mapping[str, ItemAttributes]] = ...) -> None: ...

class ExplainResponse(_message.Message):
    __slots__ = ("item_id", "source", "explanation", "model")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    item_id: Id
    source: str
    explanation: Explanation
    model: Model
    def __init__(self, item_id: _Optional[_Union[Id, _Mapping]] = ..., source: _Optional[str] = ..., explanation: _Optional[_Union[Explanation, _Mapping]] = ..., model: _Optional[_Union[Model, _Mapping]] = ...) -> None: ...

class FeedbackEvent(_message.Message):
    __slots__ = ("event_id", "user_id", "item_id", "event", "value", "timestamp", "propensity", "model")
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    PROPENSITY_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    user_id: Id
    item_id: Id
    event: str
    value: float
    timestamp: float
    propensity: float
    model: str
    def __init__(self, event_id: _Optional[str] = ..., user_id: _Optional[_Union[Id, _Mapping]] = ..., item_id: _Optional[_Union[Id, _Mapping]] = ..., event: _Optional[str] = ..., value: _Optional[float] = ..., timestamp: _Optional[float] = ..., propensity: _Optional[float] = ..., model: _Optional[str] = ...) -> None: ...

class FeedbackRequest(_message.Message):
    __slots__ = ("events",)
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[FeedbackEvent]
    def __init__(self, events: _Optional[_Iterable[_Union[FeedbackEvent, _Mapping]]] = ...) -> None: ...

class FeedbackResponse(_message.Message):
    __slots__ = ("written", "duplicates", "warnings")
    WRITTEN_FIELD_NUMBER: _ClassVar[int]
    DUPLICATES_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    written: int
    duplicates: int
    warnings: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, written: _Optional[int] = ..., duplicates: _Optional[int] = ..., warnings: _Optional[_Iterable[str]] = ...) -> None: ...

class GetModelRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetModelResponse(_message.Message):
    __slots__ = ("name", "version", "profile", "num_users", "num_items", "embedding_dim", "metrics", "index", "ranker", "precision", "branches", "attributes", "user_features", "item_features", "item_features_metrics", "attribute_types")
    class MetricsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    class ItemFeaturesMetricsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    class AttributeTypesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    NUM_USERS_FIELD_NUMBER: _ClassVar[int]
    NUM_ITEMS_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_DIM_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    RANKER_FIELD_NUMBER: _ClassVar[int]
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    BRANCHES_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    USER_FEATURES_FIELD_NUMBER: _ClassVar[int]
    ITEM_FEATURES_FIELD_NUMBER: _ClassVar[int]
    ITEM_FEATURES_METRICS_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTE_TYPES_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    profile: str
    num_users: int
    num_items: int
    embedding_dim: int
    metrics: _containers.ScalarMap[str, float]
    index: str
    ranker: str
    precision: str
    branches: _containers.RepeatedScalarFieldContainer[str]
    attributes: _containers.RepeatedScalarFieldContainer[str]
    user_features: _containers.RepeatedScalarFieldContainer[str]
    item_features: _containers.RepeatedScalarFieldContainer[str]
    item_features_metrics: _containers.ScalarMap[str, float]
    attribute_types: _containers.ScalarMap[str, str]
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., profile: _Optional[str] = ..., num_users: _Optional[int] = ..., num_items: _Optional[int] = ..., embedding_dim: _Optional[int] = ..., metrics: _Optional[_Mapping[str, float]] = ..., index: _Optional[str] = ..., ranker: _Optional[str] = ..., precision: _Optional[str] = ..., branches: _Optional[_Iterable[str]] = ..., attributes: _Optional[_Iterable[str]] = ..., user_features: _Optional[_Iterable[str]] = ..., item_features: _Optional[_Iterable[str]] = ..., item_features_metrics: _Optional[_Mapping[str, float]] = ..., attribute_types: _Optional[_Mapping[str, str]] = ...) -> None: ...
