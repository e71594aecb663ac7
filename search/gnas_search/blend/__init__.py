"""Blends: sums of several models' scores, with weights fitted on validation."""

from gnas_search.blend.assembly import assemble
from gnas_search.blend.blending import Blended, blend
from gnas_search.blend.compression import compress

__all__ = ["Blended", "assemble", "blend", "compress"]
