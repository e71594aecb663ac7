"""From a feedback log to the next model, by the commands that the README says."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import polars as pl
import pytest
from feedback_events import Opened, event
from search_world import Gnas, run

from gnas_search.checkpoint import Checkpoint

README = Path(__file__).parents[2] / "README.md"
KNN = {"kind": "two-hop", "kept_per": "target", "user_power": 0.0, "target_power": 0.5, "neighbours": 20}


def commands() -> list[list[str]]:
    block = re.search(r"<!-- run after serving -->\n```bash\n(.*?)```", README.read_text(), re.DOTALL)
    assert block is not None
    return [shlex.split(line, comments=True) for line in block[1].splitlines()]


@pytest.fixture
def served(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pl.DataFrame:
    """A shop, a checkpoint of it, and a log in which its first users buy what they had only looked at."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(shop, "shop")
    (tmp_path / "knn.json").write_text(json.dumps(KNN))
    assert run("train", "shop", "--spec", "knn.json", "--out", "checkpoint") == 0
    log = pl.read_parquet(shop / "interactions.parquet")
    bought = log.filter(pl.col("event") == "purchase").select("user_id", "item_id")
    looked = log.filter(pl.col("event") == "view").join(bought, on=["user_id", "item_id"], how="anti")
    last = float(log["timestamp"].max())  # type: ignore[arg-type]
    told = looked.sort("user_id", "item_id").head(300).select("user_id", "item_id").unique(maintain_order=True)
    with Opened(tmp_path / "log") as opened:
        opened.log.append(
            [
                event(number, user_id=user, item_id=item, timestamp=last + 1 + number)
                for number, (user, item) in enumerate(told.iter_rows())
            ]
        )
    return told


def test_the_commands_of_the_readme_bring_a_log_to_the_next_model(served: pl.DataFrame, gnas: Gnas) -> None:
    for command in commands():
        assert command[0] == "gnas-serve"
        code, _, said = gnas(*command[1:])
        assert code == 0, said
    before, after = (pl.read_parquet(f"{name}/interactions.parquet") for name in ("shop", "newer"))
    assert after.schema == before.schema
    assert after.height == before.height + served.height
    # The older training and validation parts, and what is fresh: the newest of each user is the test part.
    old, new = (Checkpoint.load(Path(name)) for name in ("checkpoint", "fresher"))
    assert new.valid.nnz > served.height / 2
    assert new.train.nnz == old.train.nnz + old.valid.nnz
    # Whoever trains anew does it by the same spec, or from the study.
    assert gnas("train", "newer", "--spec", "knn.json", "--out", "anew")[0] == 0


def test_the_commands_say_what_was_added(served: pl.DataFrame, gnas: Gnas) -> None:
    assert gnas("feedback", "export", "log", "more.csv")[0] == 0
    code, out, said = gnas(
        "data", "append", "shop", "more.csv", "--out", "newer", "--event", "purchase=order", "--output", "json"
    )
    assert code == 0
    told = json.loads(out)
    assert (told["path"], told["added"], told["present"], told["repeated"]) == ("newer", served.height, 0, 0)
    assert f"interactions.parquet did not have: order ({served.height}); it has favourite, purchase, view" in " ".join(
        said.split()
    )
    code, out, said = gnas("data", "append", "newer", "more.csv", "--out", "newest", "--event", "purchase=order")
    assert f"newest: 0 interactions of more.csv added to those of newer ({served.height} were there)" in " ".join(
        out.split()
    )
    lines = Path("more.csv").read_text().splitlines(keepends=True)
    Path("twice.csv").write_text("".join(lines + lines[1:3]))
    code, out, _ = gnas("data", "append", "shop", "twice.csv", "--out", "twice")
    assert f"{served.height} interactions of twice.csv added to those of shop (0 were there, 2 given again)" in (
        " ".join(out.split())
    )
    for given in ("=order", "purchase="):
        code, _, said = gnas("data", "append", "shop", "more.csv", "--out", "x", "--event", given)
        assert (code, "no NAME=KIND" in said) == (2, True)
    Path("odd.csv").write_text("".join(lines).replace("purchase", "purchse"))
    code, _, said = gnas("data", "append", "shop", "odd.csv", "--out", "odd")
    assert (code, "--event purchse=purchase" in " ".join(said.split()), Path("odd").exists()) == (3, True, False)
    code, out, said = gnas("data", "append", "shop", "more.csv", "--out", "newer")
    assert (code, "already exists" in said) == (2, True)
    assert gnas("data", "append", "shop", "none.csv", "--out", "x")[0] == 3


def test_what_visitors_without_a_number_did_is_left_out_by_name_and_kept(served: pl.DataFrame, gnas: Gnas) -> None:
    with Opened(Path("log")) as opened:
        events = [event(f"guest-{number}", user_id=f"guest-{number}", event="view") for number in range(3)]
        opened.log.append([*events, event("look", event="look")])
    assert gnas("feedback", "export", "log", "more.parquet")[0] == 0
    code, _, said = gnas("data", "append", "shop", "more.parquet", "--out", "newer")
    said = " ".join(said.split())
    assert (code, "user_id in row" in said, "3 such rows: " in said, "--left-out FILE" in said) == (3, True, True, True)
    taken = ("--event", "purchase", "--event", "view")
    code, out, said = gnas(
        "data", "append", "shop", "more.parquet", "--out", "newer", *taken, "--left-out", "odd.jsonl"
    )
    assert code == 0, said
    assert "left out, as --event names other kinds: 1 look" in " ".join(said.split())
    assert "3 such rows" in said
    assert f"newer: {served.height} interactions of more.parquet added to those of shop (0 were there, 4 left out)" in (
        " ".join(out.split())
    )
    assert [json.loads(line)["user_id"] for line in Path("odd.jsonl").read_text().splitlines()] == [
        "guest-0",
        "guest-1",
        "guest-2",
    ]
