"""What is said of a fine-tuned model's origin: of one as of one."""

from __future__ import annotations

from gnas_serve.cli.lineage import compared_line, finetuned_facts

FIGURE = {"value": 0.5, "low": 0.5, "high": 0.5}


def test_one_user_is_one_user() -> None:
    compared = {"users": 1, "ndcg@20": dict.fromkeys(("old", "new", "gain"), FIGURE)}
    assert compared_line(compared).endswith("of the newest fresh interactions of 1 user")
    assert compared_line(compared | {"users": 1200}).endswith("of 1,200 users")
    lineage = {
        "name": "model",
        "digest": "d" * 64,
        "times": 1,
        "fresh": {"interactions": 1, "users": 1, "items": 1},
        "left_out": {"interactions": 3, "users": 1, "items": 2},
        "weights": None,
    }
    facts = finetuned_facts(lineage)
    assert facts["fresh"] == "1 interaction of 1 user with 1 item"
    assert facts["left out"] == "3 fresh interactions of 1 user and 2 items that the model does not know"
