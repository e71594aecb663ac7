"""A graph network: its embeddings, its layers as cells, their combination, scorer and loss."""

from __future__ import annotations

from gnas_search.architecture import DRAWING_LOSSES, ArchitectureSpec
from gnas_search.layer_spec import LayerSpec
from gnas_search.report.charts.plot import svg, text
from gnas_search.report.drawing.boxes import Box, arrow, down
from gnas_search.report.markup import Markup, element, joined

_X, _WIDTH = 46.0, 420.0
_RAIL = 560.0
_GAP = 30.0
_NODE, _NODE_HEIGHT, _STEP, _ROW = 92.0, 26.0, 120.0, 36.0


def draw_network(spec: ArchitectureSpec) -> Markup:
    """Draw a network, from its embeddings at the top to its loss at the bottom."""
    edges = "every event" if spec.edges == "all" else "the target event"
    start = "the truncated SVD of the interactions" if spec.init == "svd" else "random numbers"
    first = Box(
        _X, 8, _WIDTH, "embeddings of users and items", (f"{spec.embedding_dim} dimensions, from {start}",), "input"
    )
    stack, parts = [first], [first.draw()]
    outputs = [first] if spec.include_input or not spec.layers else []
    for place, layer in enumerate(spec.layer_specs):
        box = _layer_box(layer, place, stack[-1].bottom + _GAP, edges if place == 0 else "")
        parts += [box.draw(), _cell(layer, box), down(stack[-1], box)]
        if layer.residual:
            parts.append(_residual(stack[-1], box))
        stack.append(box)
        outputs.append(box)
    if spec.parts > 1:
        parts += _combined(spec, stack, outputs)
    for box in _ending(spec, stack[-1].bottom + _GAP):
        parts += [box.draw(), down(stack[-1], box)]
        stack.append(box)
    said = f"network: {spec.summary()}"
    return svg(640, stack[-1].bottom + 10, said, joined(parts), class_="drawing")


def _layer_box(layer: LayerSpec, place: int, y: float, edges: str) -> Box:
    after = []
    if layer.normalisation != "none":
        after.append(f"{layer.normalisation} normalisation")
    if layer.resolved_activation != "none":
        after.append(layer.resolved_activation)
    if layer.dropout:
        after.append(f"dropout {layer.dropout:g}")
    if layer.residual:
        after.append("+ its input")
    lines = (f"then {', '.join(after)}",) if after else ()
    along = f", along edges of {edges}" if edges else ""
    room = 10 + _ROW * len(_rows(layer))
    return Box(_X, y, _WIDTH, f"layer {place + 1}{along}", lines, "layer", room)


def _rows(layer: LayerSpec) -> dict[int, float]:
    """Give each leaf of a cell a row of its own, from 0."""
    return {leaf: float(row) for row, leaf in enumerate(layer.leaves)}


def _cell(layer: LayerSpec, box: Box) -> Markup:
    """Draw the nodes of a cell from left to right: a column per node passed on the way, a row per leaf."""
    rows, columns = dict(_rows(layer)), {0: 0}
    for number, (_, source) in enumerate(layer.nodes, start=1):
        columns[number] = columns[source] + 1
    for number in range(len(layer.nodes), 0, -1):  # a node that others read stands midway between these
        below = [other for other, (_, source) in enumerate(layer.nodes, start=1) if source == number]
        if below:
            rows[number] = sum(rows[other] for other in below) / len(below)
    middle = box.inside + 4 + _ROW * len(layer.leaves) / 2
    parts = [element("circle", cx=box.x + 20, cy=middle, r=4.0, class_="joint")]
    places = {
        number: (_column(box, column), box.inside + 4 + _ROW * (rows.get(number, 0.0) + 0.5))
        for number, column in columns.items()
        if number
    }
    for number, (operator, source) in enumerate(layer.nodes, start=1):
        x, y = places[number]
        from_x, from_y = (box.x + 20, middle) if source == 0 else (places[source][0] + _NODE, places[source][1])
        bend = x - 12
        parts.append(arrow([(from_x, from_y), (bend, from_y), (bend, y), (x, y)]))
        parts.append(
            element(
                "rect", x=x, y=y - _NODE_HEIGHT / 2, width=_NODE, height=_NODE_HEIGHT, rx=5.0, class_="box operator"
            )
        )
        parts.append(text(x + _NODE / 2, y + 4, operator, "label middle"))
    if len(layer.leaves) > 1:
        end = box.x + box.width - 44
        for leaf in layer.leaves:
            x, y = places[leaf]
            parts.append(arrow([(x + _NODE, y), (end - 12, y), (end - 12, middle), (end, middle)]))
        parts.append(text(end + 4, middle + 4, "mean", "label"))
    return joined(parts)


