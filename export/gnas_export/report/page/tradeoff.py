"""Quality against latency of every form of the ranker: why the one that was chosen was chosen."""

from __future__ import annotations

from typing import Any

from gnas_export.report.page.form_marks import form_mark, networks_of, numeric_of, radius
from gnas_search.report.charts.plot import WIDTH, Plot, legend, line, shown, svg, text
from gnas_search.report.markup import Markup, element, joined
from gnas_search.report.scale import Scale, figure

_HEIGHT = 420.0
_LETTER = 6.6
_EVEN = 6.0
_UNTIMED = (
    "The forms were not timed: earlier decisions named the form, or the quality gate asked for the most exact one."
)


def tradeoff(report: dict[str, Any]) -> list[object]:
    """Draw one mark for each form, as far as forms were timed and weighed."""
    forms = report["facts"].get("forms", {})
    if not forms:
        return [element("p", "There is no learned ranker: nothing was weighed.")]
    count = str(report["candidates"])
    if not all(count in form.get("latency_us", {}) for form in forms.values()):
        return [element("p", _UNTIMED)]
    if not all("change" in form for form in forms.values()):
        return [element("p", "Too few users judge: what the forms cost in quality was not measured.")]
    return [_chart(report, forms, count)]


def _chart(report: dict[str, Any], forms: dict[str, dict[str, Any]], count: str) -> Markup:
    limit = -100 * report["profile"]["gates"]["form_loss"]
    weighed = report["facts"].get("weighed_form")
    chosen = report["decisions"].get("form", {}).get("choice", weighed)
    word = "chosen" if chosen != weighed else "weighed against retrieval"
    ends = [100 * form["change"][end] for form in forms.values() for end in ("low", "high")]
    times = [form["latency_us"][count] for form in forms.values()]
    # Times that are as good as equal would else fill the axis with noise.
    spread = [min(times) / 1.05, max(times) * 1.05]
    plot = Plot(
        Scale.over(spread, 72.0, WIDTH - 24, log=max(spread) > 1.2 * min(spread)),
        Scale.over([*ends, limit, 0.0], _HEIGHT - 60, 22.0),
        f"median time of scoring {count} candidates, µs{' (logarithmic)' if max(spread) > 1.2 * min(spread) else ''}",
        "change of ndcg@20 against the teacher, %",
    )
    parts = [plot.axes(), _level(plot, 0.0, "reference"), _level(plot, limit, "limit")]
    parts.append(text(plot.x.end, plot.y(limit) - 5, f"limit of the low end: {limit:g} %", "note end halo"))
    networks = networks_of(forms)
    largest = max(form["size_bytes"] for form in forms.values())
    for name, form in sorted(forms.items(), key=lambda one: (one[0] == chosen, -one[1]["size_bytes"])):
        parts.append(_drawn(plot, name, form, count, networks.index(form["network"]), largest, name == chosen))
    if chosen in forms:
        parts.append(_label(plot, f"{word}: {chosen}", forms[chosen], count))
    is_refused = any(form["breaches"] for form in forms.values())
    caption = (
        f"{len(forms)} forms of the learned ranker: to the left is quicker, above is better. The area of a mark is "
        "what it adds to the artifact, its bar the 95 % interval, paired by user. The quickest that is good enough is "
        "chosen, a smaller one where they are about as quick" + ("; hollow ones breach a gate." if is_refused else ".")
    )
    return shown(
        caption, svg(WIDTH, _HEIGHT, _said(forms, chosen, word, count), joined(parts)), key=_key(forms, networks)
    )


def _level(plot: Plot, value: float, class_: str) -> Markup:
    return line(plot.x.start, plot.y(value), plot.x.end, plot.y(value), class_)


def _drawn(
    plot: Plot, name: str, form: dict[str, Any], count: str, place: int, largest: int, is_chosen: bool
) -> Markup:
    change = {end: 100 * value for end, value in form["change"].items()}
    x, y = plot.x(form["latency_us"][count]), plot.y(change["value"])
    half = radius(form["size_bytes"], largest)
    refused = f"\nbreaches {', '.join(form['breaches'])}" if form["breaches"] else ""
    title = (
        f"{name}: {figure(form['latency_us'][count])} µs, {change['value']:+.2f} % "
        f"[{change['low']:+.2f}, {change['high']:+.2f}], {form['size_bytes']:,} bytes{refused}"
    )
    bar = f"bar-of n{place % 8}"
    low, high = plot.y(change["low"]), plot.y(change["high"])
    return joined(
        line(x, low, x, high, bar),
        line(x - 3, low, x + 3, low, bar),
        line(x - 3, high, x + 3, high, bar),
        form_mark(form["numeric"], place, x, y, half, title, "hollow" if form["breaches"] else ""),
        element("circle", cx=x, cy=y, r=half + 5, class_="best") if is_chosen else None,
    )


def _label(plot: Plot, said: str, form: dict[str, Any], count: str) -> Markup:
    """Name the chosen one above its bar, within the frame."""
    half = _LETTER * len(said) / 2
    x = min(max(plot.x(form["latency_us"][count]), plot.x.start + half), plot.x.end - half)
    return text(x, plot.y(100 * form["change"]["high"]) - 8, said, "strong middle halo")


def _key(forms: dict[str, dict[str, Any]], networks: list[str]) -> Markup:
    colours = [(form_mark("fp32", place, 0, 0, _EVEN), name) for place, name in enumerate(networks)]
    shapes = [(form_mark(name, -1, 0, 0, _EVEN, class_="plain"), name) for name in numeric_of(forms)]
    return joined(legend(colours), legend([*shapes, (line(-8, 0, 8, 0, "limit"), "limit of the gate form_quality")]))


def _said(forms: dict[str, dict[str, Any]], chosen: str | None, word: str, count: str) -> str:
    said = f"change of ndcg@20 against the time of scoring {count} candidates, {len(forms)} forms of the ranker"
    if chosen not in forms:
        return said
    form = forms[chosen]
    return f"{said}; {word}: {chosen}, {figure(form['latency_us'][count])} µs, {100 * form['change']['value']:+.2f} %"
