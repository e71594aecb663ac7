"""Study: a resumable search over architectures, its leaderboard and its verdict.

Here what a study says, for which torch is not loaded. What searches is ``beginning.begin`` and ``driver.run``.
"""

from gnas_search.study.finalists import Finalist
from gnas_search.study.header import StudyHeader
from gnas_search.study.last_run import LastRun
from gnas_search.study.leaderboard import leaderboard, status
from gnas_search.study.limits import DEFAULT_BUDGET_S, Limits
from gnas_search.study.measurement import Measurement
from gnas_search.study.meter import CostMeter
from gnas_search.study.objectives import NDCG, Objectives
from gnas_search.study.records import Baseline, BlendRecord, Trial
from gnas_search.study.selector import pick
from gnas_search.study.study import Study
from gnas_search.study.verdict import MARGIN, Verdict
from gnas_search.study.warm_source import WarmSource

__all__ = [
    "DEFAULT_BUDGET_S",
    "MARGIN",
    "NDCG",
    "Baseline",
    "BlendRecord",
    "CostMeter",
    "Finalist",
    "LastRun",
    "Limits",
    "Measurement",
    "Objectives",
    "Study",
    "StudyHeader",
    "Trial",
    "Verdict",
    "WarmSource",
    "leaderboard",
    "pick",
    "status",
]
