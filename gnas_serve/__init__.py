"""gnas-serve: from interaction logs to a served graph recommender. This package is all that a Bento ships."""

__version__ = "0.1.0"
