"""Report: a study as one page to look at."""

from gnas_search.report.page import REPORT, render, write_report

__all__ = ["REPORT", "render", "write_report"]
