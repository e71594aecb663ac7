"""Slots: where a trial is trained. A slot knows nothing of studies or their storage."""

from gnas_search.slots.inline import InlineSlot
from gnas_search.slots.slot import Job, Outcome, Slot

__all__ = ["InlineSlot", "Job", "Outcome", "Slot"]
