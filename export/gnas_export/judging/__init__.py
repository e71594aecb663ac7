"""Judging: what users would get, held against simple models and limits."""
