"""Study: a resumable search over architectures, its leaderboard and its verdict."""

from gnas_search.study.driver import run
from gnas_search.study.header import StudyHeader, begin
from gnas_search.study.last_run import LastRun
from gnas_search.study.leaderboard import leaderboard, status
from gnas_search.study.limits import DEFAULT_TRIALS, Limits
from gnas_search.study.records import Baseline, BlendRecord, Measurement, Trial
from gnas_search.study.study import Study
from gnas_search.study.verdict import MARGIN, Verdict
from gnas_search.study.warm_source import WarmSource
from gnas_search.study.watcher import Watcher

__all__ = [
    "DEFAULT_TRIALS",
    "MARGIN",
    "Baseline",
    "BlendRecord",
    "LastRun",
    "Limits",
    "Measurement",
    "Study",
    "StudyHeader",
    "Trial",
    "Verdict",
    "WarmSource",
    "Watcher",
    "begin",
    "leaderboard",
    "run",
    "status",
]
