"""Blends: sums of several models' scores, with weights fitted on validation."""

from gnas_search.blend.assembly import assemble
from gnas_search.blend.blending import Blended, blend, halved
from gnas_search.blend.candidates import CandidateScores
from gnas_search.blend.compression import compress

__all__ = ["Blended", "CandidateScores", "assemble", "blend", "compress", "halved"]
