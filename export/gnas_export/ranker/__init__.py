"""Ranker: networks that learn from candidate lists, and the graphs that are drawn of them."""