def _column(box: Box, column: int) -> float:
    return box.x + 48 + _STEP * (column - 1)


def _residual(above: Box, box: Box) -> Markup:
    left = box.x - 22
    drawn = arrow(
        [(box.middle, above.bottom + 8), (left, above.bottom + 8), (left, box.bottom - 12), (box.x, box.bottom - 12)]
    )
    return joined(drawn, text(left - 12, (above.bottom + box.bottom) / 2, "+", "label strong"))


def _combined(spec: ArchitectureSpec, stack: list[Box], outputs: list[Box]) -> list[Markup]:
    """Lead what takes part in the combination along a rail to its box, which is put on the stack."""
    ways = {
        "attention": "a mean in which each node weighs them",
        "concat": f"side by side: {spec.width} dimensions",
        "max": "their maximum in every dimension",
        "mean": "their mean",
        "sum": "their sum",
    }
    what = f"{'the embeddings and ' if spec.include_input else ''}{len(spec.layers)} layers"
    box = Box(
        _X,
        stack[-1].bottom + _GAP,
        _WIDTH,
        f"combination: {spec.combination}",
        (f"of {what}: {ways[spec.combination]}",),
        "output",
    )
    parts = [box.draw(), down(stack[-1], box)]
    above = [output for output in outputs if output is not stack[-1]]
    aim = box.y + box.height / 2
    for output in above:
        height = output.y + output.height / 2
        parts.append(
            arrow([(output.x + output.width, height), (_RAIL, height), (_RAIL, aim), (box.x + box.width, aim)])
        )
    stack.append(box)
    return parts


def _ending(spec: ArchitectureSpec, y: float) -> list[Box]:
    scorers = {
        "bilinear": "inner product, after a learned map of the users",
        "cosine": f"cosine, divided by a temperature of {spec.temperature:.3g} in training",
        "dot": "inner product",
        "mlp": "inner product, after a small network each for users and items",
    }
    score = Box(_X, y, _WIDTH, f"score: {spec.scorer}", (scorers[spec.scorer],), "output")
    said = []
    if spec.loss in DRAWING_LOSSES:
        drawn = f"{spec.num_negatives} items drawn per batch" if spec.loss == "sampled_softmax" else "items drawn"
        said.append(f"{drawn}, {spec.negatives}")
    if spec.loss == "alignment_uniformity":
        said.append(f"uniformity weighs {spec.uniformity_weight:.3g}")
    said.append(
        f"learning rate {spec.learning_rate:.3g}, {spec.batch_size} users a batch, {spec.epochs} epochs at most"
    )
    extras = {
        "weight decay": spec.weight_decay,
        "edge dropout": spec.edge_dropout,
        "contrast": spec.contrast_weight,
        "adversarial": spec.adversarial_weight,
    }
    if any(extras.values()):
        said.append(", ".join(f"{name} {value:.3g}" for name, value in extras.items() if value))
    loss = Box(_X, score.bottom + _GAP, _WIDTH, f"trained by {spec.loss}", tuple(said), "plain")
    return [score, loss]
