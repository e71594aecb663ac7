"""Slots: where trials are trained. A slot knows nothing of studies or their storage.

Here what is said to a slot and what it says; the slots themselves, which load torch, are modules of their own.
"""

from gnas_search.slots.slot import Event, Failure, Job, Result, Slots

__all__ = ["Event", "Failure", "Job", "Result", "Slots"]
