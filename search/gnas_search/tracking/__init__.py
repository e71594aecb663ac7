"""Trackers: programs that show trials as they happen, beside the terminal."""

from gnas_search.tracking.fan_out import FanOut
from gnas_search.tracking.tracker import RunLog, RunLogs, Tracker

__all__ = ["FanOut", "RunLog", "RunLogs", "Tracker"]
