"""The forms of a learned ranker, and the bytes of an artifact, in lines of a hundred signs at most."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from rich.text import Text

_COUNTS = ("100", "300", "1000")
_UNKNOWN = "-"


def form_lines(report: dict[str, Any]) -> list[Text]:
    """Lay out every form of the learned ranker by its network; nothing where there is none.

    Parameters
    ----------
    report
        Of an export.
    """
    forms = report["facts"].get("forms", {})
    if not forms:
        return []
    chosen = report["decisions"].get("form", {}).get("choice")
    weighed = report["facts"].get("weighed_form")
    counts = _shown(report["candidates"])
    timed = "".join(f"{f'C={count}':>12}" for count in counts)
    lines = [
        Text(
            f"{'':26}{'times':>6}{'us, and times faster, at':^36}{'ndcg@20 kept, %':>21}{'rank':>6}{'top':>5}", "bold"
        ),
        Text(f"{'ranker':<15}{'bytes':>11}{'less':>6}{timed}{'(95 % interval)':>21}{'corr':>6}{'20':>5}", "bold"),
    ]
    for network, members in groupby(forms.items(), key=lambda one: one[1]["network"]):
        lines.append(Text(network, "bold"))
        for name, form in members:
            mark = "*" if name == chosen else "o" if name == weighed else "!" if form["breaches"] else " "
            lines.append(Text(_line(form, counts, mark)))
            if form["breaches"]:
                lines.append(Text(f"   breaches {', '.join(form['breaches'])}"))
    if attention := report["facts"].get("attention"):
        lines += _attention_lines(attention)
    marks = {
        "* chosen": chosen is not None,
        "o weighed against retrieval, which ships": weighed is not None,
        "! breaches a gate": any(form["breaches"] for form in forms.values()),
    }
    said = ", ".join(mark for mark, is_met in marks.items() if is_met)
    return [*lines, Text(said)] if said else lines


def saving_line(report: dict[str, Any]) -> list[Text]:
    """Say how large an artifact is, what compression saves and what it leaves; nothing where that was not measured."""
    found = report["facts"].get("savings")
    if found is None:
        return []
    whole = found["whole"]
    parts = ", ".join(
        f"{name} {found[name]['size_bytes']:,} of {found[name]['fp32_bytes']:,}"
        for name in ("tables", "index", "scorer")
    )
    ratio = whole["times_smaller"]  # an index can outweigh what compression saves
    against = f"{ratio:.1f} times fewer" if ratio >= 1 else f"{1 / ratio:.1f} times more"
    said = f"vectors, index and scorer: {whole['size_bytes']:,} bytes, {against} than {whole['fp32_bytes']:,} in fp32"
    said += f"\n  {parts}"
    if "retained" in found:
        kept = (f"{name} kept: {_percent(found['retained'][name])} %" for name in ("ndcg@20", "recall@20"))
        said += f"\n  {', '.join(kept)}, of the path uncompressed"
    if size := report["facts"].get("artifact_bytes"):
        said = f"artifact bytes: {size['size_bytes']:,}, of the model's files and its decisions\n{said}"
    return [Text(said)]


def _attention_lines(attention: dict[str, Any]) -> list[Text]:
    """Say of the teacher that attends to histories what it is worth, in the column of the forms."""
    followed = "the others follow it" if attention["followed"] else "nobody follows it"
    return [
        Text(attention["network"], "bold"),
        Text(f"   {f'cannot ship; {followed}':<65}{_percent(attention['retained']):>21}"),
    ]


def _shown(candidates: int) -> tuple[str, ...]:
    """Give three of the numbers of candidates that were timed, that of the profile, which decides, among them."""
    if str(candidates) in _COUNTS:
        return _COUNTS
    nearest = min(_COUNTS, key=lambda count: abs(int(count) - candidates))
    return tuple(sorted({*_COUNTS, str(candidates)} - {nearest}, key=int))


def _line(form: dict[str, Any], counts: tuple[str, ...], mark: str) -> str:
    times, faster = form.get("latency_us", {}), form.get("times_faster", {})
    timed = [f"{times[count]:,.0f}{faster[count]:>5.1f}x" if count in times else _UNKNOWN for count in counts]
    kept = _percent(form["retained"]) if "retained" in form else _UNKNOWN
    return (
        f" {mark} {form['numeric']:<12}{form['size_bytes']:>11,}{_times(form['times_smaller']):>6}"
        + "".join(f"{one:>12}" for one in timed)
        + f"{kept:>21}{form['teacher_rank_correlation']:>6.3f}{form['teacher_overlap@20']:>5.2f}"
    )


def _times(ratio: float) -> str:
    return f"{ratio:.1f}x" if ratio < 100 else f"{ratio:.0f}x"


def _percent(kept: dict[str, float]) -> str:
    return f"{100 * kept['value']:.1f} ({100 * kept['low']:.1f}..{100 * kept['high']:.1f})"
