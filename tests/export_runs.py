"""How the tests of the export run it: one small profile, and the files that must repeat byte for byte."""

from dataclasses import replace

from gnas_export.decisions import Decisions
from gnas_export.pipeline import export
from gnas_export.profile import ExportProfile, GateLimits, RankerPlan

PROFILE = ExportProfile("test", candidates=60, ranker=RankerPlan(hidden=(32, 16)), gates=GateLimits(quality_loss=0.02))
INT8 = replace(PROFILE, ranker=RankerPlan(hidden=(32, 16), precision="int8"))


def run(checkpoint, out, profile=PROFILE, ranker="auto", decisions=None, **options):
    chosen = decisions or Decisions(profile, ranker)
    return export(checkpoint, profile, out, ranker=ranker, decisions=chosen, **options)


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith("report.")}
