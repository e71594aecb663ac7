"""What is said of a fine-tuned model's origin, wherever the facts of a model are shown."""

from __future__ import annotations

from typing import Any

from gnas_serve.plain_text import counted

_SHOWN_DIGITS = 12


def finetuned_facts(lineage: Any) -> dict[str, str]:
    """Give the lines of a table of facts; none for a model that was trained.

    Parameters
    ----------
    lineage
        ``finetuned_from`` of a manifest, which nothing checks in an artifact.
    """
    try:
        return {} if lineage is None else _facts(lineage)
    except (AttributeError, KeyError, TypeError, ValueError):
        return {"fine-tuned from": "unreadable"}


def _facts(lineage: dict[str, Any]) -> dict[str, str]:
    fresh, times = lineage["fresh"], lineage["times"]
    often = "" if times == 1 else f", fine-tuned {times} times since it was trained"
    facts = {
        "fine-tuned from": f"{lineage['name']} ({lineage['digest'][:_SHOWN_DIGITS]}{often})",
        "fresh": _counted(fresh),
    }
    if any(lineage["left_out"].values()):
        left = lineage["left_out"]
        facts["left out"] = (
            f"{counted(left['interactions'], 'fresh interaction')} of {counted(left['users'], 'user')} and "
            f"{counted(left['items'], 'item')} that the model does not know"
        )
    facts["weights"] = _weights(lineage["weights"])
    if (compared := lineage.get("compared")) is not None:
        facts["ndcg@20 before and after"] = compared_line(compared)
    return facts


def compared_line(compared: dict[str, Any]) -> str:
    """Tell what fine-tuning brought, in a line.

    Parameters
    ----------
    compared
        ``compared`` of ``finetuned_from``.
    """
    old, new, gain = (compared["ndcg@20"][name] for name in ("old", "new", "gain"))
    return (
        f"{old['value']:.4f} ({old['low']:.4f} to {old['high']:.4f}) -> {new['value']:.4f} "
        f"({new['low']:.4f} to {new['high']:.4f}): {gain['value']:+.4f} ({gain['low']:+.4f} to {gain['high']:+.4f}), "
        f"of the newest fresh interactions of {counted(compared['users'], 'user')}"
    )


def _counted(fresh: dict[str, int]) -> str:
    told = [counted(fresh[f"{what}s"], what) for what in ("interaction", "user", "item")]
    return "{} of {} with {}".format(*told)


def _weights(weights: dict[str, Any] | None) -> str:
    if weights is None:
        return "none: one model, or a blend in one pair of vectors"
    if weights["kept"] == "old":
        return f"as they were: {weights['reason']}"
    pairs = (f"{name} {old:.3g} -> {weights['after'][name]:.3g}" for name, old in weights["before"].items())
    return f"fitted anew: {', '.join(pairs)}"
