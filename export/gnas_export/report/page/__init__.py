"""Page: the report of an export to look at, made of the building blocks of a study's."""

from gnas_export.report.page.page import render

__all__ = ["render"]
