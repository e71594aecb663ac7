"""How the tests of the export run it: small profiles, and the files that must repeat byte for byte."""

from dataclasses import replace

from planted_checkpoint import planted_checkpoint

from gnas_export import pipeline
from gnas_export.decisions import Decisions
from gnas_export.limits import GateLimits
from gnas_export.pipeline import export
from gnas_export.profile import ExportProfile
from gnas_export.ranker.plan import RankerPlan
from gnas_export.ranker.variants import planned

ALONE = RankerPlan(hidden=(32, 16), distil="never", prune="never")
# Of a taste that the planted vectors do not know, the simple models know more than they do.
LIMITS = GateLimits(quality_loss=0.02, form_loss=0.02, baseline_loss=1.0)
PROFILE = ExportProfile("test", candidates=60, ranker=ALONE, gates=LIMITS)
INT8 = replace(PROFILE, ranker=replace(ALONE, precision="int8"))
TEACHER = planned(ALONE)[0].name


def without_vectors_for_taste(**changes):
    """A checkpoint whose vectors do not know that everybody likes the items with one attribute."""
    return planted_checkpoint(hidden_taste=3.0, **changes)


def run(checkpoint, out, profile=PROFILE, ranker="auto", decisions=None, **options):
    chosen = decisions or Decisions(profile, ranker)
    return export(checkpoint, profile, out, ranker=ranker, decisions=chosen, **options)


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith("report.")}


def after(monkeypatch, name, change):
    """Let what a step left be changed."""

    def wrapped(step):
        def both(draft):
            step(draft)
            change(draft)

        both.__name__ = step.__name__
        return both

    steps = tuple(wrapped(step) if step.__name__ == name else step for step in pipeline.STEPS)
    monkeypatch.setattr(pipeline, "STEPS", steps)
