"""The closed table of what may be kept of a draft: anything else is refused."""

from __future__ import annotations

from gnas_export.decisions import Decision
from gnas_export.draft import RankerForm
from gnas_export.gates import Gate
from gnas_export.judging.quality import Jury
from gnas_export.package import PackedRanker
from gnas_export.ranker.candidates import FeaturePlan
from gnas_export.ranker.fitting import Fitted
from gnas_export.ranker.lessons import Batch, Lessons
from gnas_export.ranker.network import ItemPart, Scaling, TrainedRanker
from gnas_export.retrieval.shipped import ShippedIndex
from gnas_export.retrieval.tables import Tables
from gnas_search.bootstrap import Interval
from gnas_search.evaluate import UserMetrics
from gnas_serve.artifact.content_facts import ContentColumn, ContentFacts
from gnas_serve.artifact.encoding_facts import NumberEncoding, WordsEncoding
from gnas_serve.artifact.manifest import IndexFacts, RankerFacts
from gnas_serve.artifact.segment_facts import SegmentFacts, UserFeature
from gnas_serve.errors import GnasError, LatencyError, ParityError, QualityGateError
from gnas_serve.runtime.content_table import ContentTable
from gnas_serve.runtime.segments import SegmentTable

VALUES: dict[str, type] = {
    "Batch": Batch,
    "ContentColumn": ContentColumn,
    "ContentFacts": ContentFacts,
    "ContentTable": ContentTable,
    "Decision": Decision,
    "FeaturePlan": FeaturePlan,
    "Fitted": Fitted,
    "Gate": Gate,
    "IndexFacts": IndexFacts,
    "Interval": Interval,
    "ItemPart": ItemPart,
    "Jury": Jury,
    "Lessons": Lessons,
    "NumberEncoding": NumberEncoding,
    "PackedRanker": PackedRanker,
    "RankerFacts": RankerFacts,
    "RankerForm": RankerForm,
    "Scaling": Scaling,
    "SegmentFacts": SegmentFacts,
    "SegmentTable": SegmentTable,
    "ShippedIndex": ShippedIndex,
    "Tables": Tables,
    "TrainedRanker": TrainedRanker,
    "UserFeature": UserFeature,
    "UserMetrics": UserMetrics,
    "WordsEncoding": WordsEncoding,
}
"""Frozen dataclasses that are kept field by field."""
FAILURES: dict[str, type[GnasError]] = {
    "LatencyError": LatencyError,
    "ParityError": ParityError,
    "QualityGateError": QualityGateError,
}
"""What a gate raises where it is breached, by name."""
