"""Slots: where trials are trained. A slot knows nothing of studies or their storage."""

from gnas_search.slots.inline import InlineSlot
from gnas_search.slots.process import ProcessSlots
from gnas_search.slots.slot import Event, Failure, Job, Result, Slots

__all__ = ["Event", "Failure", "InlineSlot", "Job", "ProcessSlots", "Result", "Slots"]
