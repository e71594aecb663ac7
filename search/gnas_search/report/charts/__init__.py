"""Charts: SVG made here, a file per chart; each is readable without colour, without scripts and on paper."""

from gnas_search.report.charts.curves import learning_curves
from gnas_search.report.charts.forest import forest
from gnas_search.report.charts.history import history
from gnas_search.report.charts.influence import influence
from gnas_search.report.charts.parallel import parallel
from gnas_search.report.charts.pareto import pareto

__all__ = ["forest", "history", "influence", "learning_curves", "parallel", "pareto"]
